// WeightSwap: one SetWeights on its way: upload, build the next version, wait for the window, flip.
//
// Everything costly runs on the executor; the model only flips a pointer. A version that was built on a base
// that another swap has replaced meanwhile is built anew (the tensors stay uploaded) and keeps its place in the
// line. Shared between its caller, the executor and the model; thread-safe.
#ifndef BWRT_RUNTIME_WEIGHT_SWAP_H_
#define BWRT_RUNTIME_WEIGHT_SWAP_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/clock.h"
#include "runtime/device.h"
#include "runtime/executor.h"
#include "runtime/limits.h"
#include "runtime/model.h"
#include "runtime/model_registry.h"
#include "runtime/observer.h"
#include "runtime/set_weights.h"
#include "runtime/swap.h"
#include "runtime/weight_budget.h"

namespace bwrt::runtime {

struct SwapResult {
  std::string model;
  Version previous;
  Version version;
  Duration waited{0};
  Duration held{0};  // How long waves were held back for it.
};
using SwapDone = std::function<void(absl::StatusOr<SwapResult>)>;

class WeightSwap : public std::enable_shared_from_this<WeightSwap> {
 public:
  // What a swap works with. All of it outlives every swap.
  struct Context {
    const Limits* limits;
    Clock* clock;
    Executor* executor;
    Device* device;
    ModelRegistry* models;
    WeightBudget* budget;
    RuntimeObserver* observer;
    std::atomic<int64_t>* staged_bytes;  // Uploaded, not yet part of a version.
  };

  // `done` is called exactly once, from any thread.
  WeightSwap(Context context, WeightChange change, SwapDone done);

  void Start();

  // Ends the swap with `why` unless it has taken effect; the outcome goes to `done` as always.
  void Cancel(const absl::Status& why);

 private:
  using Uploaded = std::vector<std::pair<std::string, std::shared_ptr<const DeviceTensor>>>;

  void Prepare();  // On the executor: upload.
  void Build();    // On the executor: build and offer the next version.
  void OnOutcome(const SwapOutcome& outcome);
  void Finish(SwapEnd end, absl::StatusOr<SwapResult> result);
  absl::Status CheckBase(const Model* model) const;
  std::optional<absl::Status> cancelled() const;

  const Context context_;
  const Time arrival_;
  WeightChange change_;  // Tensors move out when they are uploaded.

  // Used by one step at a time: Prepare, then Build and OnOutcome in turn.
  SwapDone done_;
  Uploaded uploaded_;
  int64_t staged_ = 0;
  SwapTicket ticket_;

  mutable Mutex mu_;
  std::shared_ptr<Model> model_ ABSL_GUARDED_BY(mu_);  // Once it has a ticket there.
  std::optional<absl::Status> cancelled_ ABSL_GUARDED_BY(mu_);
  uint64_t ticket_number_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_WEIGHT_SWAP_H_
