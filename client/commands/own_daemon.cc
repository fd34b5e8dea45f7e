#include "client/commands/own_daemon.h"

namespace bwrt::client {

absl::StatusOr<std::unique_ptr<PrivateDaemon>> StartUnlessNamed(Context& context, v1::SubmitWaveRequest& wave) {
  if (context.server_named) return nullptr;
  auto daemon = PrivateDaemon::Start({.flags = {"--shape-check=lenient", "--log-level=warning"}});
  if (!daemon.ok()) return daemon.status();
  context.server = (*daemon)->address();
  wave.clear_model();
  return daemon;
}

}  // namespace bwrt::client
