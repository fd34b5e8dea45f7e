// The flags of every command that makes a version current: when it may.
//
// Free functions, used while RunCli builds its parser; the flags must outlive the parse.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "bwrt/v1/weights.pb.h"
#include "client/commands/flags.h"

namespace bwrt::client {

struct SwapFlags {
  v1::SwapPolicy policy = v1::IN_WINDOW;
  std::optional<absl::Duration> wait_timeout = {};
  std::optional<absl::Duration> hold_after = {};
};

inline std::vector<CLI::Option*> AddSwapFlags(CLI::App& command, SwapFlags* flags) {
  return {
      AddChoice<v1::SwapPolicy>(
          command, "--policy", &flags->policy,
          {{"in-window", v1::IN_WINDOW}, {"wait", v1::WAIT_FOR_WINDOW}, {"when-idle", v1::WHEN_IDLE}},
          "in-window (default): now or never; wait: for the window; when-idle: also while no wave runs"),
      AddDuration(command, "--wait-timeout", &flags->wait_timeout, "How long wait waits; default 30s"),
      AddDuration(command, "--hold-after", &flags->hold_after,
                  "After how long wait holds new waves back; default never"),
  };
}

// Fills a SetWeights, Commit or Rollback request.
template <class Request>
void SetSwap(const SwapFlags& flags, Request* request) {
  request->set_policy(flags.policy);
  if (flags.wait_timeout.has_value()) *request->mutable_wait_timeout() = ToProto(*flags.wait_timeout);
  if (flags.hold_after.has_value()) *request->mutable_hold_after() = ToProto(*flags.hold_after);
}

}  // namespace bwrt::client
