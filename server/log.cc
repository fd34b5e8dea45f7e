#include "server/log.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <utility>

namespace bwrt::server {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 4> kNames = {"debug", "info", "warning", "error"};

std::atomic<bool> json_lines{false};

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::shared_ptr<spdlog::logger> MakeLogger(const LogOptions& options) {
  spdlog::sink_ptr sink;
  if (options.stream != nullptr) {
    sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(*options.stream, /*force_flush=*/true);
  } else {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  }
  auto logger = std::make_shared<spdlog::logger>("bwrt", std::move(sink));
  logger->set_pattern("%v");  // A line is complete when it gets here.
  logger->set_level(ToSpdlog(options.level));
  return logger;
}

// The logger in use. Replaced by InitLogging only, and never destroyed: threads may log until the very end.
spdlog::logger*& Logger() {
  static spdlog::logger* logger = new spdlog::logger(*MakeLogger({}));
  return logger;
}

}  // namespace

std::string UtcNow() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  const std::time_t seconds = us / 1'000'000;
  std::tm utc;
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec, us % 1'000'000);
}

namespace {

std::string Cut(std::string_view text) {
  if (text.size() <= kMaxLogValueBytes) return std::string(text);
  return std::string(text.substr(0, kMaxLogValueBytes)) + "...";
}

Json ToJson(const LogField& field) {
  return std::visit(
      [](const auto& value) -> Json {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string_view>) {
          return Cut(value);
        } else {
          return value;
        }
      },
      field.value);
}

// Bytes that are not UTF-8 become U+FFFD.
std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

bool NeedsQuotes(std::string_view text) {
  if (text.empty()) return true;
  for (const unsigned char c : text) {
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f) return true;
  }
  return false;
}

bool HasControls(std::string_view text) {
  for (const unsigned char c : text) {
    if (c < ' ' || c >= 0x7f) return true;
  }
  return false;
}

std::string TextLine(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  std::string line = UtcNow();
  line += ' ';
  line += ToString(level);
  line += ' ';
  const std::string cut = Cut(message);
  line += HasControls(cut) ? Dump(cut) : cut;
  for (const LogField& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    const Json value = ToJson(field);
    if (value.is_string() && !NeedsQuotes(value.get_ref<const std::string&>())) {
      line += value.get_ref<const std::string&>();
    } else {
      line += Dump(value);
    }
  }
  return line;
}

std::string JsonLine(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  Json line;
  line["time"] = UtcNow();
  line["level"] = std::string(ToString(level));
  line["message"] = Cut(message);
  for (const LogField& field : fields) line[std::string(field.key)] = ToJson(field);
  return Dump(line);
}

}  // namespace

void InitLogging(const LogOptions& options) {
  json_lines = options.format == LogFormat::kJson || (options.format == LogFormat::kAuto && isatty(STDERR_FILENO) == 0);
  *Logger() = *MakeLogger(options);
}

bool LogEnabled(LogLevel level) { return Logger()->should_log(ToSpdlog(level)); }

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) return;
  const std::string line = json_lines ? JsonLine(level, message, fields) : TextLine(level, message, fields);
  Logger()->log(ToSpdlog(level), spdlog::string_view_t(line));
}

std::optional<LogLevel> ParseLogLevel(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<LogLevel>(i);
  }
  return std::nullopt;
}

std::string_view ToString(LogLevel level) { return kNames[static_cast<size_t>(level)]; }

}  // namespace bwrt::server
