// Model: one current version, the waves that lease its versions, and the versions kept for a rollback.
//
// Starts, token changes, retirements and flips serialize on the one short lock of the SwapLine, and the window is
// evaluated under it. Everything costly (building a version, freeing one, calling back) happens outside. Thread-safe;
// owned by the ModelRegistry and shared with leases.
//
// Invariants:
//  1. The current version only ever moves to one built on it (SwapLine sees to that); numbers strictly increase.
//  2. A version lives while it is current, leased or kept; what is neither goes to the executor to be freed.
//  3. While the model is paused no wave starts; while it is loading none could.
#ifndef BWRT_RUNTIME_MODEL_H_
#define BWRT_RUNTIME_MODEL_H_

#include <atomic>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/clock.h"
#include "runtime/digest.h"
#include "runtime/lease.h"
#include "runtime/model_event.h"
#include "runtime/mutex.h"
#include "runtime/swap_line.h"
#include "runtime/swap_window.h"
#include "runtime/token_clock.h"
#include "runtime/weight_version.h"

namespace bwrt::runtime {

// What the window sees of a wave when it starts.
struct WaveStart {
  WaveNumber number;
  std::string wave_id;
  SwapWindow window;
  TokenPlan tokens;
  Version required_version;  // 0: any.
};

struct WindowStatus {
  bool open = true;
  std::vector<WindowClaim> claims;  // Those the window is tested against.
  Duration closed_for{0};
  size_t waiting_swaps = 0;
  bool holding = false;  // New waves are held back, by a waiting swap or a pause.
};

// A version that a rollback can restore.
struct KeptVersion {
  Version number;
  std::string label;
  Version restored_from;
  Bytes bytes;
  Bytes replaced;                  // Of these, those that the version after it does not share.
  WeightVersion::Ptr version;      // Null: only the state directory has it.
  std::optional<Digest> manifest;  // Unset: only memory has it.
};

struct ModelStatus {
  WeightVersion::Ptr current;
  Version last;          // The highest number ever given to a version of the model.
  bool lost = false;     // See Model::lost.
  bool durable = false;  // The state directory has the current version.
  bool loading = false;
  WindowStatus window;
  Bytes retiring;  // Of versions that are leased and neither current nor kept, not shared with the current one.
  std::vector<KeptVersion> kept;  // Newest first.
};

// What a state directory brings back.
struct ModelRestore {
  WeightVersion::Ptr current;
  std::optional<Digest> manifest;
  Version last;                   // The highest number ever given; at least the current one's.
  std::vector<KeptVersion> kept;  // Newest first.
};

// FAILED_PRECONDITION, reason VERSION_MISMATCH, unless `required` is 0 or the version of `current`.
absl::Status CheckRequiredVersion(const std::string& model, Version required, const WeightVersion& current);

class Model : public std::enable_shared_from_this<Model> {
 public:
  // Keeps `keep_versions` versions beyond the current one. `line` must outlive the model's use.
  Model(std::string name, int keep_versions, SwapLine* line);

  const std::string& name() const { return name_; }

  // Before anything else happens to the model.
  void Restore(ModelRestore from);

  // Leases the current version to a starting wave. Null when waves are being held back: try again after
  // on_startable. FAILED_PRECONDITION, reason VERSION_MISMATCH, when the wave requires another version; UNAVAILABLE
  // MODEL_LOADING while the current one is not whole; NOT_FOUND MODEL_NOT_FOUND once the model has been deleted.
  absl::StatusOr<std::unique_ptr<Lease>> Start(const WaveStart& wave);

  // Whether Start would hold a wave back; a hint that may be stale by the time it returns.
  bool held_back() const { return held_back_.load(std::memory_order_relaxed); }

  // Whether all versions it has had were damaged: it has none that could be served, until one is published, and the
  // next one's number is higher than theirs.
  bool lost() const;

  WeightVersion::Ptr current() const;
  // The current version, to build on, and the number that the next one gets. UNAVAILABLE MODEL_LOADING while the
  // current one is not whole: what were built on it would lack what is still being copied in.
  absl::StatusOr<std::pair<WeightVersion::Ptr, Version>> Base() const;
  ModelStatus GetStatus() const;
  std::vector<KeptVersion> kept() const;

  // Lets go of the oldest version that is kept in memory, for want of room; null when there is none.
  WeightVersion::Ptr DropKept();

