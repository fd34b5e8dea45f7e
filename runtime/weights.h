// Weights: everything the daemon does with models and versions, without the wire: swaps, updates, rollbacks, the state
// directory.
//
// A commit's way: Commit -> UpdateCommit -> SwapLine (turn, window, decision, flip) -> done. Everything before the
// decision (verifying, writing, packing) has happened in Precommit; everything after the flip (freeing, collecting)
// happens on executors.
//
// Thread-safe. Owned by the Runtime. Calls that say so block; they are for threads of their own, not for one that
// serves other calls.
#ifndef BWRT_RUNTIME_WEIGHTS_H_
#define BWRT_RUNTIME_WEIGHTS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "runtime/clock.h"
#include "runtime/device.h"
#include "runtime/executor.h"
#include "runtime/failpoints.h"
#include "runtime/limits.h"
#include "runtime/model.h"
#include "runtime/model_registry.h"
#include "runtime/observer.h"
#include "runtime/root_directory.h"
#include "runtime/set_weights.h"
#include "runtime/stage_pacer.h"
#include "runtime/state/state_store.h"
#include "runtime/swap_line.h"
#include "runtime/update.h"
#include "runtime/update_commit.h"
#include "runtime/update_request.h"
#include "runtime/update_table.h"
#include "runtime/version_builder.h"
#include "runtime/weight_budget.h"
#include "runtime/weight_memory.h"
#include "runtime/weight_swap.h"

namespace bwrt::runtime {

struct WeightsOptions {
  SwapLineOptions swaps;
  int keep_versions = 1;        // Beyond the current one, for Rollback.
  int64_t stage_bandwidth = 0;  // Bytes a second while waves run; 0: without limit.
  std::string state_directory;  // Of `state`; empty without one.
};

struct CommitRequest {
  std::vector<std::string> update_ids;
  SwapWish swap;
};

struct RollbackRequest {
  std::string model;  // Empty means "default".
  std::optional<uint64_t> version;
  std::optional<std::string> label;
  SwapWish swap;
  std::string new_label;
};

struct ReadRequest {
  std::string model;
  std::string update_id;
  std::string tensor;
  int64_t offset = 0;
  int64_t bytes = 0;  // 0: 1 MiB.
  std::optional<uint32_t> rank;
};

struct ReadResult {
  Version version;
  TensorType type;
  int64_t total = 0;
  std::string data;
};

struct LoadRequest {
  std::string update_id;
  std::string path;
  std::vector<std::string> tensors;  // Empty: all.
  std::string name_prefix;
};

struct LoadProgress {
  int64_t tensors = 0;
  int64_t bytes = 0;
  int64_t total_tensors = 0;
  int64_t total_bytes = 0;
};

class Weights {
 public:
  struct Context {
    const Limits* limits;
    Clock* clock;
    Executor* bulk;     // Builds and writes; may be busy for long.
    Executor* reclaim;  // Frees.
    Executor* journal;  // The state directory's decisions.
    Device* device;
    RuntimeObserver* observer;
    StateStore* state;                   // Null: nothing is durable.
    const RootDirectory* root;           // Of LoadFile; null: none.
    Failpoints* failpoints;              // Null: none.
    std::function<void()> on_startable;  // See SwapLine.
    std::function<bool()> busy;          // Whether waves run.
  };

  Weights(WeightsOptions options, Context context);
  ~Weights();  // After Drain.
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;

  const ModelRegistry& models() const { return models_; }
  // Empty: "default". NOT_FOUND MODEL_NOT_FOUND.
  absl::StatusOr<std::shared_ptr<Model>> FindModel(absl::string_view name) const;

  // ---- Swaps. Errors of the request itself, TOO_MANY_SWAPS and DRAINING are returned; everything later goes to
  // `done`.
  absl::StatusOr<std::shared_ptr<Cancellable>> SetWeights(SetWeightsRequest request, SwapDone done);
  absl::StatusOr<std::shared_ptr<Cancellable>> Rollback(RollbackRequest request, SwapDone done);
  // `done` may be called before it returns. The function it returns tells `done` why its client no longer waits.
  using Leave = std::function<void(const absl::Status& why)>;
  absl::StatusOr<Leave> Commit(const CommitRequest& request, CommitDone done);

