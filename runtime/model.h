// Model: one current version, the waves that lease its versions, and the swaps that wait for its window.
//
// Starts, token changes, retirements and flips serialize on one short lock, and the window is evaluated under
// it. Everything costly (building a version, freeing one, calling back) happens outside. Thread-safe; owned
// by the ModelRegistry and shared with leases.
//
// Invariants:
//  1. current() only ever moves to a version built on it; numbers strictly increase.
//  2. A flip happens only when the policy function (swap_window.h) says so of the state under the lock.
//  3. A version lives while it is current or leased; what is neither goes to the executor to be freed.
//  4. Waiting swaps are served in the order of their tickets. Each gets exactly one outcome.
//  5. While a waiting swap is armed, waves of the model overlap no more (MayStart), for at most max_hold a
//     ticket.
#ifndef BWRT_RUNTIME_MODEL_H_
#define BWRT_RUNTIME_MODEL_H_

#include <atomic>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/clock.h"
#include "runtime/executor.h"
#include "runtime/lease.h"
#include "runtime/model_event.h"
#include "runtime/mutex.h"
#include "runtime/observer.h"
#include "runtime/swap.h"
#include "runtime/swap_window.h"
#include "runtime/token_clock.h"
#include "runtime/weight_version.h"

namespace bwrt::runtime {

struct ModelOptions {
  bool allow_when_idle = true;
  Duration max_hold = std::chrono::seconds(10);  // A ticket's share of held-back waves.
};

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
  bool holding = false;
};

struct ModelStatus {
  WeightVersion::Ptr current;
  WindowStatus window;
  Bytes retiring;  // Of versions that are leased and no longer current, not shared with the current one.
};

// FAILED_PRECONDITION, reason VERSION_MISMATCH, unless `required` is 0 or the version of `current`.
absl::Status CheckRequiredVersion(const std::string& model, Version required, const WeightVersion& current);

class Model : public std::enable_shared_from_this<Model> {
 public:
  // `on_startable` is called, outside the lock, whenever waves that may not start before may start now.
  // Everything passed by pointer must outlive the model.
  Model(std::string name, ModelOptions options, Clock* clock, Executor* executor, RuntimeObserver* observer,
        std::function<void()> on_startable);

  const std::string& name() const { return name_; }

  // Leases the current version to a starting wave. Null when waves are being held back: try again after
  // on_startable. FAILED_PRECONDITION, reason VERSION_MISMATCH, when the wave requires another version.
  absl::StatusOr<std::unique_ptr<Lease>> Start(const WaveStart& wave);

  // Whether Start would hold a wave back; a hint that may be stale by the time it returns.
  bool held_back() const { return held_back_.load(std::memory_order_relaxed); }

  SwapTicket NewTicket();
  // Makes `next` current, now or when the window opens, and calls `done` exactly once, outside the lock,
  // possibly inside this call. `next` must have been built on a version of this model.
  void Swap(const SwapTicket& ticket, WeightVersion::Ptr next, SwapOptions options, SwapCallback done);
  // Ends a waiting swap with `why`. False when it is not waiting.
  bool CancelSwap(uint64_t ticket_number, const absl::Status& why);

  WeightVersion::Ptr current() const;
  ModelStatus GetStatus() const;

  // Sends SNAPSHOT, then every event in order. `watcher` must not block. One that has been removed may still
  // be told of what happened before.
  void AddWatcher(std::shared_ptr<ModelWatcher> watcher);
  void RemoveWatcher(const ModelWatcher* watcher);

  // For a scrape: no lock.
  uint64_t version_number() const { return version_number_.load(std::memory_order_relaxed); }
  int64_t committed_bytes() const { return committed_bytes_.load(std::memory_order_relaxed); }
  bool window_open() const { return closed_since_.load(std::memory_order_relaxed) == kOpen; }
  Duration closed_for() const;

 private:
  friend class Lease;
  static constexpr int64_t kOpen = -1;

  struct Waiter {
    enum class Hold { kNever, kPending, kArmed, kSpent };
    SwapTicket ticket;
    WeightVersion::Ptr next;
    SwapOptions options;
    SwapCallback done;
    Hold hold = Hold::kNever;
    Time armed_at;
    Clock::AlarmId timeout_alarm = Clock::kNoAlarm;
    Clock::AlarmId hold_alarm = Clock::kNoAlarm;
  };
  struct Delivery {
    ModelEvent event;
    std::vector<std::shared_ptr<ModelWatcher>> to;
  };
  // What a transition leaves to be done once the lock is released.
  struct Effects {
    std::vector<std::function<void()>> calls;
    bool startable = false;
    bool events = false;
  };
  using Slot = std::list<LeaseRecord>::iterator;

  // The lease's side.
  void Step(Slot slot, std::optional<int64_t> finished, std::optional<int64_t> started);
  void End(Slot slot, bool with_result);

  SwapOutcome Outcome(const SwapTicket& ticket, SwapOutcome::Kind kind, absl::Status status) const;
  void OnTimeout(uint64_t ticket_number);
  void OnHoldAlarm(uint64_t ticket_number);

  WindowSnapshot SnapshotLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool OpenLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Serves waiters while the window is open, then publishes what changed.
  void ReevaluateLocked(Effects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FlipLocked(const SwapTicket& ticket, WeightVersion::Ptr next, SwapCallback done, Effects& effects)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Takes a waiter out of the line: its alarms, and its hold if it is armed.
  Waiter RemoveLocked(std::map<uint64_t, Waiter>::iterator at, Effects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DisarmLocked(Waiter& waiter, Waiter::Hold next, Effects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PublishLocked(Effects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ModelEvent EventLocked(ModelEvent::Kind kind) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EmitLocked(ModelEvent::Kind kind, Effects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RetireLocked(WeightVersion::Ptr version, Effects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status ClosedErrorLocked(SwapPolicy policy) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Releases nothing by itself: called after the lock is dropped.
  void Run(const Effects& effects);
  void DeliverEvents();

  const std::string name_;
  const ModelOptions options_;
  Clock* const clock_;
  Executor* const executor_;
  RuntimeObserver* const observer_;
  const std::function<void()> on_startable_;

  std::atomic<bool> held_back_{false};
  std::atomic<uint64_t> version_number_{0};
  std::atomic<int64_t> committed_bytes_{0};
  std::atomic<int64_t> closed_since_{kOpen};  // Clock nanoseconds, or kOpen.

  mutable Mutex mu_;
  WeightVersion::Ptr current_ ABSL_GUARDED_BY(mu_);
  std::list<LeaseRecord> in_flight_ ABSL_GUARDED_BY(mu_);
  std::optional<WindowClaim> resting_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, Waiter> waiters_ ABSL_GUARDED_BY(mu_);  // By ticket number: first come, first served.
  size_t armed_ ABSL_GUARDED_BY(mu_) = 0;                    // Waiters whose hold is on.
  uint64_t last_ticket_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::shared_ptr<ModelWatcher>> watchers_ ABSL_GUARDED_BY(mu_);
  std::deque<Delivery> outbox_ ABSL_GUARDED_BY(mu_);
  bool delivering_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_MODEL_H_
