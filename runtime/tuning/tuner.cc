#include "runtime/tuning/tuner.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/element_type.h"
#include "runtime/error.h"
#include "runtime/tuning/runtime_bench.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

// Nullopt for numbers that are no type that devices compute with.
std::optional<kernels::DType> DTypeOf(DTypeWish wish) {
  if (wish == DTypeWish::kUnspecified) return kernels::DType::kF32;
  const auto element = ElementType::FromWire(static_cast<int>(wish));
  return element ? element->computed() : std::nullopt;
}

// All three matrices. Nullopt where that does not fit.
std::optional<int64_t> OperandBytes(const TuneProblem& p, kernels::DType dtype, kernels::DType c_dtype) {
  int64_t sum = 0;
  const auto add = [&sum](int64_t rows, int64_t cols, kernels::DType of) {
    int64_t bytes = 0;
    return !__builtin_mul_overflow(rows, cols, &bytes) && !__builtin_mul_overflow(bytes, kernels::SizeOf(of), &bytes) &&
           !__builtin_add_overflow(sum, bytes, &sum);
  };
  if (!add(p.m, p.k, dtype) || !add(p.k, p.n, dtype) || !add(p.m, p.n, c_dtype)) return std::nullopt;
  return sum;
}

}  // namespace

Tuner::Tuner(Runtime* runtime, const Clock* clock, const std::string& file,
             std::function<void(const std::string&)> on_note)
    : runtime_(runtime), clock_(clock), on_note_(std::move(on_note)), file_(file) {}

void Tuner::Restore() {
  MutexLock lock(mu_);
  if (!file_.note().empty()) on_note_(file_.note());
  const auto devices = runtime_->Devices();
  for (size_t i = 0; i < devices.size(); ++i) {
    for (const std::string& tuning : file_.Algorithms(*devices[i].info)) {
      if (const absl::Status status = runtime_->GetDevice(i).RestoreTuning(tuning); !status.ok()) {
        on_note_(absl::StrCat(devices[i].info->name, " dropped a tuned algorithm (", tuning, "): ", status.message()));
      }
    }
  }
}

std::string Tuner::Key(const TuneProblem& problem) const {
  return absl::StrCat(ToString(problem), " ", runtime_->validator().whitelist().digest());
}

absl::StatusOr<size_t> Tuner::Find(const std::string& device) const {
  const auto devices = runtime_->Devices();
  std::vector<absl::string_view> names;
  for (size_t i = 0; i < devices.size(); ++i) {
    if (device.empty() || device == devices[i].info->name) return i;
    names.push_back(devices[i].info->name);
  }
  return MakeError(
      absl::StatusCode::kNotFound, "DEVICE_NOT_FOUND",
      absl::StrCat("device=", Quoted(device), ": no such device; this daemon has ", absl::StrJoin(names, ", ")));
}

