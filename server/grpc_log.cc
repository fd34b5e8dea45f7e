#include "server/grpc_log.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace bwrt::server {
namespace {

constexpr int kLinesPerSecond = 20;

// A second, the lines that passed in it, and the lines left out since one passed. The counts may be off by a
// few when threads change the second at once, which does not matter.
std::atomic<int64_t> current_second{0};
std::atomic<int> passed{0};
std::atomic<int64_t> left_out{0};

bool Pass() {
  const int64_t second =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
  if (current_second.exchange(second) != second) passed = 0;
  if (passed.fetch_add(1) < kLinesPerSecond) return true;
  left_out.fetch_add(1);
  return false;
}

LogLevel FromGpr(gpr_log_severity severity) {
  switch (severity) {
    case GPR_LOG_SEVERITY_DEBUG:
      return LogLevel::kDebug;
    case GPR_LOG_SEVERITY_INFO:
      return LogLevel::kInfo;
    case GPR_LOG_SEVERITY_ERROR:
      return LogLevel::kError;
  }
  return LogLevel::kError;
}

void Forward(gpr_log_func_args* args) {
  const LogLevel level = FromGpr(args->severity);
  if (!LogEnabled(level) || !Pass()) return;
  const char* slash = std::strrchr(args->file, '/');
  const std::string_view file = slash == nullptr ? args->file : slash + 1;
  const int64_t missing = left_out.exchange(0);
  if (missing > 0) {
    Log(level, "grpc", {{"text", args->message}, {"file", file}, {"line", args->line}, {"left_out", missing}});
  } else {
    Log(level, "grpc", {{"text", args->message}, {"file", file}, {"line", args->line}});
  }
}

// protobuf writes, for example, that a client's string is no UTF-8.
void ForwardProtobuf(google::protobuf::LogLevel severity, const char* file, int line, const std::string& message) {
  const LogLevel level = severity == google::protobuf::LOGLEVEL_INFO      ? LogLevel::kInfo
                         : severity == google::protobuf::LOGLEVEL_WARNING ? LogLevel::kWarning
                                                                          : LogLevel::kError;
  if (!LogEnabled(level) || !Pass()) return;
  Log(level, "protobuf", {{"text", message}, {"file", file}, {"line", line}});
}

}  // namespace

void RouteGrpcLog(LogLevel level) {
  google::protobuf::SetLogHandler(ForwardProtobuf);
  gpr_set_log_function(Forward);
  if (std::getenv("GRPC_VERBOSITY") != nullptr) return;
  gpr_set_log_verbosity(level == LogLevel::kDebug ? GPR_LOG_SEVERITY_DEBUG : GPR_LOG_SEVERITY_ERROR);
}

}  // namespace bwrt::server
