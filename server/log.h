// Log: the daemon's log, one line an event: text for people, one JSON object for machines.
//
//   Log(LogLevel::kInfo, "wave refused", {{"wave", id}, {"model", name}, {"tiles", 40}});
//   2025-03-01T12:00:00.123456Z info wave refused wave=w17 model=default tiles=40
//   {"time":"2025-03-01T12:00:00.123456Z","level":"info","message":"wave refused","wave":"w17",...}
//
// Values may come from clients: whatever they hold is escaped and cut, so that a line is a line. Callers never
// pass operand bytes. Thread-safe, but for InitLogging. Before it, text goes to stderr from kInfo on.
#ifndef BWRT_SERVER_LOG_H_
#define BWRT_SERVER_LOG_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace bwrt::server {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kAuto, kText, kJson };  // kAuto: text when stderr is a terminal.

// Bytes of one value, and of the message, that are logged.
inline constexpr size_t kMaxLogValueBytes = 512;

// A name, which the daemon's code chooses ([a-z_]+), and a value.
struct LogField {
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, bool v) : key(k), value(v) {}
  LogField(std::string_view k, double v) : key(k), value(v) {}
  template <std::signed_integral T>
  LogField(std::string_view k, T v) : key(k), value(int64_t{v}) {}
  template <std::unsigned_integral T>
  LogField(std::string_view k, T v) : key(k), value(uint64_t{v}) {}

  std::string_view key;  // Views: a field lives only as long as the call of Log.
  std::variant<std::string_view, int64_t, uint64_t, double, bool> value;
};

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kAuto;
  std::ostream* stream = nullptr;  // nullptr: stderr. For tests; must outlive the logging.
};

void InitLogging(const LogOptions& options);

// Whether a line of this level is written; for callers that would compute much for it.
bool LogEnabled(LogLevel level);

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});

// The time as the log writes it: UTC, ISO 8601, microseconds.
std::string UtcNow();

// "debug", "info", "warning" or "error".
std::optional<LogLevel> ParseLogLevel(std::string_view name);
std::string_view ToString(LogLevel level);

}  // namespace bwrt::server

#endif  // BWRT_SERVER_LOG_H_
