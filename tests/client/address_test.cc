#include "client/address.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "absl/strings/str_cat.h"

namespace bwrt::client {
namespace {

AddressSources Sources(const std::map<std::string, std::string>& variables, bool is_root) {
  return {.environment = [variables](const char* name) -> std::optional<std::string> {
            const auto found = variables.find(name);
            if (found == variables.end()) return std::nullopt;
            return found->second;
          },
          .is_root = is_root};
}

TEST(DefaultAddress, ServerVariableWins) {
  EXPECT_EQ(DefaultAddress(Sources({{"BWRT_SERVER", "host:1"}, {"XDG_RUNTIME_DIR", "/x"}}, true)), "host:1");
}

TEST(DefaultAddress, EmptyServerVariableIsUnset) {
  EXPECT_EQ(DefaultAddress(Sources({{"BWRT_SERVER", ""}}, true)), "unix:/run/bwrt/bwrt.sock");
}

TEST(IsServerNamed, OnlyByAVariableThatSaysSomething) {
  EXPECT_TRUE(IsServerNamed(Sources({{"BWRT_SERVER", "host:1"}}, true)));
  EXPECT_FALSE(IsServerNamed(Sources({{"BWRT_SERVER", ""}}, true)));
  EXPECT_FALSE(IsServerNamed(Sources({{"XDG_RUNTIME_DIR", "/x"}}, false)));
}

TEST(DefaultAddress, RootIgnoresTheUsersDirectory) {
  EXPECT_EQ(DefaultAddress(Sources({{"XDG_RUNTIME_DIR", "/x"}}, true)), "unix:/run/bwrt/bwrt.sock");
}

TEST(DefaultAddress, OthersUseTheirRuntimeDirectory) {
  EXPECT_EQ(DefaultAddress(Sources({{"XDG_RUNTIME_DIR", "/x"}}, false)), "unix:/x/bwrt.sock");
  EXPECT_EQ(DefaultAddress(Sources({}, false)), absl::StrCat("unix:/run/user/", geteuid(), "/bwrt.sock"));
}

TEST(CheckAddress, AcceptsSocketsAndPorts) {
  for (const char* address :
       {"unix:/a/b.sock", "unix:relative.sock", "unix:///a/b.sock", "localhost:1", "127.0.0.1:65535", "[::1]:50051"}) {
    EXPECT_TRUE(CheckAddress(address).ok()) << address;
  }
}

TEST(CheckAddress, RefusesTheRest) {
  for (const std::string& address :
       {std::string(""), std::string("unix:"), std::string("unix://"), std::string("host"), std::string(":1"),
        std::string("host:"), std::string("host:0"), std::string("host:65536"), std::string("host:x"),
        std::string("host:-1"), "unix:/" + std::string(200, 'a')}) {
    EXPECT_EQ(CheckAddress(address).code(), absl::StatusCode::kInvalidArgument) << address;
  }
}

}  // namespace
}  // namespace bwrt::client
