#include "tests/e2e/scrape.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace bwrt::e2e {
namespace {

// name="value",...} VALUE, with no escapes but those of the format; moves past the brace.
bool ParseLabels(absl::string_view* text, Scrape::Labels* labels) {
  while (!absl::ConsumePrefix(text, "}")) {
    const size_t quote = text->find("=\"");
    if (quote == absl::string_view::npos) return false;
    const std::string name(text->substr(0, quote));
    text->remove_prefix(quote + 2);
    std::string value;
    while (!text->empty() && text->front() != '"') {
      if (text->front() == '\\') text->remove_prefix(1);
      if (text->empty()) return false;
      value += text->front();
      text->remove_prefix(1);
    }
    if (!absl::ConsumePrefix(text, "\"")) return false;
    labels->emplace(name, std::move(value));
    absl::ConsumePrefix(text, ",");
  }
  return true;
}

bool Matches(const Scrape::Series& series, absl::string_view name, const Scrape::Labels& labels) {
  if (series.name != name) return false;
  for (const auto& [key, value] : labels) {
    const auto at = series.labels.find(key);
    if (at == series.labels.end() || at->second != value) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<Scrape> Scrape::Get(const std::string& address) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(address, absl::MaxSplits(':', 1));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  int port = 0;
  if (inet_pton(AF_INET, parts.first.c_str(), &to.sin_addr) != 1 || !absl::SimpleAtoi(parts.second, &port)) {
    return absl::InvalidArgumentError(address);
  }
  to.sin_port = htons(static_cast<uint16_t>(port));
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "socket");
  const absl::Cleanup closer = [fd] { close(fd); };
  const timeval patience{.tv_sec = 30, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("connect to ", address));
  }
  const std::string request = absl::StrCat("GET /metrics HTTP/1.0\r\nHost: ", address, "\r\n\r\n");
  if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) {
    return absl::ErrnoToStatus(errno, "send");
  }
  std::string response;
  std::array<char, 65536> buffer;
  ssize_t got = 0;
  while ((got = recv(fd, buffer.data(), buffer.size(), 0)) > 0)
    response.append(buffer.data(), static_cast<size_t>(got));
  if (got < 0) return absl::ErrnoToStatus(errno, "recv");
  const size_t body = response.find("\r\n\r\n");
  if (body == std::string::npos || !absl::StrContains(response.substr(0, response.find('\r')), " 200 ")) {
    return absl::DataLossError(absl::StrCat("not an answer: ", response.substr(0, 200)));
  }
  return Parse(absl::string_view(response).substr(body + 4));
}

absl::StatusOr<Scrape> Scrape::Parse(absl::string_view text) {
  Scrape scrape;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipWhitespace())) {
    if (line[0] == '#') continue;
    Series series;
    const size_t end = line.find_first_of("{ ");
    if (end == absl::string_view::npos) return absl::DataLossError(std::string(line));
    series.name = std::string(line.substr(0, end));
    absl::string_view rest = line.substr(end);
    if (absl::ConsumePrefix(&rest, "{") && !ParseLabels(&rest, &series.labels)) {
      return absl::DataLossError(std::string(line));
    }
    if (!absl::SimpleAtod(absl::StripAsciiWhitespace(rest), &series.value)) {
      return absl::DataLossError(std::string(line));
    }
    scrape.series_.push_back(std::move(series));
  }
  return scrape;
}

std::set<std::string> Scrape::names() const {
  std::set<std::string> names;
  for (const Series& series : series_) names.insert(series.name);
  return names;
}

double Scrape::Sum(absl::string_view name, const Labels& labels) const {
  double sum = 0;
  for (const Series& series : series_) sum += Matches(series, name, labels) ? series.value : 0;
  return sum;
}

int Scrape::Count(absl::string_view name, const Labels& labels) const {
  int count = 0;
  for (const Series& series : series_) count += Matches(series, name, labels) ? 1 : 0;
  return count;
}

}  // namespace bwrt::e2e
