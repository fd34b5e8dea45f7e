// A daemon whose device `bwrtctl verify` runs waves on: one that was named, or one of our own.
//
// Owned by the command; used by one thread, the one that opened it (client/private_daemon.h). It publishes models of
// its own and touches no other: neither their weights nor, since waves belong to these models, their swap windows. They
// are deleted when it is closed.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "bwrt/v1/execution.pb.h"
#include "bwrt/v1/wave.pb.h"
#include "client/client.h"
#include "client/private_daemon.h"
#include "client/wave_space.h"

namespace bwrt::client {

// The name of the client's own engine, which is no daemon's device.
inline constexpr absl::string_view kReferenceDevice = "reference";

// INVALID_ARGUMENT: neither kReferenceDevice nor a device that a daemon can be asked for.
absl::Status CheckDeviceName(absl::string_view name);

// Whether a daemon's device called `actual` is what `asked` means: "auto" is any, "cuda" every cuda:N.
bool IsDevice(absl::string_view asked, absl::string_view actual);

class VerifyDaemon {
 public:
  struct Options {
    std::string device = "cpu";
    std::string server = {};  // Empty: one of our own, started with --device.
    bool lenient = false;     // Our own runs shapes that are not whitelisted.
  };

  // - NOT_FOUND: the daemon that was named has no such device; it says which it has.
  // - UNAVAILABLE: there is no daemon, or our own did not start.
  static absl::StatusOr<std::unique_ptr<VerifyDaemon>> Open(const Options& options);
  ~VerifyDaemon();
  VerifyDaemon(const VerifyDaemon&) = delete;
  VerifyDaemon& operator=(const VerifyDaemon&) = delete;

  bool is_private() const { return process_ != nullptr; }
  const v1::GetCapabilitiesResponse& capabilities() const { return capabilities_; }
  // A page source is configured: io_extents would be read.
  bool reads_pages() const { return reads_pages_; }
  const Client& client() const { return *client_; }

  // Makes `model` the current version of the model of its name, which is ours from now on. No wave of it may be in
  // flight. FAILED_PRECONDITION: its swap window is closed, and the daemon does not allow to disregard that.
  absl::Status Publish(const PublishedModel& model);
  // 0: not published.
  uint64_t VersionOf(const std::string& model) const;

  // Puts in what differs from daemon to daemon: the client's id, the whitelist's digest and the required version, where
  // the wave states one.
  void Address(v1::SubmitWaveRequest* wave) const;
  absl::StatusOr<v1::WaveResult> Run(const v1::SubmitWaveRequest& wave, absl::Duration timeout);
  // OK where Run would accept it.
  absl::Status Validate(const v1::SubmitWaveRequest& wave);

 private:
  VerifyDaemon() = default;
  absl::Status Inspect(const Options& options);

  // Destroyed in reverse: the client before what it talks to.
  std::unique_ptr<PrivateDaemon> process_;
  std::unique_ptr<Client> client_;
  v1::GetCapabilitiesResponse capabilities_;
  bool reads_pages_ = false;
  std::map<std::string, uint64_t> versions_;  // Of what was published.
};

}  // namespace bwrt::client
