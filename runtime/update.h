// Update: the transaction that builds a model's next version: what it will bring, what of it has been staged, and
// once it is prepared, the version itself.
//
// Thread-safe. Shared between the table of updates and whoever works on it.
//
//   OPEN -> PREPARING -> PREPARED -> COMMITTING -> COMMITTED
//    ^         |           ^            |
//    +---------+           +------------+        (what failed can be tried again)
//   any but the last two -> ABORTED, EXPIRED, BASE_CHANGED: everything staged is freed
#ifndef BWRT_RUNTIME_UPDATE_H_
#define BWRT_RUNTIME_UPDATE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "runtime/clock.h"
#include "runtime/failpoints.h"
#include "runtime/joined_stage.h"
#include "runtime/mutex.h"
#include "runtime/shard_stage.h"
#include "runtime/update_request.h"
#include "runtime/version_builder.h"
#include "runtime/weight_budget.h"
#include "runtime/weight_memory.h"
#include "runtime/weight_version.h"

namespace bwrt::runtime {

enum class UpdateState {  // The wire's numbers.
  kOpen = 1,
  kPreparing = 2,
  kPrepared = 3,
  kCommitting = 4,
  kCommitted = 5,
  kAborted = 6,
  kExpired = 7,
  kBaseChanged = 8,
};
// "OPEN", ...
absl::string_view Name(UpdateState state);
// Whether it has not ended.
bool IsLive(UpdateState state);

struct UpdateStatus {
  std::string id;
  std::string model;
  std::string label;
  UpdateState state = UpdateState::kOpen;
  Version base;
  bool in_place = false;
  int64_t tensors = 0;
  int64_t bytes = 0;
  int64_t received = 0;
  std::optional<Duration> expires_in;
  Version version;     // kCommitted.
  Version previous;    // kCommitted.
  uint64_t group = 0;  // kCommitted: that of the updates committed together.
};

struct MissingShard {
  std::string tensor;
  uint32_t rank = 0;
  int64_t bytes = 0;
  std::vector<ByteRange> missing;  // At most 64.
};

// What Precommit made.
struct PreparedVersion {
  WeightVersion::Ptr next;  // In place: what is still in the state directory is an AbsentTensor.
  std::optional<Digest> manifest;
  std::vector<StoredTensor> absent;  // In place: those.
  // In place: room for what they take beyond what those they replace give back.
  std::shared_ptr<WeightBudget::Reservation> growth;
};

struct PrepareReport {
  Duration verify{0};
  Duration store{0};
  Duration prepare{0};
};

class Update {
 public:
  // What an update works with. All of it outlives every update.
  struct Context {
    const Limits* limits;
    const VersionBuilder* builder;
    WeightBudget* budget;
    WeightMemory* memory;
    Clock* clock;
    Failpoints* failpoints;
    std::atomic<int64_t>* staged_bytes;
  };

  // `plan.id` is set and `base` the version it is for, of which `near` are the weights where they are known. Reserves
  // room for what the plan lists, and for everything that Prepare will make of it as far as can be told by then.
  // RESOURCE_EXHAUSTED WEIGHT_MEMORY when that does not fit; then nothing is reserved.
  static absl::StatusOr<std::shared_ptr<Update>> Create(const Context& context, UpdatePlan plan, Version base,
                                                        const WeightVersion::Ptr& near);
  // One that a state directory brought back, prepared.
  static std::shared_ptr<Update> Restored(const Context& context, const StoredUpdate& stored, std::string label,
                                          PreparedVersion prepared);

  // One that was committed before a restart.
  static std::shared_ptr<Update> RestoredCommitted(const Context& context, const StoredOutcome& outcome);

  const std::string& id() const { return plan_.id; }
  const std::string& model() const { return plan_.model; }
  Version base() const { return base_; }
  bool in_place() const { return plan_.in_place; }

  // ---- Staging. FAILED_PRECONDITION UPDATE_STATE, ABORTED BASE_CHANGED.
  // INVALID_ARGUMENT UNKNOWN_TENSOR when the manifest is closed; FAILED_PRECONDITION TENSOR_STAGED when bytes of the
  // tensor have come already and it was declared otherwise; RESOURCE_EXHAUSTED. A repetition changes nothing.
  absl::Status Declare(TensorPlan tensor);
  // Errors of ShardStage::Write; INVALID_ARGUMENT UNKNOWN_TENSOR, UNKNOWN_SHARD.
  absl::Status Write(const std::string& tensor, uint32_t rank, int64_t offset, const absl::Cord& data);