absl::Status Tuner::Check(const TuneOrder& order) const {
  const Limits& limits = runtime_->validator().limits();
  Violations bad;
  if (order.problems.empty() || order.problems.size() > kMaxTuneProblems) {
    bad.Add("problems", "PROBLEM_COUNT", absl::StrCat(order.problems.size(), " entries"), "give 1 to ",
            kMaxTuneProblems);
  }
  if (order.budget && (*order.budget < kLeastBudget || *order.budget > kMostBudget)) {
    bad.Add("budget", "OUT_OF_RANGE", absl::StrCat(Seconds(*order.budget), "s"), "must lie between ",
            Seconds(kLeastBudget), " and ", Seconds(kMostBudget), " seconds");
  }
  for (size_t i = 0; i < std::min(order.problems.size(), kMaxTuneProblems); ++i) {
    const TuneProblem& problem = order.problems[i];
    const auto path = [i](absl::string_view part) { return absl::StrCat("problems[", i, "].", part); };
    const auto dim = [&](absl::string_view name, int64_t value) {
      if (value > 0 && value <= limits.max_dim) return;
      bad.Add(path(name), "DIM_OUT_OF_RANGE", value, "must lie in [1, ", limits.max_dim, "]");
    };
    dim("m", problem.m);
    dim("n", problem.n);
    dim("k", problem.k);
    const auto dtype = DTypeOf(problem.dtype);
    if (!dtype) {
      bad.Add(path("dtype"), "UNKNOWN_DTYPE", static_cast<int>(problem.dtype), "not a dtype that devices compute with");
    } else if (problem.k > 0 && problem.k % (kGranuleBytes / kernels::SizeOf(*dtype)) != 0) {
      bad.Add(path("k"), "K_GRANULARITY", problem.k, "must be a multiple of ", kGranuleBytes / kernels::SizeOf(*dtype),
              " for ", kernels::Name(*dtype));
    }
    const auto c_dtype = DTypeOf(problem.c_dtype);
    if (!c_dtype || kernels::IsF8(*c_dtype)) {
      bad.Add(path("c_dtype"), "UNKNOWN_DTYPE", static_cast<int>(problem.c_dtype), "C is f32, f16 or bf16");
    } else if (dtype && *c_dtype != kernels::DType::kF32 && !kernels::IsF8(*dtype) && *c_dtype != *dtype) {
      bad.Add(path("c_dtype"), "C_DTYPE", kernels::Name(*c_dtype), "must be f32 or the dtype of A and W (",
              kernels::Name(*dtype), ")");
    }
  }
  if (absl::Status status = bad.Take("tuning"); !status.ok()) return status;
  for (size_t i = 0; i < order.problems.size(); ++i) {
    const TuneProblem& problem = order.problems[i];
    const auto bytes = OperandBytes(problem, *DTypeOf(problem.dtype), *DTypeOf(problem.c_dtype));
    if (bytes && *bytes <= limits.queue_bytes) continue;
    return MakeError(absl::StatusCode::kResourceExhausted, "WAVE_TOO_LARGE",
                     absl::StrCat("problems[", i, "] (", ToString(problem), "): its matrices take ",
                                  bytes ? absl::StrCat(*bytes, " bytes") : "more bytes than can be counted",
                                  "; this daemon holds at most ", limits.queue_bytes,
                                  "; tune a smaller one or raise --queue-bytes"));
  }
  return absl::OkStatus();
}

absl::Status Tuner::Tune(const TuneOrder& order, const TuneListener& listener) {
  if (absl::Status status = Check(order); !status.ok()) return status;
  const auto member = Find(order.device);
  if (!member.ok()) return member.status();
  const DeviceInfo& info = *runtime_->Devices()[*member].info;
  {
    MutexLock lock(mu_);
    if (!busy_.insert(*member).second) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "TUNING_IN_PROGRESS",
                       absl::StrCat("device ", info.name, " is being tuned by another call; retry when it is over"));
    }
  }
  const absl::Cleanup leave = [&] {
    MutexLock lock(mu_);
    busy_.erase(*member);
  };
  for (size_t i = 0; i < order.problems.size(); ++i) {
    if (absl::Status status = TuneOne(*member, i, order, listener); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Tuner::TuneOne(size_t member, size_t index, const TuneOrder& order, const TuneListener& listener) {
  const TuneProblem& problem = order.problems[index];
  const DeviceInfo& info = *runtime_->Devices()[member].info;
  const TileWhitelist& whitelist = runtime_->validator().whitelist();
  const std::string key = Key(problem);
  if (order.only_missing) {
    std::optional<TuningFile::Tiles> kept;
    {
      MutexLock lock(mu_);
      kept = file_.Find(info, key);
    }
    // The key says which whitelist it was; that an entry agrees with it is not taken on trust.
    if (kept && whitelist.Contains(kept->winner.shape) && whitelist.Contains(kept->first.shape)) {
      listener.on_result(index, {.winner = kept->winner, .first = kept->first, .kept = true});
      return absl::OkStatus();
    }
  }
  auto bench = RuntimeBench::Create(runtime_, member, problem, listener.cancelled);
  if (!bench.ok()) return bench.status();
  const auto result = TuneTiles(whitelist.shapes(), order.budget.value_or(kDefaultBudget), **bench, *clock_,
                                [&](size_t done, size_t of) { listener.on_progress(index, done, of); });
  {
    MutexLock lock(mu_);
    if (result.ok()) file_.Put(info, key, {result->winner, result->first});
    // Also of what ended early: a tuned algorithm is one. None at all is no news: what is kept stays.
    if (auto tunings = runtime_->GetDevice(member).Tunings(); !tunings.empty()) {
      file_.PutAlgorithms(info, std::move(tunings));
    }
    if (const absl::Status saved = file_.Save(); !saved.ok()) {
      on_note_(std::string(saved.message()));
    }
  }
  if (!result.ok()) return result.status();
  listener.on_result(index, *result);
  return absl::OkStatus();
}

}  // namespace bwrt::runtime
