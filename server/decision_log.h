// DecisionLog: where waves ran and why, a JSON object a line, for those who tune offloading (--decision-log).
//
//   {"time":"2025-03-01T12:00:00.123456Z","model":"llm","wave_id":"w17","m":64,"n":8192,"k":8192,"dtype":"bf16",
//    "device":"cuda:0","reason":"faster","text":"predicted ...","threshold_seconds":0.0018,
//    "predicted":[{"device":"cpu","seconds":0.002,"resident":true},...],
//    "outcome":"ok","compute_seconds":0.0001,"copy_seconds":0.0003}
//
// A line is written once its wave has ended, by a thread of the log's own; lines that come faster than the disk takes
// them, or that it has no room for, are left out, and the next one says how many ("left_out"). Where the disk took a
// part of a line, that part stands in a line of its own. Thread-safe.
#ifndef BWRT_SERVER_DECISION_LOG_H_
#define BWRT_SERVER_DECISION_LOG_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/executor.h"
#include "runtime/file_handle.h"
#include "runtime/mutex.h"
#include "runtime/observer.h"

namespace bwrt::server {

class DecisionLog {
 public:
  // Appends to the file. What the system says when it can't be opened.
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
  explicit DecisionLog(int fd) : file_(fd) {}
  // False when there was room for a part of it at most.
  bool Append(absl::string_view text) const;

  const runtime::FileHandle file_;  // Used by the writer's thread,
  bool broken_ = false;             // as this: the last write failed.
  runtime::Mutex mu_;
  int64_t waiting_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t left_out_ ABSL_GUARDED_BY(mu_) = 0;
  runtime::ThreadExecutor writer_;  // Last: it uses all of the above.
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_DECISION_LOG_H_
