#include "server/log.h"

#include <grpc/support/log.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "server/grpc_log.h"

namespace bwrt::server {
namespace {

// "2025-03-01T12:00:00.123456Z"
bool IsTime(const std::string& text) {
  constexpr std::string_view kForm = "2000-00-00T00:00:00.000000Z";
  if (text.size() != kForm.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (i < 4 || kForm[i] == '0' ? !digit : text[i] != kForm[i]) return false;
  }
  return true;
}

class LogTest : public testing::Test {
 protected:
  void Start(LogFormat format, LogLevel level = LogLevel::kInfo) {
    LogOptions options;
    options.format = format;
    options.level = level;
    options.stream = &out_;
    InitLogging(options);
  }
  ~LogTest() override { InitLogging({}); }

  std::vector<std::string> Lines() {
    std::vector<std::string> lines;
    std::istringstream in(out_.str());
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }

  std::ostringstream out_;
};

TEST_F(LogTest, Json) {
  Start(LogFormat::kJson);
  Log(LogLevel::kWarning, "wave refused",
      {{"wave", "w\"1\n"}, {"tiles", 40}, {"bytes", size_t{1} << 40}, {"ratio", 0.5}, {"late", true}});
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 1u);
  const auto json = nlohmann::json::parse(lines[0]);
  EXPECT_TRUE(IsTime(json["time"].get<std::string>())) << json["time"];
  EXPECT_EQ(json["level"], "warning");
  EXPECT_EQ(json["message"], "wave refused");
  EXPECT_EQ(json["wave"], "w\"1\n");
  EXPECT_EQ(json["tiles"], 40);
  EXPECT_EQ(json["bytes"], uint64_t{1} << 40);
  EXPECT_EQ(json["ratio"], 0.5);
  EXPECT_EQ(json["late"], true);
}

TEST_F(LogTest, Text) {
  Start(LogFormat::kText);
  Log(LogLevel::kInfo, "wave refused", {{"wave", "w17"}, {"why", "too \"big\"\n"}, {"tiles", -4}, {"e", ""}});
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 1u);
  const size_t space = lines[0].find(' ');
  EXPECT_TRUE(IsTime(lines[0].substr(0, space))) << lines[0];
  EXPECT_EQ(lines[0].substr(space), R"( info wave refused wave=w17 why="too \"big\"\n" tiles=-4 e="")");
}

TEST_F(LogTest, NothingAClientSendsBreaksALine) {
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    out_.str("");
    Start(format);
    const std::string evil = std::string("\xff\xc3\n{}%s{0}\x1b[2J\0x", 16);
    Log(LogLevel::kInfo, evil, {{"value", evil}, {"long", std::string(100'000, 'x')}});
    const auto lines = Lines();
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_LT(lines[0].size(), 800u);
    for (const char c : lines[0]) EXPECT_GE(static_cast<unsigned char>(c), ' ');
    if (format == LogFormat::kJson) {
      const auto json = nlohmann::json::parse(lines[0]);
      EXPECT_EQ(json["long"].get<std::string>(), std::string(kMaxLogValueBytes, 'x') + "...");
    }
  }
}

TEST_F(LogTest, Levels) {
  Start(LogFormat::kText, LogLevel::kWarning);
  EXPECT_FALSE(LogEnabled(LogLevel::kInfo));
  EXPECT_TRUE(LogEnabled(LogLevel::kWarning));
  Log(LogLevel::kDebug, "no");
  Log(LogLevel::kInfo, "no");
  Log(LogLevel::kWarning, "yes");
  Log(LogLevel::kError, "yes");
  EXPECT_EQ(Lines().size(), 2u);
  for (const LogLevel level : {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    EXPECT_EQ(ParseLogLevel(ToString(level)), level);
  }
  EXPECT_EQ(ParseLogLevel("loud"), std::nullopt);
}

TEST_F(LogTest, LinesOfThreadsDoNotMix) {
  Start(LogFormat::kJson);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 200; ++i) Log(LogLevel::kInfo, "line", {{"t", t}, {"i", i}});
    });
  }
  for (auto& thread : threads) thread.join();
  const auto lines = Lines();
  EXPECT_EQ(lines.size(), 800u);
  for (const auto& line : lines) EXPECT_TRUE(nlohmann::json::accept(line)) << line;
}

TEST_F(LogTest, GrpcLogsHere) {
  Start(LogFormat::kJson, LogLevel::kDebug);
  RouteGrpcLog(LogLevel::kDebug);
  // Until one passes: a test before this one may have used up the second's lines.
  while (Lines().empty()) gpr_log(GPR_ERROR, "broken: %d", 7);
  const auto json = nlohmann::json::parse(Lines()[0]);
  EXPECT_EQ(json["level"], "error");
  EXPECT_EQ(json["message"], "grpc");
  EXPECT_EQ(json["text"], "broken: 7");
  EXPECT_EQ(json["file"], "log_test.cc");
  out_.str("");
  while (Lines().empty()) gpr_log(GPR_DEBUG, "detail");
  EXPECT_EQ(nlohmann::json::parse(Lines()[0])["level"], "debug");

  // A flood is cut.
  for (int i = 0; i < 10'000; ++i) gpr_log(GPR_ERROR, "flood");
  EXPECT_LT(Lines().size(), 500u);

  Start(LogFormat::kJson, LogLevel::kInfo);
  RouteGrpcLog(LogLevel::kInfo);
  const size_t before = Lines().size();
  gpr_log(GPR_INFO, "chatter");
  EXPECT_EQ(Lines().size(), before);
}

}  // namespace
}  // namespace bwrt::server
