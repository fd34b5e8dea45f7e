#include "tests/bench/flip_bench.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/cpu_tensor.h"
#include "runtime/executor.h"
#include "runtime/lease.h"
#include "runtime/model.h"
#include "runtime/observer.h"
#include "runtime/swap.h"
#include "runtime/swap_line.h"
#include "runtime/system_clock.h"
#include "runtime/weight_budget.h"
#include "runtime/weight_memory.h"
#include "runtime/weight_version.h"
#include "tests/bench/real_time.h"
#include "tests/bench/require.h"
#include "tests/bench/samples.h"

namespace bwrt::bench {
namespace {

using runtime::Model;
using runtime::WeightVersion;

// The wave's thread first: with fewer cores than threads it would else wait for one that frees.
constexpr int kOthers = 0;
constexpr int kWaves = 1;
constexpr int kWarmUp = 20;
constexpr int kShamEvery = 4;
constexpr std::chrono::microseconds kBetweenIntervals(20);
constexpr double kBetweenArrivalsUs = 10;
constexpr int64_t kWarmUpWaves = 1000;
constexpr size_t kPage = 4096;
constexpr int kU8 = 6;

class NoObserver final : public runtime::RuntimeObserver {
 public:
  void OnWaveEnd(const runtime::WaveEnd& /*end*/) override {}
  void OnWaveRejected(absl::string_view /*reason*/) override {}
  void OnExtentPages(absl::string_view /*outcome*/, int64_t /*pages*/) override {}
  void OnSwapEnd(absl::string_view /*model*/, runtime::SwapEnd /*end*/, runtime::Duration /*waited*/) override {}
  void OnHoldEnd(absl::string_view /*model*/, runtime::Duration /*held*/) override {}
  void OnLoadFailed(absl::string_view /*model*/, const absl::Status& /*why*/) override {}
  void OnStaged(int64_t /*bytes*/) override {}
};

// What the waves that started while a version was replaced and freed had to wait for.
struct Delays {
  double flip_us = 0;     // The longest Start that overlapped the flip.
  double sample_us = 0;   // Of one wave that came at a random time while the old version was being freed.
  double longest_us = 0;  // Of all waves.
};

// A thread that starts and retires waves in intervals: one after the other without pause around a flip, and at random
// times while a version is freed. A wave that comes while an earlier one is held up waits as well, and counts from when
// it came.
class WaveLoop {
 public:
  WaveLoop(Model* model, size_t intervals) : model_(model), delays_(intervals), thread_([this] { Run(); }) {}
  ~WaveLoop() {
    stop_.store(true);
    if (thread_.joinable()) thread_.join();
  }
  WaveLoop(const WaveLoop&) = delete;
  WaveLoop& operator=(const WaveLoop&) = delete;

  // An interval: what happens between the first two is a flip, and between the last two the freeing. Waves have been
  // running for a while then: what the first ones take is not the flip's doing.
  void BeginFlip() {
    Enter(Phase::kWarmUp);
    AwaitWaves(kWarmUpWaves);
    Enter(Phase::kFlip);
  }
  void BeginFree() {
    AwaitWave();
    Enter(Phase::kFree);
  }
  void End() {
    AwaitWave();
    Enter(Phase::kIdle);
    interval_.fetch_add(1);
  }

  // Ends the thread.
  std::vector<Delays> Finish() {
    stop_.store(true);
    thread_.join();
    return delays_;
  }

 private:
  enum class Phase { kIdle, kWarmUp, kFlip, kFree };

  // Returns when waves start as `phase` has them.
  void Enter(Phase phase) {
    phase_.store(phase);
    if (phase == Phase::kIdle) {
      while (!idle_.load()) std::this_thread::yield();
    } else {
      AwaitWave();
    }
  }
  // One that starts from now on.
  void AwaitWave() { AwaitWaves(2); }
  void AwaitWaves(int64_t waves) {
    const int64_t begun = waves_.load();
    while (waves_.load() < begun + waves) std::this_thread::yield();
  }

