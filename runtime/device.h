// Device: something that holds buffers and runs waves.
#ifndef BWRT_RUNTIME_DEVICE_H_
#define BWRT_RUNTIME_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/cache_counts.h"
#include "kernels/dtype.h"
#include "runtime/clock.h"
#include "runtime/device_counters.h"
#include "runtime/placement.h"
#include "runtime/shared_cache.h"
#include "runtime/tensor.h"
#include "runtime/wave.h"
#include "runtime/weight_budget.h"

namespace bwrt::runtime {

// Told by a device how a wave comes along. Called by the threads that run the wave, one at a time.
class WaveProgress {
 public:
  virtual ~WaveProgress() = default;
  // Token `finished`, if any, is done, and token `started`, if any, begins; one call, so that the clock
  // never shows a state between the two. A status other than OK tells the device to stop here: the wave was
  // cancelled, or its deadline has passed. Both may be absent: then only that question is asked.
  virtual absl::Status Step(std::optional<int64_t> finished, std::optional<int64_t> started) = 0;
  // Where the wave runs, told before its first step by what chooses between devices; the last call counts.
  virtual void Placed(const Placement& /*placement*/) {}
};

struct DeviceInfo {
  std::string name;         // Such as "cpu".
  std::string description;  // For people.
  std::vector<kernels::DType> dtypes;
  std::vector<std::string> kernels;
  // Of what it works with, such as {"cublaslt", "13.1.0"}; by name, in the device's order.
  std::vector<std::pair<std::string, std::string>> versions{};
  // That traversals are modelled in.
  SharedCache cache = {};
  // What they count, for people; or "none: " and why. Empty: it has no use for any, or Device::Counters says it.
  std::string hardware_counters = {};
};

// What one run took and did; queue and prefetch are the scheduler's to add.
struct WaveReport {
  EffectiveSpec effective;
  Timings timings;
  Readings readings;
  std::optional<kernels::CacheCounts> hardware_counts;  // While its tiles were computed; absent where nothing counted.
};

// What a device found to run waves of one kind with.
struct TunedAlgorithm {
  std::string algorithm;  // For people.
  Duration median{0};
  Duration first_choice{0};           // Median of what it would have taken otherwise.
  int timed = 0;                      // Candidates.
  std::vector<std::string> rejected;  // For a wrong result, in words.
};

// Thread-safe: several lanes run waves on one device at once.
class Device {
 public:
  virtual ~Device() = default;

  virtual const DeviceInfo& info() const = 0;

  // The devices that waves run on: this one, unless it stands for several. They live as long as this one does.
  virtual std::vector<const DeviceInfo*> members() const { return {&info()}; }

  // What hardware counters last said of the member with this index: values already recorded, no call of the device.
  virtual DeviceCounters Counters(size_t member) const { return {.text = members()[member]->hardware_counters}; }
  // The device of that member; this one, unless it stands for several.
  virtual Device& member(size_t /*index*/) { return *this; }

  // UNAVAILABLE with the reason while the device is out of service, in which every wave would fail.
  virtual absl::Status CheckServing() const { return absl::OkStatus(); }

  // Makes a tensor resident. RESOURCE_EXHAUSTED when the budget or memory does not allow it; nothing is kept then.
  virtual absl::StatusOr<std::shared_ptr<const DeviceTensor>> Upload(HostTensor tensor, WeightBudget& budget) = 0;

  // Bytes of the layouts that Prepare will make for a tensor of `type` that replaces `predecessor`, which may be null:
  // what to reserve before any work is done. More once waves have used the predecessor in another layout. Saturates.
  virtual Bytes LayoutBytes(const TensorType& type, const DeviceTensor* predecessor) const = 0;

  // Makes the layouts that waves will want of a tensor of this device, off their path: those that served
  // `predecessor`, the tensor it replaces, or null. `room`, of kLayout, is what has been reserved for them; more comes
  // from the tensor's budget. RESOURCE_EXHAUSTED, reason WEIGHT_MEMORY, when that has no room for a layout, which is
  // then left out before any work on it is done; without that reason, when the machine has no memory. A tensor works
  // without: then the first wave makes what it wants.
  virtual absl::Status Prepare(const DeviceTensor& tensor, const DeviceTensor* predecessor,
                               WeightBudget::Reservation room) = 0;

  // What Run would execute. Pure.
  virtual EffectiveSpec Plan(const Wave& wave) const = 0;

  // About how long Run takes where nothing else runs. Pure. A device that can't tell says Duration::max().
  virtual Duration RoughTime(const Wave& /*wave*/) const { return Duration::max(); }

  // What Run will allocate for copies of operands in layouts of its own, which can be many times their size. Pure;
  // saturates.
  virtual Bytes WorkingBytes(const Wave& wave) const = 0;

  // Runs the wave's tiles in order and leaves C in `c`. `w` is the leased tensor, or null for a wave that
  // brings its own; it was uploaded by this device and fits the wave. The prefetch tokens have finished: the first
  // tile's is tokens.prefetch.
  // On an error `c` is unspecified.
  virtual absl::StatusOr<WaveReport> Run(const Wave& wave, const DeviceTensor* w, WaveProgress& progress,
                                         std::string& c) = 0;

  // Times what the device could run waves of this kind with, for about `budget` at most, on data of its own: operands
  // are not followed. Waves of the kind run with the fastest right one from then on. Nullopt where there is no choice.
  // Stops where `progress` says so, and then changes nothing.
  virtual absl::StatusOr<std::optional<TunedAlgorithm>> Tune(const Wave& /*wave*/, Duration /*budget*/,
                                                             WaveProgress& /*progress*/) {
    return std::nullopt;
  }
  // Everything that Tune has found, to be kept: printable, of at most kMaxTuningBytes each.
  static constexpr size_t kMaxTuningBytes = 512;
  virtual std::vector<std::string> Tunings() const { return {}; }
  // Takes one of them back, once more checked. Not OK: why it can't be; it is not used then.
  virtual absl::Status RestoreTuning(absl::string_view /*tuning*/) {
    return absl::InvalidArgumentError("this device has no choice of algorithms");
  }
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_DEVICE_H_
