#include "runtime/cuda_counter_watch.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "runtime/mutex.h"

namespace bwrt::runtime {
namespace {

std::optional<double> Counted(const BwrtCudaCounter& counter) {
  // NaN is none either.
  if (counter.source == BWRT_CUDA_SOURCE_NONE || !(counter.ratio >= 0)) return std::nullopt;
  return std::min(static_cast<double>(counter.ratio), 1.0);
}

}  // namespace

DeviceCounters ToDeviceCounters(const BwrtCudaCounters& counters) {
  DeviceCounters out;
  out.text = std::string(counters.text, strnlen(counters.text, sizeof(counters.text)));
  out.sm_active = Counted(counters.sm_active);
  out.dram_throughput = Counted(counters.dram_throughput);
  if (!out.sm_active || *out.sm_active < kIdleSmActive) return out;
  out.l2_hit = Counted(counters.l2_hit);
  if (const auto tensor = Counted(counters.tensor_active)) {
    out.wgmma_active = std::min(*tensor / *out.sm_active, 1.0);
  }
  return out;
}

struct CudaCounterWatch::State : std::enable_shared_from_this<State> {
  State(std::shared_ptr<CudaConnection> c, CudaCounterOptions o, Executor* e)
      : connection(std::move(c)), options(std::move(o)), executor(e) {}

  DeviceCounters Take(bool* counting) ABSL_EXCLUSIVE_LOCKS_REQUIRED(sampling) {
    *counting = false;
    if (!connection->CheckServing().ok()) return {.text = "none: the GPU is out of service"};
    BwrtCudaError error{};
    if (!started) {
      const BwrtCudaCounterOptions abi{sizeof(abi), options.mode, options.interval.count()};
      if (connection->table().start_counters(connection->device(), &abi, &error) != BWRT_CUDA_OK) return Failed(error);
      started = true;
    }
    BwrtCudaCounters counters{};
    counters.size = sizeof(counters);
    if (connection->table().sample_counters(connection->device(), &counters, &error) != BWRT_CUDA_OK) {
      return Failed(error);
    }
    *counting = counters.counting != 0;
    return ToDeviceCounters(counters);
  }

  static DeviceCounters Failed(const BwrtCudaError& error) {
    return {.text = absl::StrCat("none: ", absl::string_view(error.text, strnlen(error.text, sizeof(error.text))))};
  }

  void Sample() {
    MutexLock alone(sampling);
    if (stopped) return;
    bool counting = false;
    DeviceCounters taken = Take(&counting);
    const bool tell = taken.text != told;
    told = taken.text;
    {
      MutexLock lock(mu);
      last = std::move(taken);
      at = options.clock->Now();
    }
    if (tell && options.on_text) options.on_text(told, counting);
    alarm = options.clock->SetAlarm(options.clock->Now() + options.interval, [weak = weak_from_this()] {
      // Not on the clock's thread: a sample may take long.
      if (const auto self = weak.lock()) self->executor->Post([self] { self->Sample(); });
    });
  }

  const std::shared_ptr<CudaConnection> connection;
  const CudaCounterOptions options;
  Executor* const executor;
  Mutex sampling;  // Before mu. Held while the plugin is asked.
  bool started ABSL_GUARDED_BY(sampling) = false;
  bool stopped ABSL_GUARDED_BY(sampling) = false;
  std::string told ABSL_GUARDED_BY(sampling);
  Clock::AlarmId alarm ABSL_GUARDED_BY(sampling) = Clock::kNoAlarm;
  Mutex mu;
  DeviceCounters last ABSL_GUARDED_BY(mu);
  Time at ABSL_GUARDED_BY(mu);
};

CudaCounterWatch::CudaCounterWatch(std::shared_ptr<CudaConnection> connection, const CudaCounterOptions& options,
                                   Executor* executor)
    : state_(std::make_shared<State>(std::move(connection), options, executor)) {
  state_->Sample();
}

CudaCounterWatch::~CudaCounterWatch() {
  Clock::AlarmId alarm = Clock::kNoAlarm;
  {
    MutexLock alone(state_->sampling);
    state_->stopped = true;
    alarm = state_->alarm;
    if (state_->started) state_->connection->table().stop_counters(state_->connection->device());
  }
  state_->options.clock->CancelAlarm(alarm);
  // One that was firing may have been about to post.
  state_->options.clock->Quiesce();
}

DeviceCounters CudaCounterWatch::Read() const {
  const Time now = state_->options.clock->Now();
  MutexLock lock(state_->mu);
  if (now - state_->at <= kStale * state_->options.interval) return state_->last;
  return {.text = absl::StrCat("none: nothing was read for ", kStale, " intervals; before that: ", state_->last.text)};
}

}  // namespace bwrt::runtime
