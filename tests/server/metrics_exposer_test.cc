#include "server/metrics_exposer.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <prometheus/counter.h>
#include <prometheus/registry.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>

namespace bwrt::server {
namespace {

std::string Get(int port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<uint16_t>(port));
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0) {
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
    char buffer[4096];
    ssize_t n = 0;
    while ((n = read(fd, buffer, sizeof(buffer))) > 0) answer.append(buffer, static_cast<size_t>(n));
  }
  close(fd);
  return answer;
}

TEST(MetricsExposerTest, Serves) {
  auto registry = std::make_shared<prometheus::Registry>();
  prometheus::BuildCounter().Name("test_total").Help("A test.").Register(*registry).Add({}).Increment(3);
  auto exposer = MetricsExposer::Create(*ListenAddress::Parse("127.0.0.1:0"));
  ASSERT_TRUE(exposer.ok()) << exposer.status();
  EXPECT_GT((*exposer)->address().port, 0);
  (*exposer)->Register(registry);
  const std::string answer = Get((*exposer)->address().port, "/metrics");
  EXPECT_NE(answer.find("200 OK"), std::string::npos) << answer;
  EXPECT_NE(answer.find("test_total 3"), std::string::npos) << answer;
  EXPECT_NE(Get((*exposer)->address().port, "/etc/passwd").find("404"), std::string::npos);
}

TEST(MetricsExposerTest, ABusyPortIsAnError) {
  auto first = MetricsExposer::Create(*ListenAddress::Parse("localhost:0"));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ((*first)->address().host, "127.0.0.1");
  auto second = MetricsExposer::Create((*first)->address());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(second.status().message().find("the port is in use"), absl::string_view::npos) << second.status();
}

}  // namespace
}  // namespace bwrt::server