  void Run() {
    while (!stop_.load(std::memory_order_relaxed)) {
      const Phase phase = phase_.load();
      idle_.store(phase == Phase::kIdle);
      switch (phase) {
        case Phase::kIdle:
          std::this_thread::sleep_for(kBetweenIntervals);
          break;
        case Phase::kWarmUp:
          StartWave();
          break;
        case Phase::kFlip: {
          Delays& delays = delays_[interval_.load()];
          const auto [begin, end] = StartWave();
          delays.flip_us = std::max(delays.flip_us, end - begin);
          delays.longest_us = std::max(delays.longest_us, end - begin);
          break;
        }
        case Phase::kFree:
          Arrive(&delays_[interval_.load()]);
          break;
      }
    }
  }

  // Waves that come at random times, until the phase ends.
  void Arrive(Delays* delays) {
    std::exponential_distribution<double> pause(1 / kBetweenArrivalsUs);
    int64_t seen = 0;
    const auto wave = [&](double us) {
      // Each of them equally likely.
      if (std::uniform_int_distribution<int64_t>(0, seen++)(random_) == 0) delays->sample_us = us;
      delays->longest_us = std::max(delays->longest_us, us);
    };
    double next = watch_.seconds() * 1e6 + pause(random_);
    while (phase_.load() == Phase::kFree) {
      while (watch_.seconds() * 1e6 < next && phase_.load(std::memory_order_relaxed) == Phase::kFree) {
      }
      const auto [begin, end] = StartWave();
      wave(end - begin);
      next += pause(random_);
      while (next < end) {  // Those that came while this one was held up.
        if (next > begin) wave(end - next);
        next += pause(random_);
      }
    }
  }

  // From when to when it waited for its lease, in us. Retires it.
  std::pair<double, double> StartWave() {
    const double begin = watch_.seconds() * 1e6;
    auto lease = model_->Start(wave_);
    const double end = watch_.seconds() * 1e6;
    (*lease)->Step(std::nullopt, 0);
    (*lease)->Retire();
    waves_.fetch_add(1);
    return {begin, end};
  }

  Model* const model_;
  const runtime::WaveStart wave_ = [] {
    runtime::WaveStart wave;
    wave.number = runtime::WaveNumber(1);
    return wave;
  }();
  const Stopwatch watch_;
  std::mt19937_64 random_{1};
  std::vector<Delays> delays_;
  std::atomic<size_t> interval_{0};
  std::atomic<Phase> phase_{Phase::kIdle};
  std::atomic<bool> idle_{true};
  std::atomic<int64_t> waves_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;  // Last: it uses all of the above.
};

class Versions {
 public:
  Versions(const FlipCase& flip_case, runtime::WeightBudget* budget, runtime::WeightMemory* memory)
      : case_(flip_case), budget_(budget), memory_(memory) {}

  // Fresh tensors in the place of all of `base`.
  WeightVersion::Ptr Build(const WeightVersion& base) {
    runtime::VersionChange change;
    change.number = base.number().next();
    change.replaces_all = true;
    const runtime::TensorType type{*runtime::ElementType::FromWire(kU8), {case_.tensor_bytes}};
    ++content_;
    for (int i = 0; i < case_.tensors; ++i) {
      runtime::HostTensor tensor;
      tensor.name = absl::StrCat("layer.", absl::Dec(i, absl::kZeroPad6), ".weight");
      tensor.type = type;
      tensor.data = Require(memory_->Allocate(static_cast<size_t>(case_.tensor_bytes)));
      Fill(&tensor.data);
      std::string name = tensor.name;
      change.put.push_back(
          {std::move(name), runtime::Version(), Require(runtime::CpuTensor::Create(std::move(tensor), *budget_)), {}});
    }
    return base.With(std::move(change));
  }

 private:
  // Alternating contents. All pages of a large buffer the first time, so that it is memory and not a promise of it.
  void Fill(runtime::WeightBuffer* buffer) {
    const int byte = content_ % 2;
    if (buffer->size() >= kPage && touched_.insert(buffer->data()).second) {
      std::memset(buffer->data(), byte, buffer->size());
    } else {
      std::memset(buffer->data(), byte, std::min(buffer->size(), kPage));
    }
  }

