// gRPC channels as the client makes them. For the .cc files of the client: it pulls in gRPC.
//
// Free functions; thread-safe.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "absl/time/time.h"

namespace bwrt::client {

// To `address`, "unix:PATH" or "HOST:PORT", with a connection of its own. Limits in bytes; -1: none.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address, int max_send_bytes, int max_receive_bytes);

// False when nobody accepts in time; at once when the connection is refused.
bool WaitUntilConnected(grpc::Channel& channel, absl::Duration timeout);

}  // namespace bwrt::client
