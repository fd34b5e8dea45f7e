// Runtime: everything the daemon does, without the wire: admission, waves, weights, samples, drain.
//
// The one door between server/ and what lies below. Thread-safe. Owned by the composition point (server's
// main), which must keep what is in the context alive until the runtime is gone.
//
// A wave's way: Submit -> WaveValidator -> WaveQueue -> Lanes -> Model::Start (lease) -> Device::Run -> retire
// -> callback. A swap's way is weights.h's.
#ifndef BWRT_RUNTIME_RUNTIME_H_
#define BWRT_RUNTIME_RUNTIME_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/clock.h"
#include "runtime/device.h"
#include "runtime/device_counters.h"
#include "runtime/executor.h"
#include "runtime/lanes.h"
#include "runtime/limits.h"
#include "runtime/model.h"
#include "runtime/observer.h"
#include "runtime/sample_recorder.h"
#include "runtime/swap_line.h"
#include "runtime/wave_job.h"
#include "runtime/wave_validator.h"
#include "runtime/weights.h"

namespace bwrt::runtime {

struct RuntimeOptions {
  Limits limits;
  TileWhitelist whitelist = TileWhitelist::Default();
  bool lenient_shapes = false;
  WeightsOptions weights;
  int lanes = 1;  // Waves run at once on a device.
  // Waves that take at most about this long run on the thread that submits them while a lane is idle. 0: none.
  Duration run_here_below{0};
};

// What a runtime works with; all of it outlives the runtime.
struct RuntimeContext {
  Clock* clock = nullptr;
  Executor* bulk = nullptr;     // Builds versions; may be busy for long.
  Executor* reclaim = nullptr;  // Frees what nobody uses any more.
  Executor* journal = nullptr;  // Makes decisions durable.
  RuntimeObserver* observer = nullptr;
  StateStore* state = nullptr;          // Null: versions live as long as the process.
  const RootDirectory* root = nullptr;  // Of LoadFile; null: it is refused.
  Failpoints* failpoints = nullptr;     // Null but in tests.
};

// For a scrape: values already recorded, read without a scheduler lock.
struct Gauges {
  int64_t waves_in_flight = 0;
  int64_t queue_depth = 0;
  Weights::Gauges weights;
};

class Runtime {
 public:
  // `prefetcher` may be null: then io_extents only advance the token clock.
  Runtime(RuntimeOptions options, std::unique_ptr<Device> device, const RuntimeContext& context,
          std::unique_ptr<Prefetcher> prefetcher = nullptr);
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
  // As WaveValidator::PlanTiles; or UNAVAILABLE, as for Submit.
  absl::StatusOr<TilePlan> PlanTiles(const WaveRequest& request) const;

  // Admits a wave; `done` then gets its end, exactly once; a short wave may have ended, `done` and all, before this
  // returns. On an error nothing was admitted and `done` is not called. Errors: those of WaveValidator; NOT_FOUND
  // MODEL_NOT_FOUND; ALREADY_EXISTS WAVE_ID_IN_FLIGHT; RESOURCE_EXHAUSTED QUEUE_FULL; DEADLINE_EXCEEDED; UNAVAILABLE
  // DRAINING.
  using WaveTicket = std::weak_ptr<WaveJob>;
  absl::StatusOr<WaveTicket> Submit(WaveRequest request, WaveCallback done);

  // As Submit, of a wave that measures a device: of no model, so that no version is leased and no window moves; on a
  // lane, where `measurement` does the work; behind all others. What it holds is limited by queue_bytes alone.
  // INVALID_ARGUMENT also where the wave is no tile shape of the whitelist.
  absl::StatusOr<WaveTicket> SubmitMeasurement(WaveRequest request, Measurement measurement, WaveCallback done);

  // Stops an admitted wave between two tiles, or drops it if it has not started. True when it had started. A
  // wave that has ended is left alone.
  bool Cancel(const WaveTicket& ticket);
  // By name. NOT_FOUND WAVE_NOT_FOUND when no such wave is in flight.
  absl::StatusOr<bool> CancelWave(absl::string_view client_id, absl::string_view wave_id);

  // ---- Weights
  Weights& weights() { return weights_; }
  const Weights& weights() const { return weights_; }

  // ---- Telemetry
  struct DeviceView {
    const DeviceInfo* info;
    int lanes;
    std::string hardware_counters;  // As DeviceCounters::text.
  };
  std::vector<DeviceView> Devices() const;
  // Empty name: the first device. NOT_FOUND DEVICE_NOT_FOUND.
  struct DeviceSample {
    std::string device;
    Sample sample;
    DeviceCounters counters;
  };
  absl::StatusOr<DeviceSample> GetSample(absl::string_view device) const;
  Gauges GetGauges() const;
  // The device that the view at that position is of.
  Device& GetDevice(size_t member) { return lanes_.device().member(member); }
  // Null when no page source is configured.
  const Prefetcher* prefetcher() const { return lanes_.prefetcher(); }

  // ---- Restoring
  // With a state directory nothing is served until Restore has returned: UNAVAILABLE RESTORING.
  absl::Status CheckRestored() const;
  // Once, before which nothing else is asked of the runtime that could tell an answer. Blocks. What was damaged, in
  // words.
  std::vector<std::string> Restore();

  // ---- Drain
  bool draining() const { return draining_.load(std::memory_order_relaxed); }
  // Refuses new work, ends waiting swaps, lets admitted waves finish for `grace`, then cancels what is left
  // and waits for that. Blocks. True when nothing had to be cancelled.
  bool Drain(Duration grace);

 private:
  using WaveKey = std::pair<std::string, std::string>;  // client_id, wave_id

  absl::StatusOr<WaveTicket> Enqueue(Wave wave, std::shared_ptr<Model> model, Time arrival,
                                     std::optional<Measurement> measurement, WaveCallback done);
  absl::StatusOr<Wave> Admit(WaveRequest request, WaveValidator::Mode mode, std::shared_ptr<Model>* model) const;
  bool Remember(const WaveJobPtr& job);  // False when its id is in flight already.
  void Forget(const WaveJobPtr& job);
  void EndOne();
  void Expire(const WaveTicket& ticket);
  absl::Status CheckServing() const;

  const RuntimeOptions options_;
  Clock* const clock_;
  RuntimeObserver* const observer_;
  const WaveValidator validator_;
  const WaveValidator measurement_validator_;
  std::atomic<bool> draining_{false};
  std::atomic<bool> restored_;
  std::atomic<uint64_t> last_wave_{0};

  Mutex mu_;
  CondVar idle_;
  int64_t pending_ ABSL_GUARDED_BY(mu_) = 0;  // Waves admitted and not ended.
  bool grace_over_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_map<WaveKey, WaveTicket> named_ ABSL_GUARDED_BY(mu_);
  // Every wave admitted, for the end of the grace period.
  absl::flat_hash_map<WaveNumber, WaveTicket> admitted_ ABSL_GUARDED_BY(mu_);

  const std::unique_ptr<Device> device_;
  Weights weights_;
  // What measurements lease.
  SwapLine measurement_line_;
  const std::shared_ptr<Model> measurement_model_;
  Lanes lanes_;  // Last: its threads use all of the above.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_RUNTIME_H_
