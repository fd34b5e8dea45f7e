// WeightSwap: one SetWeights or Rollback on its way: gather the tensors, build the next version, wait for the window,
// flip.
//
// Everything costly runs on the executor; the line only flips a pointer. A version that was built on a base that
// another swap has replaced meanwhile is built anew (the tensors stay resident) and keeps its place in the line.
// Shared between its caller, the executor and the line; thread-safe.
#ifndef BWRT_RUNTIME_WEIGHT_SWAP_H_
#define BWRT_RUNTIME_WEIGHT_SWAP_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/clock.h"
#include "runtime/executor.h"
#include "runtime/model.h"
#include "runtime/model_registry.h"
#include "runtime/observer.h"
#include "runtime/set_weights.h"
#include "runtime/swap.h"
#include "runtime/swap_line.h"
#include "runtime/version_builder.h"

namespace bwrt::runtime {

// How a swap that ended with `status` is counted.
SwapEnd SwapEndOf(const absl::Status& status);

// ABORTED, reason BASE_CHANGED, unless `base` is the current version of the model; null: it does not exist.
// NOT_FOUND for a base above 0 of a model that does not exist.
absl::Status CheckBase(Version base, const std::string& name, const Model* model);

// Something that the end of its client, or of the daemon, can end early.
class Cancellable {
 public:
  virtual ~Cancellable() = default;
  // Ends it with `why` unless it has taken effect; the outcome goes where it always goes.
  virtual void Cancel(const absl::Status& why) = 0;
};

struct SwapResult {
  std::string model;
  Version previous;
  Version version;
  Version restored_from;  // 0: it was no rollback.
  Duration waited{0};
  Duration held{0};  // How long waves were held back for it.
};
using SwapDone = std::function<void(absl::StatusOr<SwapResult>)>;

// What a swap does to its base. `model` is null while it does not exist. On the executor, once.
using GatherTensors = std::function<absl::StatusOr<VersionChange>(const WeightVersion& base, const Model* model)>;

class WeightSwap final : public Cancellable, public std::enable_shared_from_this<WeightSwap> {
 public:
  // What a swap works with. All of it outlives every swap.
  struct Context {
    Clock* clock;
    Executor* executor;
    SwapLine* line;
    ModelRegistry* models;
    const VersionBuilder* builder;
    RuntimeObserver* observer;
    std::atomic<int64_t>* staged_bytes;
  };

  // `base`, if given, must be current. `done` is called exactly once, from any thread.
  WeightSwap(Context context, std::string model, std::optional<Version> base, SwapOptions options, GatherTensors gather,
             SwapDone done);

  void Start();
  void Cancel(const absl::Status& why) override;

 private:
  void Prepare();  // On the executor: gather.
  void Build();    // On the executor: build and offer the next version.
  // The current version can't be built on yet, for the reason given: tries again later, or gives up.
  void AwaitLoading(const absl::Status& why);
  void OnOutcome(const SwapOutcome& outcome);
  void Finish(absl::StatusOr<SwapResult> result);
  absl::Status CheckBaseOf(const Model* model) const;
  std::optional<absl::Status> cancelled() const;

  const Context context_;
  const std::string name_;
  const std::optional<Version> base_;
  const SwapOptions options_;
  const Time arrival_;

  // Used by one step at a time: Prepare, then Build and OnOutcome in turn.
  GatherTensors gather_;
  SwapDone done_;
  VersionChange change_;
  StagedBytes staged_;
  StateStore::Hold hold_;
  SwapTicket ticket_;

  mutable Mutex mu_;
  std::shared_ptr<Model> model_ ABSL_GUARDED_BY(mu_);  // Once it has a ticket.
  std::optional<absl::Status> cancelled_ ABSL_GUARDED_BY(mu_);
  uint64_t ticket_number_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_WEIGHT_SWAP_H_
