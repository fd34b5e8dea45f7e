#include "client/commands/verify_sides.h"

#include <utility>

namespace bwrt::client {

absl::StatusOr<OpenSides> OpenVerifySides(const Context& context, const VerifyOptions& options, bool lenient) {
  const std::string server = context.server_named ? context.server : "";
  OpenSides sides;
  const auto open = [](const VerifyDaemon::Options& daemon, std::unique_ptr<VerifyDaemon>* to) {
    auto opened = VerifyDaemon::Open(daemon);
    if (!opened.ok()) return opened.status();
    *to = *std::move(opened);
    return absl::OkStatus();
  };
  const bool has_device = options.device != kReferenceDevice, has_reference = options.ref_device != kReferenceDevice;
  absl::Status status;
  if (has_device) {
    status = open({.device = options.device, .server = server, .lenient = lenient}, &sides.device);
  }
  if (status.ok() && has_reference) {
    // It takes whatever waves the device takes.
    status = open({.device = options.ref_device, .lenient = lenient || has_device}, &sides.reference);
  }
  if (status.ok() && !has_device && !has_reference) {
    status = open({.device = server.empty() ? "cpu" : "auto", .server = server, .lenient = lenient}, &sides.judge);
  }
  if (!status.ok()) return status;
  return sides;
}

std::string NameOf(const std::string& device, const std::unique_ptr<VerifyDaemon>& daemon) {
  if (device != "auto" || daemon == nullptr || daemon->capabilities().devices_size() != 1) return device;
  return daemon->capabilities().devices(0).name();
}

}  // namespace bwrt::client
