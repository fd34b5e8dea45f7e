// Chunks of an open update over one RPC, StageWeights.
//
// Owned by the caller; must not outlive its Client. One thread writes and finishes; Cancel is safe from any thread.
// Destroying a stream that has not been finished cancels it: what the daemon wrote until then stays staged.
#pragma once

#include "absl/status/statusor.h"
#include "bwrt/v1/weights.pb.h"

namespace bwrt::client {

class StageStream {
 public:
  virtual ~StageStream() = default;

  // Sends one declaration or chunk; the first message names the update. Blocks while the daemon is not reading. False:
  // the stream is broken, Finish says why.
  virtual bool Write(const v1::StageWeightsRequest& request) = 0;

  // Ends the stream and waits for the daemon's answer. Once.
  virtual absl::StatusOr<v1::StageWeightsResponse> Finish() = 0;

  // Ends the stream at once.
  virtual void Cancel() = 0;
};

}  // namespace bwrt::client
