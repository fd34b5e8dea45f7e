// Runtime: everything the daemon does, without the wire: admission, waves, weights, samples, drain.
//
// The one door between server/ and what lies below. Thread-safe. Owned by the composition point (server's
// main), which must keep clock, executor and observer alive until the runtime is gone.
//
// A wave's way: Submit -> WaveValidator -> WaveQueue -> Lanes -> Model::Start (lease) -> Device::Run -> retire
// -> callback. A swap's way: SetWeights -> executor (upload, build) -> Model::Swap (window, flip) -> callback.
#ifndef BWRT_RUNTIME_RUNTIME_H_
#define BWRT_RUNTIME_RUNTIME_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/clock.h"
#include "runtime/device.h"
#include "runtime/executor.h"
#include "runtime/lanes.h"
#include "runtime/limits.h"
#include "runtime/model.h"
#include "runtime/model_registry.h"
#include "runtime/observer.h"
#include "runtime/sample_recorder.h"
#include "runtime/set_weights.h"
#include "runtime/wave_job.h"
#include "runtime/wave_validator.h"
#include "runtime/weight_budget.h"
#include "runtime/weight_swap.h"

namespace bwrt::runtime {

struct RuntimeOptions {
  Limits limits;
  TileWhitelist whitelist = TileWhitelist::Default();
  bool lenient_shapes = false;
  ModelOptions model;
  int lanes = 1;  // Waves run at once on a device.
};

// For a scrape: values already recorded, read without a scheduler lock.
struct Gauges {
  int64_t waves_in_flight = 0;
  int64_t queue_depth = 0;
  int64_t committed_bytes = 0;
  int64_t staged_bytes = 0;
  int64_t retiring_bytes = 0;
};

class Runtime {
 public:
  // `prefetcher` may be null: then io_extents only advance the token clock.
  Runtime(RuntimeOptions options, std::unique_ptr<Device> device, Clock* clock, Executor* executor,
          RuntimeObserver* observer, std::unique_ptr<Prefetcher> prefetcher = nullptr);
  // Ends what still waits (Drain first for a clean end), runs out what runs.
  ~Runtime();

  const RuntimeOptions& options() const { return options_; }
  const WaveValidator& validator() const { return validator_; }

  // ---- Waves
  // Checks a wave as Submit would and says what would run. Errors as for Submit, but for the queue's.
  struct Preview {
    Wave wave;
    EffectiveSpec effective;
  };
  absl::StatusOr<Preview> Validate(const WaveRequest& request) const;

  // Admits a wave; `done` then gets its end, exactly once. On an error nothing was admitted and `done` is not
  // called. Errors: those of WaveValidator; NOT_FOUND MODEL_NOT_FOUND; ALREADY_EXISTS WAVE_ID_IN_FLIGHT;
  // RESOURCE_EXHAUSTED QUEUE_FULL; DEADLINE_EXCEEDED; UNAVAILABLE DRAINING.
  using WaveTicket = std::weak_ptr<WaveJob>;
  absl::StatusOr<WaveTicket> Submit(WaveRequest request, WaveCallback done);

  // Stops an admitted wave between two tiles, or drops it if it has not started. True when it had started. A
  // wave that has ended is left alone.
  bool Cancel(const WaveTicket& ticket);
  // By name. NOT_FOUND WAVE_NOT_FOUND when no such wave is in flight.
  absl::StatusOr<bool> CancelWave(absl::string_view client_id, absl::string_view wave_id);

  // ---- Weights
  // Errors of the request itself, TOO_MANY_SWAPS and DRAINING are returned; everything later goes to `done`.
  absl::StatusOr<std::shared_ptr<WeightSwap>> SetWeights(SetWeightsRequest request, SwapDone done);
  absl::StatusOr<std::shared_ptr<Model>> FindModel(absl::string_view name) const;
  std::vector<std::shared_ptr<Model>> Models() const { return models_.All(); }

  // ---- Telemetry
  struct DeviceView {
    const DeviceInfo* info;
    int lanes;
  };
  std::vector<DeviceView> Devices() const;
  // Empty name: the first device. NOT_FOUND DEVICE_NOT_FOUND.
  struct DeviceSample {
    std::string device;
    Sample sample;
  };
  absl::StatusOr<DeviceSample> GetSample(absl::string_view device) const;
  Gauges GetGauges() const;
  // Null when no page source is configured.
  const Prefetcher* prefetcher() const { return lanes_.prefetcher(); }

  // ---- Drain
  bool draining() const { return draining_.load(std::memory_order_relaxed); }
  // Refuses new work, ends waiting swaps, lets admitted waves finish for `grace`, then cancels what is left
  // and waits for that. Blocks. True when nothing had to be cancelled.
  bool Drain(Duration grace);

 private:
  using WaveKey = std::pair<std::string, std::string>;  // client_id, wave_id

  absl::StatusOr<Wave> Admit(WaveRequest request, WaveValidator::Mode mode, std::shared_ptr<Model>* model) const;
  bool Remember(const WaveJobPtr& job);  // False when its id is in flight already.
  void Forget(const WaveJobPtr& job);
  void EndOne();
  void Expire(const WaveTicket& ticket);
  WeightSwap::Context SwapContext();

  const RuntimeOptions options_;
  Clock* const clock_;
  Executor* const executor_;
  RuntimeObserver* const observer_;
  const WaveValidator validator_;
  WeightBudget budget_;
  std::atomic<bool> draining_{false};
  std::atomic<uint64_t> last_wave_{0};
  std::atomic<int64_t> staged_bytes_{0};

  Mutex mu_;
  CondVar idle_;
  int64_t pending_ ABSL_GUARDED_BY(mu_) = 0;  // Waves and swaps admitted and not ended.
  uint64_t last_swap_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<uint64_t, std::weak_ptr<WeightSwap>> swaps_ ABSL_GUARDED_BY(mu_);
  bool grace_over_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_map<WaveKey, WaveTicket> named_ ABSL_GUARDED_BY(mu_);
  // Every wave admitted, for the end of the grace period.
  absl::flat_hash_map<WaveNumber, WaveTicket> admitted_ ABSL_GUARDED_BY(mu_);

  ModelRegistry models_;
  Lanes lanes_;  // Last: its threads use all of the above.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_RUNTIME_H_
