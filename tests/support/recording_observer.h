// RecordingObserver: remembers what the runtime reported. Thread-safe.
#ifndef BWRT_TESTS_SUPPORT_RECORDING_OBSERVER_H_
#define BWRT_TESTS_SUPPORT_RECORDING_OBSERVER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "runtime/mutex.h"
#include "runtime/observer.h"

namespace bwrt::runtime {

class RecordingObserver final : public RuntimeObserver {
 public:
  struct WaveEnded {
    std::string model;
    std::string device;
    WaveOutcome outcome;
    std::optional<Timings> timings;
    std::optional<Readings> readings;
    std::optional<Placement> placement{};
  };
  struct SwapEnded {
    std::string model;
    SwapEnd end;
    Duration waited;
  };
  struct HoldEnded {
    std::string model;
    Duration held;
  };

  void OnWaveEnd(const WaveEnd& end) override {
    WaveEnded ended{std::string(end.model), std::string(end.device), end.outcome, {}, {}};
    if (end.timings != nullptr) ended.timings = *end.timings;
    if (end.readings != nullptr) ended.readings = *end.readings;
    if (end.placement != nullptr) ended.placement = *end.placement;
    MutexLock lock(mu_);
    waves_.push_back(std::move(ended));
  }
  void OnWaveRejected(absl::string_view reason) override {
    MutexLock lock(mu_);
    rejections_.emplace_back(reason);
  }
  void OnExtentPages(absl::string_view outcome, int64_t pages) override {
    MutexLock lock(mu_);
    extent_pages_.emplace_back(std::string(outcome), pages);
  }
  void OnSwapEnd(absl::string_view model, SwapEnd end, Duration waited) override {
    MutexLock lock(mu_);
    swaps_.push_back({std::string(model), end, waited});
  }
  void OnHoldEnd(absl::string_view model, Duration held) override {
    MutexLock lock(mu_);
    holds_.push_back({std::string(model), held});
  }
  void OnLoadFailed(absl::string_view model, const absl::Status& why) override {
    MutexLock lock(mu_);
    failed_loads_.emplace_back(std::string(model), why);
  }
  void OnStaged(int64_t bytes) override {
    MutexLock lock(mu_);
    staged_.push_back(bytes);
  }

  std::vector<WaveEnded> waves() const { return Copy(waves_); }
  std::vector<std::string> rejections() const { return Copy(rejections_); }
  std::vector<std::pair<std::string, int64_t>> extent_pages() const { return Copy(extent_pages_); }
  std::vector<SwapEnded> swaps() const { return Copy(swaps_); }
  std::vector<HoldEnded> holds() const { return Copy(holds_); }
  std::vector<std::pair<std::string, absl::Status>> failed_loads() const { return Copy(failed_loads_); }
  std::vector<int64_t> staged() const { return Copy(staged_); }

 private:
  template <typename T>
  T Copy(const T& list) const {
    MutexLock lock(mu_);
    return list;
  }

  mutable Mutex mu_;
  std::vector<WaveEnded> waves_;
  std::vector<std::string> rejections_;
  std::vector<std::pair<std::string, int64_t>> extent_pages_;
  std::vector<SwapEnded> swaps_;
  std::vector<HoldEnded> holds_;
  std::vector<std::pair<std::string, absl::Status>> failed_loads_;
  std::vector<int64_t> staged_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_SUPPORT_RECORDING_OBSERVER_H_
