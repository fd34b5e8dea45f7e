// RuntimeBench: a TuneBench whose turns are measurements of a Runtime: each waits in the queue behind the waves of
// clients, and is cancelled between two tiles.
//
// Random operands, new for each problem, lie in host memory from Create to the end. Used by one thread, which blocks.
#ifndef BWRT_RUNTIME_TUNING_RUNTIME_BENCH_H_
#define BWRT_RUNTIME_TUNING_RUNTIME_BENCH_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/runtime.h"
#include "runtime/tuning/tile_tuner.h"
#include "runtime/tuning/tune_problem.h"

namespace bwrt::runtime {

class RuntimeBench final : public TuneBench {
 public:
  // Asked now and then, by the thread that waits; once it has said so the bench answers CANCELLED.
  using Cancelled = std::function<bool()>;

  // On the device with the number `member` (Runtime::Devices). The problem's numbers are good and its operands fit into
  // the memory that waves may hold. RESOURCE_EXHAUSTED where the machine has no memory.
  static absl::StatusOr<std::unique_ptr<RuntimeBench>> Create(Runtime* runtime, size_t member,
                                                              const TuneProblem& problem, Cancelled cancelled);

  absl::StatusOr<Timed> Run(const TileShape& shape) override;
  absl::StatusOr<std::optional<TunedAlgorithm>> TuneAlgorithm(const TileShape& shape, Duration budget) override;

 private:
  RuntimeBench(Runtime* runtime, size_t member, const TuneProblem& problem, Cancelled cancelled)
      : runtime_(runtime), member_(member), problem_(problem), cancelled_(std::move(cancelled)) {}

  absl::StatusOr<WaveResult> Turn(const TileShape& shape, LaneWork work);

  Runtime* const runtime_;
  const size_t member_;
  const TuneProblem problem_;
  const Cancelled cancelled_;
  std::string a_;
  std::string w_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_TUNING_RUNTIME_BENCH_H_
