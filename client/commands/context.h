// What every command of bwrtctl shares: where the daemon is, where output goes, and how errors end
// it.
//
// Owned by RunCli; one thread. The streams must outlive it.
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client.h"

namespace bwrt::client {

// Exit statuses.
inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;       // The daemon refused, or a result was wrong.
inline constexpr int kExitUsage = 2;        // Flags, or a file that cannot be read or makes no sense.
inline constexpr int kExitUnreachable = 3;  // Nobody answered.

struct Context {
  std::ostream& out;      // Data.
  std::ostream& err;      // Errors, and progress on a terminal.
  bool terminal = false;  // `err` is one.

  std::string server = {};    // A valid address once parsing is done.
  bool server_named = false;  // Somebody said so: --server or BWRT_SERVER.
  bool json = false;
  // The chosen command; returns the exit status.
  std::function<int()> command = {};

  absl::StatusOr<std::unique_ptr<Client>> Connect() const;

  // Reports an error of the work, and returns its exit status.
  int Fail(const absl::Status& status) const;

  // Reports a mistake of the user's.
  int Usage(const absl::Status& status) const;
};

}  // namespace bwrt::client
