// A real bwrtd in a process of its own, and processes in general.
//
// Everything here is owned by one test and used from one thread. Nothing waits by sleeping: the end of a process
// and the ready file wake the waiter.
#ifndef BWRT_TESTS_E2E_DAEMON_PROCESS_H_
#define BWRT_TESTS_E2E_DAEMON_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace bwrt::e2e {

// Longer than anything takes, even on a busy machine under a sanitizer.
inline constexpr absl::Duration kPatience = absl::Seconds(60);

// A directory that is removed with all it holds. Its path is short enough for a Unix socket's name.
class Directory {
 public:
  Directory();
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::string ReadAll(const std::string& path);  // Empty where there is no such file.
void WriteAll(const std::string& path, const std::string& text);

// A child process; what it prints is kept. Killed when destroyed.
class Process {
 public:
  // `argv[0]` is the program's path.
  static absl::StatusOr<std::unique_ptr<Process>> Start(const std::vector<std::string>& argv);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  // Becomes readable when the process has ended.
  int end_fd() const { return end_fd_; }
  void Signal(int signal) const;
  // The exit status, 128 + N after signal N; nothing if it has not ended in time.
  std::optional<int> Wait(absl::Duration timeout = kPatience);

  std::string out() const { return ReadAll(directory_ / "out"); }
  std::string err() const { return ReadAll(directory_ / "err"); }

 private:
  Process() = default;

  Directory directory_;
  pid_t pid_ = -1;
  int end_fd_ = -1;
  std::optional<int> status_;
};

// Makes a daemon serve metrics on a free port. Not by default: its HTTP server takes its time to stop.
inline constexpr char kMetrics[] = "--metrics=127.0.0.1:0";

// How a program that ends by itself ended.
struct Ended {
  std::optional<int> status;
  std::string out;
  std::string err;
};

// bwrtd with flags that keep it from serving.
Ended RunDaemon(const std::vector<std::string>& flags);

// A bwrtd that serves.
class Daemon {
 public:
  // Returns once it serves; otherwise says what it printed. Where `flags` name no --listen it listens on a Unix
  // socket and a free loopback port; where they name no --device it is the CPU.
  // `program` is among the test's data; empty: bwrtd.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(std::vector<std::string> flags = {}, std::string program = "");

  pid_t pid() const { return process_->pid(); }
  const std::string& ready_file() const { return ready_file_; }  // Its path.
  const std::string& ready_text() const { return ready_text_; }  // What it held.
  const std::vector<std::string>& addresses() const { return addresses_; }
  std::string unix_address() const;  // The first of its kind; empty where there is none.
  std::string tcp_address() const;
  const std::string& metrics_address() const { return metrics_; }
  std::string log() const { return process_->err(); }

  void Signal(int signal) const { process_->Signal(signal); }
  std::optional<int> Wait(absl::Duration timeout = kPatience) { return process_->Wait(timeout); }
  // Drains it; its exit status.
  std::optional<int> Stop();
  // Peak resident memory, in bytes.
  int64_t PeakMemory() const;

 private:
  Daemon() = default;
  absl::Status WaitUntilReady();

  Directory directory_;
  std::string ready_file_;
  std::string ready_text_;
  std::vector<std::string> addresses_;
  std::string metrics_;
  std::unique_ptr<Process> process_;
};

}  // namespace bwrt::e2e

#endif  // BWRT_TESTS_E2E_DAEMON_PROCESS_H_
