// The daemon of a command that only asks: the one that was named, else one of its own.
//
// One thread, which must outlive what is returned.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "bwrt/v1/wave.pb.h"
#include "client/commands/context.h"
#include "client/private_daemon.h"

namespace bwrt::client {

// Null where a server was named. Else a bwrtd of our own, which takes every tile shape and knows but the default model:
// `context.server` and `wave` are made to fit it.
absl::StatusOr<std::unique_ptr<PrivateDaemon>> StartUnlessNamed(Context& context, v1::SubmitWaveRequest& wave);

}  // namespace bwrt::client
