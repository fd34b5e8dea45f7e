#include "client/replay.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <map>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "client/dtype.h"
#include "client/operands.h"
#include "client/patient_submit.h"
#include "client/reference.h"
#include "client/status.h"

namespace bwrt::client {
namespace {

constexpr size_t kMaxFailures = 10;

// One run of a plan; the workers share it.
class Run {
 public:
  Run(Client& client, const Plan& plan, const ReplayOptions& options)
      : client_(client), plan_(plan), options_(options) {}

  absl::StatusOr<ReplayResult> Execute() {
    const absl::Time start = absl::Now();
    const size_t count = std::min<size_t>(std::max(1, options_.in_flight), plan_.waves.size());
    std::vector<std::thread> workers;
    for (size_t i = 0; i < count; ++i) workers.emplace_back([this] { Work(); });
    for (std::thread& worker : workers) worker.join();
    absl::MutexLock lock(&mu_);
    if (!unreachable_.ok()) return unreachable_;
    result_.waves = plan_.waves.size();
    result_.seconds = absl::ToDoubleSeconds(absl::Now() - start);
    for (auto& [index, status] : failures_) {
      if (result_.failures.size() == kMaxFailures) break;
      result_.failures.push_back({plan_.waves[index].path, std::move(status)});
    }
    return result_;
  }

 private:
  void Work() {
    for (;;) {
      const uint64_t index = next_++;
      if (index >= plan_.waves.size()) return;
      const absl::Status status = RunWave(index);
      absl::MutexLock lock(&mu_);
      if (IsUnreachable(status)) {
        unreachable_ = status;
        next_ = plan_.waves.size();
        return;
      }
      if (!status.ok()) {
        ++result_.failed;
        failures_.emplace(index, status);
      } else if (options_.verify) {
        ++result_.verified;
      }
      if (options_.on_progress) options_.on_progress(++done_);
    }
  }

  absl::Status RunWave(uint64_t index) {
    const PlannedWave& wave = plan_.waves[index];
    auto request = MakeReplayRequest(wave, index, options_);
    if (!request.ok()) return request.status();
    const auto result = SubmitPatiently(client_, *request, options_.timeout);
    if (!result.ok()) return result.status();
    const uint64_t tiles = TilesRun(*result);
    {
      absl::MutexLock lock(&mu_);
      result_.tiles += tiles;
    }
    absl::Status echo = CheckEcho(wave, *result);
    if (!options_.verify) return echo;
    if (absl::Status status = Verify(std::move(*request), *result); !status.ok()) return status;
    return echo;
  }

  static uint64_t TilesRun(const v1::WaveResult& result) {
    const v1::EffectiveSpec& effective = result.effective();
    const uint64_t seen = effective.tiles_listed() + effective.tiles_appended();
    return seen - std::min<uint64_t>(seen, effective.tiles_dropped());
  }

  absl::Status Verify(v1::SubmitWaveRequest request, const v1::WaveResult& result) {
    if (!options_.tensor.empty()) {
      auto w = RandomMatrix({options_.tensor_seed.value_or(0), 0, OperandStream::kW}, options_.dtype, request.k(),
                            request.n());
      if (!w.ok()) return w.status();
      request.mutable_w()->set_inline_(*std::move(w));
    }
    const auto reference = ReferenceC(request);
    if (!reference.ok()) return reference.status();
    const auto comparison = CompareTiles(request, *reference, result.c());
    if (!comparison.ok()) return absl::DataLossError(comparison.status().message());
    {
      // A number that JSON can carry.
      const double error = std::min(comparison->max_rel_error, std::numeric_limits<double>::max());
      absl::MutexLock lock(&mu_);
      result_.max_rel_error = std::max(result_.max_rel_error, error);
    }
    const double tolerance = Tolerance(request);
    if (comparison->max_rel_error <= tolerance) return absl::OkStatus();
    return absl::DataLossError(absl::StrFormat("tile (%d, %d) is off by %g (relative Frobenius error), allowed are %g",
                                               comparison->worst_m, comparison->worst_n, comparison->max_rel_error,
                                               tolerance));
  }

  Client& client_;
  const Plan& plan_;
  const ReplayOptions& options_;
  std::atomic<uint64_t> next_ = 0;
  absl::Mutex mu_;
  uint64_t done_ ABSL_GUARDED_BY(mu_) = 0;
  ReplayResult result_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, absl::Status> failures_ ABSL_GUARDED_BY(mu_);
  absl::Status unreachable_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

absl::StatusOr<v1::SubmitWaveRequest> MakeReplayRequest(const PlannedWave& wave, uint64_t index,
                                                        const ReplayOptions& options) {
  v1::SubmitWaveRequest request;
  request.set_model(options.model);
  *request.mutable_spec() = wave.spec;
  request.mutable_spec()->set_dtype(options.dtype);
  request.set_m(wave.m);
  request.set_n(wave.n);
  request.set_k(options.k);
  request.set_c_dtype(options.c_dtype);
  auto a = RandomMatrix({options.seed, index, OperandStream::kA}, options.dtype, wave.m, options.k);
  if (!a.ok()) return a.status();
  request.mutable_a()->set_inline_(*std::move(a));
  if (!options.tensor.empty()) {
    request.mutable_w()->set_tensor(options.tensor);
  } else {
    auto w = RandomMatrix({options.seed, index, OperandStream::kW}, options.dtype, options.k, wave.n);
    if (!w.ok()) return w.status();
    request.mutable_w()->set_inline_(*std::move(w));
  }
  if (request.ByteSizeLong() > std::numeric_limits<int32_t>::max()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a wave of m=", wave.m, " n=", wave.n, " k=", options.k, " exceeds one message (2 GiB)"));
  }
  return request;
}

absl::Status CheckEcho(const PlannedWave& wave, const v1::WaveResult& result) {
  std::string differences;
  const auto expect = [&differences](absl::string_view what, int64_t want, int64_t got) {
    if (want == got) return;
    absl::StrAppend(&differences, differences.empty() ? "" : ", ", what, " ", got, " for ", want);
  };
  const v1::TokenPlan& tokens = result.tokens();
  expect("prefetch tokens", wave.prefetch_tokens, tokens.prefetch_tokens());
  expect("tile tokens", wave.tile_tokens, tokens.tile_tokens());
  expect("swap_begin", wave.spec.swap_begin(), tokens.swap_begin());
  expect("swap_end", wave.spec.swap_end(), tokens.swap_end());
  expect("tiles listed", wave.tile_tokens, result.effective().tiles_listed());
  expect("tiles in all", (wave.m / std::max(1, wave.spec.bm())) * (wave.n / std::max(1, wave.spec.bn())),
         result.effective().tiles_listed() + result.effective().tiles_appended());
  if (differences.empty()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the daemon understood the wave differently: ", differences));
}

absl::StatusOr<ReplayResult> Replay(Client& client, const Plan& plan, const ReplayOptions& options) {
  return Run(client, plan, options).Execute();
}

}  // namespace bwrt::client
