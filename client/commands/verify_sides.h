// The daemons that bwrtctl verify compares.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/commands/context.h"
#include "client/verifier.h"
#include "client/verify_daemon.h"

namespace bwrt::client {

// Those whose daemons verify has opened.
struct OpenSides {
  std::unique_ptr<VerifyDaemon> device;
  std::unique_ptr<VerifyDaemon> reference;
  std::unique_ptr<VerifyDaemon> judge;

  VerifySides sides() const {
    VerifyDaemon* any = device != nullptr ? device.get() : reference != nullptr ? reference.get() : judge.get();
    return {.device = device.get(), .reference = reference.get(), .judge = any};
  }
};

// Connects to the named daemon, and starts those of our own.
absl::StatusOr<OpenSides> OpenVerifySides(const Context& context, const VerifyOptions& options, bool lenient);

// What "auto" came to be, where there is no choice.
std::string NameOf(const std::string& device, const std::unique_ptr<VerifyDaemon>& daemon);

}  // namespace bwrt::client
