// A stream of events from the daemon.
//
// Owned by the caller; must not outlive its Client. One thread calls Next; Cancel is safe from any
// thread. Destroying a watch cancels it.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "bwrt/v1/execution.pb.h"
#include "bwrt/v1/telemetry.pb.h"
#include "bwrt/v1/weights.pb.h"
#include "grpc/health/v1/health.pb.h"

namespace bwrt::client {

template <class Event>
class Watch {
 public:
  virtual ~Watch() = default;

  // The next event; blocks for it. Nothing: the watch has ended in order, or Cancel was called.
  // After an error or nothing, every further call returns the same.
  virtual absl::StatusOr<std::optional<Event>> Next() = 0;

  // Makes Next return nothing, soon; events not yet read may be lost.
  virtual void Cancel() = 0;
};

using ModelWatch = Watch<v1::ModelEvent>;
using LoadWatch = Watch<v1::LoadFileProgress>;
using SampleWatch = Watch<v1::SampleResponse>;
using TuneWatch = Watch<v1::TuneResponse>;
using HealthWatch = Watch<grpc::health::v1::HealthCheckResponse>;

}  // namespace bwrt::client
