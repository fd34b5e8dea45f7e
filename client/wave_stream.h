// Many waves over one RPC, StreamWaves. Results come as waves finish; `sequence` pairs them with
// requests.
//
// Owned by the caller; must not outlive its Client. One thread may write while another reads;
// Cancel is safe from any thread. Destroying a stream that has not been finished cancels it.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "bwrt/v1/execution.pb.h"

namespace bwrt::client {

class WaveStream {
 public:
  virtual ~WaveStream() = default;

  // Sends one wave; blocks while the daemon is not reading. False: the stream is broken, Finish
  // says why.
  virtual bool Write(const v1::StreamWavesRequest& request) = 0;

  // No more waves will be written. Required before Finish can return OK. False as for Write.
  virtual bool WritesDone() = 0;

  // The next result; blocks for it. Nothing: the stream has ended, Finish says how. A wave that
  // failed alone is a result too: its `error` converts with FromRpcStatus (client/status.h).
  virtual std::optional<v1::StreamWavesResponse> Read() = 0;

  // How the stream ended. Call it from the reading thread, once, after Read has returned nothing
  // and writing has ended; results not read are lost.
  virtual absl::Status Finish() = 0;

  // Ends the stream at once; waves in flight are stopped between two tiles.
  virtual void Cancel() = 0;
};

}  // namespace bwrt::client