  // Verifies what was staged, makes it durable and resident and builds the version on `base`, numbered `number`. Asks
  // `cancelled` now and then. Errors as for the Precommit RPC.
  absl::StatusOr<PrepareReport> Prepare(const WeightVersion& base, Version number,
                                        const std::function<bool()>& cancelled);

  // ---- The commit's side
  // PREPARED -> COMMITTING.
  absl::StatusOr<PreparedVersion> BeginCommit();
  // COMMITTING -> PREPARED.
  void FailCommit();
  // COMMITTING -> COMMITTED, together with the others of `group`, which is not 0.
  void FinishCommit(uint64_t group, Version previous, Version version);

  // Ends it as `state` and frees what it holds on the calling thread; a record of it that is being written then is
  // there. False when it has ended already, or is being committed.
  bool End(UpdateState state);
  // Why it does not take what was asked of it.
  absl::Status StateError() const;

  // ---- Looking
  UpdateState state() const;
  // Of the updates committed together; 0 unless it is committed.
  uint64_t group() const;
  UpdateStatus GetStatus() const;
  // The incomplete shards in order: at most `limit`, and how many there are.
  std::vector<MissingShard> Missing(size_t limit, size_t* count) const;

  struct Slice {
    TensorType type;
    int64_t total = 0;
    std::string data;
  };
  // Bytes of a staged or prepared tensor; with `rank`, of that shard as it was staged.
  absl::StatusOr<Slice> Read(const std::string& tensor, std::optional<uint32_t> rank, int64_t offset,
                             int64_t bytes) const;

  // ---- Expiry
  void Touch();  // Somebody named it.
  // When it expires unless it is touched; nullopt while it does not.
  std::optional<Time> deadline() const;

 private:
  struct Tensor {
    TensorPlan plan;
    std::vector<std::shared_ptr<ShardStage>> shards;
    std::shared_ptr<JoinedStage> joined;  // Where the shards lie together; null: they are joined by Prepare.
    std::shared_ptr<WeightBudget::Reservation> room;  // For what Prepare makes of it; null: nothing.
  };
  using Tensors = std::map<std::string, Tensor, std::less<>>;

  Update(const Context& context, UpdatePlan plan, Version base, const WeightVersion::Ptr& near);

  // `held` bytes are in the update already.
  absl::StatusOr<Tensor> Reserve(TensorPlan plan, int64_t held) const;
  // Makes `room` large enough for what Prepare will make of a tensor, as far as its type is known.
  absl::Status ReserveRoom(const TensorPlan& plan, WeightBudget::Reservation& room) const;
  // After a Prepare that failed: the room that it took, as far as it is to be had.
  void RestoreRoom(const Tensors& tensors) const;
  void CountStagedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status StateErrorLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::optional<Time> DeadlineLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // In place: for what the model will grow by.
  absl::StatusOr<WeightBudget::Reservation> ReserveGrowth(const std::vector<HostTensor>& host,
                                                          const WeightVersion& base) const;
  absl::StatusOr<PreparedVersion> Build(const Tensors& tensors, const WeightVersion& base, Version number,
                                        const std::function<bool()>& cancelled, PrepareReport* report) const;
  absl::StatusOr<std::vector<HostTensor>> Verify(const Tensors& tensors, const std::function<bool()>& cancelled) const;
  // The room for each tensor's layouts, reserved now where the type was not known before.
  absl::StatusOr<std::vector<WeightBudget::Reservation>> TakeRoom(const Tensors& tensors,
                                                                  const std::vector<HostTensor>& host,
                                                                  const WeightVersion& base) const;

  const Context context_;
  const UpdatePlan plan_;  // Its tensors have moved into tensors_.
  const Version base_;
  // Not held: an update in place waits for these to be freed.
  const std::weak_ptr<const WeightVersion> near_;

  mutable Mutex mu_;
  CondVar quiet_;
  UpdateState state_ ABSL_GUARDED_BY(mu_) = UpdateState::kOpen;
  Tensors tensors_ ABSL_GUARDED_BY(mu_);  // Until it is prepared.
  int writers_ ABSL_GUARDED_BY(mu_) = 0;
  bool recording_ ABSL_GUARDED_BY(mu_) = false;  // Its record is being written to the state directory.
  std::optional<PreparedVersion> prepared_ ABSL_GUARDED_BY(mu_);
  StateStore::Hold hold_ ABSL_GUARDED_BY(mu_);
  StagedBytes staged_ ABSL_GUARDED_BY(mu_);
  int64_t tensor_count_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t shard_count_ ABSL_GUARDED_BY(mu_) = 0;
  Time touched_ ABSL_GUARDED_BY(mu_);
  Version version_ ABSL_GUARDED_BY(mu_);
  Version previous_ ABSL_GUARDED_BY(mu_);
  uint64_t group_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_UPDATE_H_