  const FlipCase case_;
  runtime::WeightBudget* const budget_;
  runtime::WeightMemory* const memory_;
  std::set<const char*> touched_;
  int content_ = 0;
};

// Returns when nobody has `version` any more and its memory has been given back.
void AwaitFreed(const std::weak_ptr<const WeightVersion>& version, runtime::Executor* reclaim) {
  do {
    reclaim->Flush();
  } while (!version.expired());
  reclaim->Flush();
}

}  // namespace

FlipDelay MeasureFlips(const FlipCase& flip_case) {
  // The threads of all that follows as well.
  std::optional<RealTime> urgent(kOthers);
  runtime::SystemClock clock;
  NoObserver observer;
  const int64_t bytes = flip_case.tensor_bytes * flip_case.tensors;
  runtime::WeightBudget budget(runtime::Bytes(4 * bytes));
  runtime::WeightMemory memory(static_cast<size_t>(4 * bytes));
  runtime::ThreadExecutor reclaim;
  runtime::ThreadExecutor journal;
  runtime::SwapLine line({}, {.clock = &clock,
                              .executor = &reclaim,
                              .journal_executor = &journal,
                              .journal = nullptr,
                              .observer = &observer,
                              .failpoints = nullptr,
                              .on_startable = [] {}});
  const auto model = std::make_shared<Model>("bench", /*keep_versions=*/0, &line);
  Versions versions(flip_case, &budget, &memory);

  const int rounds = kWarmUp + flip_case.flips;
  std::vector<bool> is_sham;
  urgent.emplace(kWaves);
  WaveLoop waves(model.get(), 2 * static_cast<size_t>(rounds));
  urgent.reset();
  for (int i = 0; i < rounds; ++i) {
    WeightVersion::Ptr next = versions.Build(*model->current());
    std::weak_ptr<const WeightVersion> replaced = model->current();
    runtime::SwapOutcome outcome;
    runtime::SwapRequest request;
    request.ticket = line.NewTicket();
    request.parts.push_back({model, std::move(next), std::nullopt});
    request.done = [&](const runtime::SwapOutcome& done) { outcome = done; };
    urgent.emplace(kOthers);
    waves.BeginFlip();
    line.Swap(std::move(request));  // Every wave's window is open, so that it flips inside the call.
    waves.BeginFree();
    AwaitFreed(replaced, &reclaim);
    waves.End();
    urgent.reset();
    is_sham.push_back(false);
    Require(outcome.kind == runtime::SwapOutcome::Kind::kFlipped, "a flip was refused");

    if (i % kShamEvery != 0) continue;
    WeightVersion::Ptr sham = versions.Build(*model->current());
    replaced = sham;
    urgent.emplace(kOthers);
    waves.BeginFlip();
    reclaim.Post([sham = std::move(sham)]() mutable { sham.reset(); });
    waves.BeginFree();
    AwaitFreed(replaced, &reclaim);
    waves.End();
    urgent.reset();
    is_sham.push_back(true);
  }
  const std::vector<Delays> all = waves.Finish();
  std::vector<double> flips;
  std::vector<double> flips_longest;
  std::vector<double> shams;
  std::vector<double> shams_longest;
  for (size_t i = kWarmUp; i < is_sham.size(); ++i) {
    (is_sham[i] ? shams : flips).push_back(std::max(all[i].flip_us, all[i].sample_us));
    (is_sham[i] ? shams_longest : flips_longest).push_back(all[i].longest_us);
  }
  return {.flip_p99_us = Percentile(std::move(flips), 99),
          .start_p99_us = Percentile(std::move(shams), 99),
          .flip_longest_p99_us = Percentile(std::move(flips_longest), 99),
          .start_longest_p99_us = Percentile(std::move(shams_longest), 99)};
}

}  // namespace bwrt::bench
