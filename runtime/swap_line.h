// SwapLine: the line in which swaps wait for their models' windows, and the lock under which they flip.
//
// One for all models of a runtime, because a swap may take several models along: starts, token changes, retirements
// and flips all serialize on its one short lock, so that such a swap is one point in time. Everything costly
// (building a version, the journal, freeing, calling back) happens outside it.
//
// A swap goes through: waiting -> [deciding -> decided ->] [pausing ->] flipped, or leaves the line without a flip:
//  1. It flips only when the policy function (swap_window.h) says so for each of its models, under the lock.
//  2. A waiting swap goes ahead only when no earlier one of any of its models is in the line; one that is not willing
//     to wait may overtake those that are neither decided nor deciding. Tickets are numbered over all models, so that
//     swaps never wait for each other in a circle.
//  3. Of one model at most one swap is deciding, decided or pausing; the journal is told of decisions and
//     revocations in the order in which the line makes them.
//  4. Each swap gets exactly one outcome; of a decided one that did not flip, after its revocation is durable.
//  5. While a waiting swap's hold is armed, waves of its models overlap no more (MayStart), for at most max_hold a
//     ticket. A pause (in place) holds all waves, for at most max_pause until the flip.
//
// Thread-safe. Owned by the runtime; must outlive its models' use, and the executors must outlive it.
#ifndef BWRT_RUNTIME_SWAP_LINE_H_
#define BWRT_RUNTIME_SWAP_LINE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "runtime/clock.h"
#include "runtime/executor.h"
#include "runtime/failpoints.h"
#include "runtime/mutex.h"
#include "runtime/observer.h"
#include "runtime/swap.h"
#include "runtime/swap_decision.h"

namespace bwrt::runtime {

struct SwapLineOptions {
  bool allow_when_idle = true;
  Duration max_hold = std::chrono::seconds(10);  // A ticket's share of held-back waves.
  Duration max_pause = std::chrono::seconds(5);  // In place: from the pause to the flip, and waves held thereafter.
};

// What a transition under the lock leaves to be done once it is released.
struct SwapEffects {
  std::vector<std::function<void()>> calls;
  std::vector<std::shared_ptr<Model>> events;  // These have events to deliver.
  bool startable = false;                      // Waves that could not start before perhaps can now.
};

class SwapLine {
 public:
  // What the line works with. All of it outlives the line. `journal` may be null: then no request has a decision.
  // `on_startable` is called, outside the lock, whenever waves that may not start before may start now.
  struct Context {
    Clock* clock;
    Executor* executor;          // Frees what was replaced.
    Executor* journal_executor;  // One thread, in order: the journal's.
    SwapJournal* journal;
    RuntimeObserver* observer;
    Failpoints* failpoints;
    std::function<void()> on_startable;
  };

  SwapLine(SwapLineOptions options, Context context) : options_(options), context_(std::move(context)) {}
  ~SwapLine();  // No swap may be in the line any more.
  SwapLine(const SwapLine&) = delete;
  SwapLine& operator=(const SwapLine&) = delete;

  SwapTicket NewTicket();
  // Makes the versions current, now or when the windows open.
  void Swap(SwapRequest request);
  // Ends a swap that has not flipped with `why`. False when there is none; one whose decision is being written ends as
  // soon as it is.
  bool Cancel(uint64_t ticket, const absl::Status& why);

  // In place: `whole` replaces the current version of `model`, of which it is the complete form; waves may start.
  void FinishLoading(const std::shared_ptr<Model>& model, WeightVersion::Ptr whole);

  // FAILED_PRECONDITION, reason SWAP_LINE_BUSY, while a swap of the model is in the line; afterwards NOT_FOUND for
  // every swap and wave that comes.
  absl::Status CloseModel(const std::shared_ptr<Model>& model);
  void ReopenModel(const std::shared_ptr<Model>& model);

  const SwapLineOptions& options() const { return options_; }
  Clock* clock() const { return context_.clock; }
  Executor* executor() const { return context_.executor; }

 private:
  friend class Model;

  enum class Stage { kWaiting, kDeciding, kDecided, kPausing };
  enum class Hold { kNever, kPending, kArmed, kSpent };

  struct Pending {
    SwapRequest request;
    Stage stage = Stage::kWaiting;
    bool decided = false;                   // Durable: to be revoked unless it flips.
    std::optional<absl::Status> cancelled;  // While it was deciding.
    Hold hold = Hold::kNever;
    Time armed_at;
    Time paused_at;
    Clock::AlarmId timeout_alarm = Clock::kNoAlarm;
    Clock::AlarmId hold_alarm = Clock::kNoAlarm;
    Clock::AlarmId pause_alarm = Clock::kNoAlarm;
  };
  using Entry = std::map<uint64_t, Pending>::iterator;

  // Moves on whatever `model`'s state allows, then publishes what changed. Called after each change under the lock.
  void ServeLocked(Model& model, SwapEffects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Takes one step with a swap, if it can. True when it has left the line.
  bool AdvanceLocked(Entry at, SwapEffects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether it may go ahead, as far as others in the line are concerned.
  bool TurnLocked(const Pending& swap) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool BehindDecidingLocked(const Pending& swap) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  SwapVerdict VerdictLocked(const Pending& swap) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool BaseMovedLocked(const Pending& swap) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status RefusalLocked(const Pending& swap) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void WaitLocked(Entry at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);  // Sets the alarms of one that is going to wait.
  void DecideLocked(Entry at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PauseLocked(Entry at, SwapEffects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void UnpauseLocked(Pending& swap, SwapEffects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FlipLocked(Entry at, SwapEffects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // It leaves without a flip.
  void FailLocked(Entry at, SwapOutcome::Kind kind, absl::Status why, SwapEffects& effects)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Pending RemoveLocked(Entry at, SwapEffects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DisarmLocked(Pending& swap, Hold next, SwapEffects& effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  SwapOutcome Outcome(const Pending& swap, SwapOutcome::Kind kind, absl::Status status) const;

  void OnDecided(uint64_t ticket, const absl::Status& status);
  void OnTimeout(uint64_t ticket);
  void OnHoldAlarm(uint64_t ticket);
  void OnPauseAlarm(uint64_t ticket);
  Clock::AlarmId Alarm(Time when, void (SwapLine::*fire)(uint64_t), uint64_t ticket);

  // After the lock is released.
  void Run(const SwapEffects& effects);

  const SwapLineOptions options_;
  const Context context_;
  mutable Mutex mu_;
  std::map<uint64_t, Pending> swaps_ ABSL_GUARDED_BY(mu_);  // By ticket: first come, first served.
  uint64_t last_ticket_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_SWAP_LINE_H_
