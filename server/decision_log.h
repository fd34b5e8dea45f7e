// DecisionLog: where waves ran and why, a JSON object a line, for those who tune offloading (--decision-log).
//
//   {"time":"2025-03-01T12:00:00.123456Z","model":"llm","wave_id":"w17","m":64,"n":8192,"k":8192,"dtype":"bf16",
//    "device":"cuda:0","reason":"faster","text":"predicted ...","threshold_seconds":0.0018,
//    "predicted":[{"device":"cpu","seconds":0.002,"resident":true},...],
//    "outcome":"ok","compute_seconds":0.0001,"copy_seconds":0.0003}
//
// A line is written once its wave has ended, by a thread of the log's own; lines that come faster than the disk takes
// them are left out, and the next one says how many ("left_out"). Thread-safe.
#ifndef BWRT_SERVER_DECISION_LOG_H_
#define BWRT_SERVER_DECISION_LOG_H_

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/executor.h"
#include "runtime/mutex.h"
#include "runtime/observer.h"

namespace bwrt::server {

class DecisionLog {
 public:
  // Appends to the file. NOT_FOUND when it can't be opened.
  static absl::StatusOr<std::unique_ptr<DecisionLog>> Open(const std::string& path);
  // Writes what is waiting.
  ~DecisionLog() = default;
  DecisionLog(const DecisionLog&) = delete;
  DecisionLog& operator=(const DecisionLog&) = delete;

  // Of a wave with a placement; others are ignored. Does not block.
  void Write(const runtime::WaveEnd& end);

  // Returns once everything before is written.
  void Flush() { writer_.Flush(); }

 private:
  explicit DecisionLog(std::ofstream file) : file_(std::move(file)) {}

  std::ofstream file_;  // Used by the writer's thread.
  runtime::Mutex mu_;
  int64_t waiting_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t left_out_ ABSL_GUARDED_BY(mu_) = 0;
  runtime::ThreadExecutor writer_;  // Last: it uses all of the above.
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_DECISION_LOG_H_