  // Sends SNAPSHOT, then every event in order. `watcher` must not block. One that has been removed may still
  // be told of what happened before.
  void AddWatcher(std::shared_ptr<ModelWatcher> watcher);
  void RemoveWatcher(const ModelWatcher* watcher);

  // For a scrape: no lock.
  uint64_t version_number() const { return version_number_.load(std::memory_order_relaxed); }
  int64_t committed_bytes() const { return committed_bytes_.load(std::memory_order_relaxed); }
  int64_t kept_bytes() const { return kept_bytes_.load(std::memory_order_relaxed); }
  bool window_open() const { return closed_since_.load(std::memory_order_relaxed) == kOpen; }
  Duration closed_for() const;

 private:
  friend class Lease;
  friend class SwapLine;
  static constexpr int64_t kOpen = -1;

  struct Delivery {
    ModelEvent event;
    std::vector<std::shared_ptr<ModelWatcher>> to;
  };
  using Slot = std::list<LeaseRecord>::iterator;

  // The lease's side.
  void Step(Slot slot, std::optional<int64_t> finished, std::optional<int64_t> started);
  void End(Slot slot, bool with_result);

  // The swap line's side.
  bool OpenLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IdleLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return in_flight_.empty(); }
  WindowSnapshot SnapshotLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status WindowClosedErrorLocked(SwapPolicy policy) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status ClosedModelError() const;
  void FlipLocked(WeightVersion::Ptr next, const std::optional<Digest>& manifest, SwapEffects& effects)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ArmLocked(SwapEffects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DisarmLocked(SwapEffects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status LoadingErrorLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool LostLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return current_->number() == Version() && last_ != Version();
  }
  void BeginLoadingLocked(Time paused_at, Duration max_pause) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FinishLoadingLocked(WeightVersion::Ptr whole, SwapEffects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Tells scrapers, the wave queue and watchers what changed.
  void PublishLocked(SwapEffects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  ModelEvent EventLocked(ModelEvent::Kind kind) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EmitLocked(ModelEvent::Kind kind, SwapEffects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void KeepLocked(WeightVersion::Ptr old, SwapEffects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CountKeptLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RetireLocked(WeightVersion::Ptr version, SwapEffects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DeliverEvents();

  const std::string name_;
  const size_t keep_versions_;
  SwapLine* const line_owner_;
  Mutex& mu_;  // The line's.

  std::atomic<bool> held_back_{false};
  std::atomic<uint64_t> version_number_{0};
  std::atomic<int64_t> committed_bytes_{0};
  std::atomic<int64_t> kept_bytes_{0};
  std::atomic<int64_t> closed_since_{kOpen};  // Clock nanoseconds, or kOpen.

  WeightVersion::Ptr current_ ABSL_GUARDED_BY(mu_);
  std::optional<Digest> manifest_ ABSL_GUARDED_BY(mu_);  // The current version's, where it is durable.
  Version last_ ABSL_GUARDED_BY(mu_);                    // The highest number given to a version that was current.
  std::deque<KeptVersion> kept_ ABSL_GUARDED_BY(mu_);    // Newest first.
  std::list<LeaseRecord> in_flight_ ABSL_GUARDED_BY(mu_);
  std::optional<WindowClaim> resting_ ABSL_GUARDED_BY(mu_);
  std::set<uint64_t> line_ ABSL_GUARDED_BY(mu_);  // Tickets of the swaps in the line that concern this model.
  size_t armed_ ABSL_GUARDED_BY(mu_) = 0;         // Of those, how many have their hold on.
  bool paused_ ABSL_GUARDED_BY(mu_) = false;
  bool loading_ ABSL_GUARDED_BY(mu_) = false;
  bool overdue_ ABSL_GUARDED_BY(mu_) = false;  // Loading for so long that waves are refused rather than held.
  Time paused_at_ ABSL_GUARDED_BY(mu_);
  Clock::AlarmId overdue_alarm_ ABSL_GUARDED_BY(mu_) = Clock::kNoAlarm;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;  // Deleted, or about to be.
  std::vector<std::shared_ptr<ModelWatcher>> watchers_ ABSL_GUARDED_BY(mu_);
  std::deque<Delivery> outbox_ ABSL_GUARDED_BY(mu_);
  bool delivering_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_MODEL_H_
