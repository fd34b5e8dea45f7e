// UpdateCommit: the commit of 1 to 16 prepared updates on its way: through the line of swaps, and in place through the
// copying that follows. All of them take effect at one point in time, or none.
//
// Shared between those who wait for it and the line; thread-safe.
#ifndef BWRT_RUNTIME_UPDATE_COMMIT_H_
#define BWRT_RUNTIME_UPDATE_COMMIT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/clock.h"
#include "runtime/executor.h"
#include "runtime/model.h"
#include "runtime/model_registry.h"
#include "runtime/mutex.h"
#include "runtime/observer.h"
#include "runtime/swap.h"
#include "runtime/swap_line.h"
#include "runtime/update.h"
#include "runtime/update_table.h"
#include "runtime/version_builder.h"

namespace bwrt::runtime {

struct CommittedUpdate {
  std::string id;
  std::string model;
  Version version;
  Version previous;
};

struct CommitResult {
  std::vector<CommittedUpdate> updates;  // In the order asked for.
  Duration waited{0};
  Duration held{0};
  Duration paused{0};
  bool repeated = false;  // It is the outcome of an earlier commit.
};
using CommitDone = std::function<void(absl::StatusOr<CommitResult>)>;

class UpdateCommit final : public std::enable_shared_from_this<UpdateCommit> {
 public:
  // All of it outlives every commit.
  struct Context {
    Clock* clock;
    Executor* executor;
    Executor* reclaim;  // That of the line.
    SwapLine* line;
    ModelRegistry* models;
    UpdateTable* updates;
    const VersionBuilder* builder;
    RuntimeObserver* observer;
    Failpoints* failpoints;
  };
  using Updates = std::vector<std::shared_ptr<Update>>;

  // `on_outcome` is called once, when the outcome is certain and its updates show it: from then on nobody may join.
  // `on_end` when all who waited have been told.
  UpdateCommit(Context context, Updates updates, SwapOptions options, std::function<void()> on_outcome,
               std::function<void()> on_end);

  // Adds somebody who waits for the outcome; the number that Leave takes.
  uint64_t Join(CommitDone done);
  // Tells one of them `why` now. When nobody is left the commit is given up, unless it has taken effect.
  void Leave(uint64_t number, const absl::Status& why);
  // Gives it up, unless it has taken effect.
  void Cancel(const absl::Status& why);

  // After the first Join.
  void Start();
  // Instead of Start: tells what an earlier commit came to.
  void Answer(const absl::StatusOr<CommitResult>& result);

 private:
  absl::Status Enter(SwapRequest* request);
  void OnOutcome(const SwapOutcome& outcome);
  // In place: what takes the place of tensors gets their room before anybody else can have it.
  void ReserveAhead();
  // In place: reads what is absent; on an error again, until it works or the daemon stops.
  void Load();
  void Finish(const absl::StatusOr<CommitResult>& result, SwapEnd end);

  const Context context_;
  const Updates updates_;
  const SwapOptions options_;
  const Time arrival_;
  const std::function<void()> on_outcome_;
  const std::function<void()> on_end_;

  // Used by one step at a time.
  std::vector<std::shared_ptr<Model>> models_;
  std::vector<PreparedVersion> prepared_;
  std::vector<WeightVersion::Ptr> replaced_;     // In place: held until ReserveAhead.
  std::vector<WeightBudget::Reservation> room_;  // In place: for the absent tensors of each of prepared_.
  CommitResult result_;
  uint64_t decision_ = 0;  // In the state directory; 0 without one.
  size_t loaded_ = 0;      // Of prepared_.
  Time paused_from_;

  Mutex mu_;
  std::map<uint64_t, CommitDone> waiting_ ABSL_GUARDED_BY(mu_);
  uint64_t last_waiting_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t ticket_ ABSL_GUARDED_BY(mu_) = 0;
  std::optional<absl::Status> cancelled_ ABSL_GUARDED_BY(mu_);
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_UPDATE_COMMIT_H_
