// A bwrtd of our own, for commands that need a device and were not told which daemon to ask.
//
// Owned by whoever started it; not thread-safe. It serves on a Unix socket in a fresh directory that only this user can
// enter, and ends with SIGTERM when destroyed. It dies with the *thread* that started it (PR_SET_PDEATHSIG), so that no
// daemon outlives a killed process: start it on the main thread, or on one that outlives it. Only the directory of a
// killed process stays behind.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace bwrt::client {

// The bwrtd that belongs to this program: ../server/bwrtd of a build tree, bwrtd beside this program, or the first on
// PATH. UNAVAILABLE: none is there; says where it was looked for.
absl::StatusOr<std::string> FindDaemon();

class PrivateDaemon {
 public:
  struct Options {
    std::string binary = {};              // Empty: FindDaemon().
    std::vector<std::string> flags = {};  // On top of where it listens.
    absl::Duration patience = absl::Seconds(30);
  };

  // Returns once it serves.
  // - UNAVAILABLE: there is no bwrtd, or it ended; with what it said.
  // - DEADLINE_EXCEEDED: it did not serve in time.
  static absl::StatusOr<std::unique_ptr<PrivateDaemon>> Start(Options options);
  ~PrivateDaemon();
  PrivateDaemon(const PrivateDaemon&) = delete;
  PrivateDaemon& operator=(const PrivateDaemon&) = delete;

  // "unix:PATH".
  const std::string& address() const { return address_; }
  pid_t pid() const { return pid_; }

 private:
  PrivateDaemon() = default;

  absl::Status MakeDirectory();
  absl::Status Spawn(const std::string& binary, const std::vector<std::string>& flags);
  absl::Status WaitUntilReady(absl::Duration patience);
  // False where it did not end in time.
  bool WaitForEnd(absl::Duration patience) const;
  std::string LastWords() const;

  std::string directory_;
  std::string ready_file_;
  std::string address_;
  pid_t pid_ = -1;
  int end_fd_ = -1;  // Readable once the process has ended.
  int log_fd_ = -1;  // What it wrote to stderr; a file without a name.
};

}  // namespace bwrt::client
