#include "server/listen_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace bwrt::server {
namespace {

constexpr std::string_view kUnix = "unix:";
constexpr char kForms[] = "write unix:PATH, HOST:PORT or [V6]:PORT";
// sun_path holds 108 bytes with the terminating NUL.
constexpr size_t kMaxPath = sizeof(sockaddr_un{}.sun_path) - 1;

absl::Status Bad(std::string_view text, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("address '", std::string(text), "': ", what));
}

absl::StatusOr<ListenAddress> ParseUnix(std::string_view text) {
  std::string path(text.substr(kUnix.size()));
  if (path.starts_with("//")) path.erase(0, 2);  // The URI form, unix:///PATH.
  if (path.empty()) return Bad(text, "the path is empty; write unix:PATH");
  if (path.find('\0') != std::string::npos) return Bad(text, "the path contains a NUL byte");
  if (path.size() > kMaxPath) {
    return Bad(text, absl::StrCat("the path has ", path.size(), " bytes, and a Unix socket's at most ", kMaxPath,
                                  "; choose a shorter directory"));
  }
  if (path.back() == '/') return Bad(text, "the path is a directory; add a file name");
  ListenAddress address;
  address.kind = ListenAddress::Kind::kUnix;
  address.path = std::move(path);
  return address;
}

// 127.0.0.0/8 as four bytes.
bool IsV4Loopback(const unsigned char* bytes) { return bytes[0] == 127; }

}  // namespace

absl::StatusOr<ListenAddress> ListenAddress::Parse(std::string_view text) {
  if (text.starts_with(kUnix)) return ParseUnix(text);
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return Bad(text, absl::StrCat("has no port; ", kForms));
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);

  ListenAddress address;
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number > 65535) {
    return Bad(text, absl::StrCat("port '", std::string(port), "' is not a number from 0 to 65535"));
  }
  address.port = static_cast<int>(number);

  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  address.host = std::string(host);
  if (host.empty()) {
    return Bad(text, "the host is missing; write 127.0.0.1:PORT for this machine, 0.0.0.0:PORT for all");
  }
  in6_addr v6;
  if (bracketed && inet_pton(AF_INET6, address.host.c_str(), &v6) != 1) {
    return Bad(text, "what is in the brackets is not an IPv6 address");
  }
  if (!bracketed && host.find(':') != std::string_view::npos) {
    return Bad(text, "an IPv6 address needs brackets; write [::1]:PORT");
  }
  if (host.find_first_of(" \t\r\n/[]%") != std::string_view::npos) {
    return Bad(text, absl::StrCat("the host is not a name or an address; ", kForms));
  }
  return address;
}

std::string ListenAddress::ToString() const {
  if (kind == Kind::kUnix) return absl::StrCat("unix:", path);
  const bool v6 = host.find(':') != std::string::npos;
  return v6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

std::string ListenAddress::Directory() const {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool ListenAddress::IsLoopback() const {
  if (kind == Kind::kUnix || host == "localhost") return true;
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) {
    return IsV4Loopback(reinterpret_cast<const unsigned char*>(&v4));
  }
  in6_addr v6;
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) {
    return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && IsV4Loopback(&v6.s6_addr[12]));
  }
  return false;
}

absl::Status CheckExposure(const ListenAddress& address, bool allow_insecure) {
  if (allow_insecure || address.IsLoopback()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(address.ToString(),
                   " can be reached from other machines, and connections are neither encrypted nor "
                   "authenticated: anyone there could run waves and replace weights. Listen on unix:PATH or "
                   "127.0.0.1:PORT, or give --insecure-listen if the network is protected in another way"));
}

absl::StatusOr<ListenAddress> DefaultListenAddress(uid_t uid, const char* runtime_dir) {
  if (uid == 0) return ListenAddress::Parse("unix:/run/bwrt/bwrt.sock");
  if (runtime_dir == nullptr || *runtime_dir == '\0') {
    return absl::InvalidArgumentError(
        "XDG_RUNTIME_DIR is not set, so there is no default address; give --listen=unix:PATH");
  }
  return ListenAddress::Parse(absl::StrCat("unix:", runtime_dir, "/bwrt.sock"));
}

absl::Status CreateRuntimeDirectory(const ListenAddress& address) {
  const std::string directory = address.Directory();
  if (mkdir(directory.c_str(), 0755) == 0 || errno == EEXIST) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot create the runtime directory ", directory));
}

}  // namespace bwrt::server