  // ---- Updates
  // Blocks while room is made.
  absl::StatusOr<UpdateStatus> BeginUpdate(BeginUpdateRequest request);
  absl::StatusOr<std::shared_ptr<Update>> FindUpdate(const std::string& id) const;
  std::vector<std::shared_ptr<Update>> Updates() const { return updates_.All(); }
  // Stages one chunk, or declares a tensor. Blocks while staging is held back for waves.
  absl::Status Stage(Update& update, const std::string& tensor, uint32_t rank, int64_t offset, const absl::Cord& data);
  absl::Status Declare(Update& update, const TensorManifestRequest& tensor);
  // Blocks until it is done.
  absl::StatusOr<PrepareReport> Precommit(const std::string& id, const std::function<bool()>& cancelled);
  // Blocks while what was staged is freed.
  absl::Status Abort(const std::string& id);
  // Blocks until the files are staged; tells `progress` now and then.
  absl::Status LoadFile(const LoadRequest& request, const std::function<void(const LoadProgress&)>& progress,
                        const std::function<bool()>& cancelled);

  // ---- Models
  absl::StatusOr<ReadResult> ReadTensor(const ReadRequest& request) const;
  // Blocks until that is durable. The bytes that it frees.
  absl::StatusOr<int64_t> DeleteModel(const std::string& name, std::optional<uint64_t> version);

  // ---- The state directory
  // Brings back what it holds, before anything else is asked; blocks. What was damaged or dropped is told in words.
  std::vector<std::string> Restore();
  // Makes the layouts that Restore left out, on the executor.
  void PrepareRestored();

  // Refuses new swaps, ends those that wait, and returns when all have ended.
  void Drain();

  // ---- For a scrape
  struct Gauges {
    int64_t committed = 0;
    int64_t staged = 0;
    int64_t kept = 0;
    int64_t retiring = 0;
    int64_t state_directory = 0;
  };
  Gauges GetGauges() const;
  const WeightBudget& budget() const { return budget_; }
  bool durable() const { return context_.state != nullptr; }

 private:
  // One swap more, unless that is one too many.
  absl::Status Admit();
  void EndOne();
  // What a swap of `models` leaves to be done: collecting, or forgetting models that it was to fill.
  void TidyAfter(const std::vector<std::string>& models, bool flipped);
  // Somebody is about to fill a model: it stays, empty as it may be.
  void Claim(const std::string& model);
  void Disclaim(const std::string& model);
  void DropIfEmpty(const std::string& name);
  absl::StatusOr<std::shared_ptr<Cancellable>> StartSwap(const std::string& model, std::optional<Version> base,
                                                         SwapOptions options, GatherTensors gather, SwapDone done);
  absl::StatusOr<VersionChange> GatherKept(const RollbackRequest& request, const WeightVersion& base,
                                           const Model& model) const;
  std::optional<absl::StatusOr<CommitResult>> EarlierOutcome(const UpdateCommit::Updates& updates) const;
  bool MakeRoom();
  void RestoreModel(const StoredModel& stored, std::vector<std::string>* notes);
  void RestoreUpdate(const StoredUpdate& stored, std::vector<std::string>* notes);

  const WeightsOptions options_;
  const Context context_;
  WeightBudget budget_;
  WeightMemory memory_;
  std::atomic<int64_t> staged_bytes_{0};
  SwapLine line_;
  ModelRegistry models_;
  const VersionBuilder builder_;
  StagePacer pacer_;
  UpdateTable updates_;

  mutable Mutex mu_;
  CondVar idle_;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  int64_t pending_ ABSL_GUARDED_BY(mu_) = 0;  // Swaps and commits that have not ended.
  uint64_t last_swap_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, int> claims_ ABSL_GUARDED_BY(mu_);  // By model.
  std::map<uint64_t, std::weak_ptr<Cancellable>> swaps_ ABSL_GUARDED_BY(mu_);
  std::map<std::vector<std::string>, std::shared_ptr<UpdateCommit>> commits_ ABSL_GUARDED_BY(mu_);  // By sorted ids.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_WEIGHTS_H_
