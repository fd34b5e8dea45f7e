#include "server/listen_address.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace bwrt::server {
namespace {

TEST(ListenAddressTest, RoundTrips) {
  for (const char* text : {"unix:/run/bwrt/bwrt.sock", "unix:bwrt.sock", "127.0.0.1:0", "127.0.0.1:65535",
                           "localhost:80", "[::1]:80", "[2001:db8::1]:443", "0.0.0.0:1", "host.example:9"}) {
    const auto address = ListenAddress::Parse(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->ToString(), text);
  }
  EXPECT_EQ(ListenAddress::Parse("unix:///run/x.sock")->ToString(), "unix:/run/x.sock");
}

struct BadCase {
  const char* text;
  const char* says;
};

TEST(ListenAddressTest, ErrorsSayWhatIsWrong) {
  const BadCase cases[] = {
      {"", "no port"},
      {"127.0.0.1", "no port"},
      {":80", "host is missing"},
      {"127.0.0.1:", "not a number from 0 to 65535"},
      {"127.0.0.1:65536", "not a number from 0 to 65535"},
      {"127.0.0.1:-1", "not a number from 0 to 65535"},
      {"127.0.0.1:+1", "not a number from 0 to 65535"},
      {"127.0.0.1:80x", "not a number from 0 to 65535"},
      {"127.0.0.1:99999999999999999999", "not a number from 0 to 65535"},
      {"::1:80", "needs brackets"},
      {"[::1:80", "needs brackets"},
      {"[localhost]:80", "not an IPv6 address"},
      {"[]:80", "host is missing"},
      {"http://127.0.0.1:80", "needs brackets"},
      {"a b:80", "not a name or an address"},
      {"unix:", "path is empty"},
      {"unix:/tmp/", "is a directory"},
  };
  for (const BadCase& c : cases) {
    const auto address = ListenAddress::Parse(c.text);
    ASSERT_FALSE(address.ok()) << c.text;
    EXPECT_EQ(address.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(address.status().message().find(c.says), absl::string_view::npos) << c.text << ": " << address.status();
  }
}

TEST(ListenAddressTest, UnixPathLength) {
  const std::string longest = "unix:/" + std::string(106, 'x');
  EXPECT_TRUE(ListenAddress::Parse(longest).ok());
  const auto address = ListenAddress::Parse(longest + "x");
  ASSERT_FALSE(address.ok());
  EXPECT_NE(address.status().message().find("108 bytes, and a Unix socket's at most 107"), absl::string_view::npos)
      << address.status();
  EXPECT_FALSE(ListenAddress::Parse(std::string("unix:/a\0b", 9)).ok());
}

TEST(ListenAddressTest, Loopback) {
  for (const char* text : {"unix:/x", "127.0.0.1:1", "127.9.8.7:1", "[::1]:1", "localhost:1", "[::ffff:127.0.0.1]:1"}) {
    EXPECT_TRUE(ListenAddress::Parse(text)->IsLoopback()) << text;
  }
  for (const char* text : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "host.example:1", "[::ffff:10.0.0.1]:1",
                           "localhost.example:1", "127.1.example:1"}) {
    EXPECT_FALSE(ListenAddress::Parse(text)->IsLoopback()) << text;
  }
}

TEST(ListenAddressTest, Exposure) {
  const ListenAddress everywhere = *ListenAddress::Parse("0.0.0.0:80");
  const absl::Status refused = CheckExposure(everywhere, false);
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(refused.message().find("--insecure-listen"), absl::string_view::npos) << refused;
  EXPECT_NE(refused.message().find("neither encrypted nor authenticated"), absl::string_view::npos);
  EXPECT_TRUE(CheckExposure(everywhere, true).ok());
  EXPECT_TRUE(CheckExposure(*ListenAddress::Parse("127.0.0.1:80"), false).ok());
}

TEST(ListenAddressTest, Default) {
  EXPECT_EQ(DefaultListenAddress(0, "/run/user/0")->ToString(), "unix:/run/bwrt/bwrt.sock");
  EXPECT_EQ(DefaultListenAddress(1000, "/run/user/1000")->ToString(), "unix:/run/user/1000/bwrt.sock");
  for (const char* unset : {static_cast<const char*>(nullptr), ""}) {
    const auto address = DefaultListenAddress(1000, unset);
    ASSERT_FALSE(address.ok());
    EXPECT_NE(address.status().message().find("--listen"), absl::string_view::npos);
  }
}

TEST(ListenAddressTest, CreatesTheRuntimeDirectory) {
  // The test's own directory can be too long for a socket's path.
  std::string pattern = std::filesystem::temp_directory_path() / "bwrtXXXXXX";
  const std::string base = mkdtemp(pattern.data());
  const ListenAddress address = *ListenAddress::Parse("unix:" + base + "/a/s");
  EXPECT_TRUE(CreateRuntimeDirectory(address).ok());
  EXPECT_TRUE(std::filesystem::is_directory(base + "/a"));
  EXPECT_TRUE(CreateRuntimeDirectory(address).ok());
  EXPECT_EQ(CreateRuntimeDirectory(*ListenAddress::Parse("unix:" + base + "/b/c/s")).code(),
            absl::StatusCode::kNotFound);
  std::filesystem::remove_all(base);
}

}  // namespace
}  // namespace bwrt::server
