// What the tests of `bwrtctl weights` share: the tool against a fake daemon, in this process.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "client/cli.h"
#include "client/file.h"
#include "client/operands.h"
#include "tests/client/fake_daemon.h"

namespace bwrt::client {

using Json = nlohmann::json;

struct Outcome {
  int status;
  std::string out;
  std::string err;

  // The one JSON object of the output.
  Json json() const {
    Json parsed = Json::parse(out, nullptr, /*allow_exceptions=*/false);
    EXPECT_TRUE(parsed.is_object()) << out << err;
    return parsed;
  }
};

inline Outcome Bwrtctl(const std::vector<std::string>& arguments, bool terminal = false) {
  std::vector<const char*> argv = {"bwrtctl", "weights"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::ostringstream out, err;
  const int status = RunCli(static_cast<int>(argv.size()), argv.data(), out, err, terminal);
  return {status, out.str(), err.str()};
}

inline std::string TempFile(const std::string& name, absl::string_view content) {
  std::string path = testing::TempDir() + name;
  EXPECT_TRUE(WriteFile(path, content).ok());
  return path;
}

inline std::set<std::string> Keys(const Json& json) {
  std::set<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.insert(key);
  return keys;
}

class WeightsCliTest : public testing::Test {
 protected:
  Outcome Ask(std::vector<std::string> arguments, bool terminal = false) {
    arguments.push_back("--server=" + daemon_.address());
    return Bwrtctl(arguments, terminal);
  }

  // The same, which must succeed.
  Outcome Do(std::vector<std::string> arguments) {
    Outcome outcome = Ask(arguments);
    EXPECT_EQ(outcome.status, 0) << testing::PrintToString(arguments) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    return outcome;
  }

  // A model "m" whose versions 1 and 2, labelled "one" and "two", hold "w".
  void PublishTwo() {
    Do({"push", "m", "--id", "first", "--label", "one", "--tensor", "w:f32:2x3=random:5"});
    Do({"push", "m", "--id", "second", "--label", "two", "--tensor", "w:f32:2x3=random:6"});
  }

  const std::string random5_ = *RandomMatrix({.seed = 5, .wave = 0, .role = OperandStream::kW}, F32, 2, 3);
  FakeDaemon daemon_;
};

}  // namespace bwrt::client
