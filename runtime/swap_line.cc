#include "runtime/swap_line.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/error.h"
#include "runtime/model.h"

namespace bwrt::runtime {
namespace {

// The thread that offers a swap has often just built a version, or freed one: the allocator then sorts the freed
// pieces at its next larger allocation, which takes milliseconds for a hundred thousand tensors. Here nobody waits
// for it; under the lock every wave would.
void SettleAllocator() {
  void* volatile piece = std::malloc(size_t{64} << 10);
  std::free(piece);
}

}  // namespace

SwapLine::~SwapLine() {
  // Alarms and posted work may still be on their way out of our code.
  context_.clock->Quiesce();
  if (context_.journal != nullptr) context_.journal_executor->Flush();
}

SwapTicket SwapLine::NewTicket() {
  MutexLock lock(mu_);
  return {.number = ++last_ticket_, .arrival = context_.clock->Now()};
}

void SwapLine::Swap(SwapRequest request) {
  SettleAllocator();
  SwapEffects effects;
  {
    MutexLock lock(mu_);
    const uint64_t ticket = request.ticket.number;
    const std::vector<SwapPart> parts = request.parts;
    const Entry at = swaps_.emplace(ticket, Pending()).first;
    at->second.request = std::move(request);
    for (const SwapPart& part : parts) part.model->line_.insert(ticket);
    const auto closed = std::find_if(parts.begin(), parts.end(), [](const SwapPart& p) { return p.model->closed_; });
    if (closed != parts.end()) {
      FailLocked(at, SwapOutcome::Kind::kFailed, closed->model->ClosedModelError(), effects);
    } else if (absl::Status status = CheckPolicy(at->second.request.options.policy, options_.allow_when_idle);
               !status.ok()) {
      FailLocked(at, SwapOutcome::Kind::kFailed, std::move(status), effects);
    }
    for (const SwapPart& part : parts) ServeLocked(*part.model, effects);
  }
  Run(effects);
}

bool SwapLine::Cancel(uint64_t ticket, const absl::Status& why) {
  SwapEffects effects;
  {
    MutexLock lock(mu_);
    const Entry at = swaps_.find(ticket);
    if (at == swaps_.end()) return false;
    if (at->second.stage == Stage::kDeciding) {
      if (!at->second.cancelled) at->second.cancelled = why;
      return true;
    }
    const std::vector<SwapPart> parts = at->second.request.parts;
    FailLocked(at, SwapOutcome::Kind::kFailed, why, effects);
    for (const SwapPart& part : parts) ServeLocked(*part.model, effects);
  }
  Run(effects);
  return true;
}

// ---------------------------------------------------------------------------------------- moving on

void SwapLine::ServeLocked(Model& model, SwapEffects& effects) {
  // The window's opening is told before the flips it allows.
  model.PublishLocked(effects);
  if (model.line_.empty()) return;
  std::vector<std::shared_ptr<Model>> todo = {model.shared_from_this()};
  while (!todo.empty()) {
    const std::shared_ptr<Model> next = std::move(todo.back());
    todo.pop_back();
    bool left = true;
    while (left) {
      left = false;
      for (const uint64_t ticket : next->line_) {
        const Entry at = swaps_.find(ticket);
        const std::vector<SwapPart> parts = at->second.request.parts;
        left = AdvanceLocked(at, effects);
        if (!left) continue;
        // Its models have one swap less before the others.
        for (const SwapPart& part : parts) {
          part.model->PublishLocked(effects);
          if (part.model != next) todo.push_back(part.model);
        }
        break;
      }
    }
  }
}

bool SwapLine::AdvanceLocked(Entry at, SwapEffects& effects) {
  Pending& swap = at->second;
  const bool waits = swap.request.options.policy == SwapPolicy::kWaitForWindow;
  if (swap.stage == Stage::kDeciding) return false;
  if (BaseMovedLocked(swap)) {
    FailLocked(at, SwapOutcome::Kind::kBaseMoved, absl::OkStatus(), effects);
    return true;
  }
  if (swap.stage == Stage::kPausing) {
    const auto& parts = swap.request.parts;
    if (std::any_of(parts.begin(), parts.end(), [](const SwapPart& p) { return !p.model->IdleLocked(); })) return false;
    if (VerdictLocked(swap) == SwapVerdict::kFlip) {
      FlipLocked(at, effects);
      return true;
    }
    // The last wave came to rest outside its window.
    UnpauseLocked(swap, effects);
  } else if (swap.stage == Stage::kWaiting && !TurnLocked(swap)) {
    if (waits) {
      WaitLocked(at);
      return false;
    }
    if (VerdictLocked(swap) != SwapVerdict::kRefuse) {
      if (BehindDecidingLocked(swap)) return false;  // Which ends soon.
      FailLocked(at, SwapOutcome::Kind::kFailed,
                 MakeError(absl::StatusCode::kFailedPrecondition, "SWAP_LINE_BUSY",
                           "an earlier swap has been decided and waits for its window; use WAIT_FOR_WINDOW or retry "
                           "later"),
                 effects);
      return true;
    }
  }
  switch (VerdictLocked(swap)) {
    case SwapVerdict::kRefuse:
      FailLocked(at, SwapOutcome::Kind::kFailed, RefusalLocked(swap), effects);
      return true;
    case SwapVerdict::kWait:
      WaitLocked(at);
      return false;
    case SwapVerdict::kFlip:
      break;
  }
  if (swap.request.decision && !swap.decided) {
    DecideLocked(at);
    return false;
  }
  if (swap.request.in_place) {
    PauseLocked(at, effects);
    const auto& parts = swap.request.parts;
    if (std::any_of(parts.begin(), parts.end(), [](const SwapPart& p) { return !p.model->IdleLocked(); })) return false;
  }
  FlipLocked(at, effects);
  return true;
}

bool SwapLine::TurnLocked(const Pending& swap) const {
  const uint64_t own = swap.request.ticket.number;
  const bool waits = swap.request.options.policy == SwapPolicy::kWaitForWindow;
  for (const SwapPart& part : swap.request.parts) {
    for (const uint64_t ticket : part.model->line_) {
      if (ticket == own) continue;
      if (swaps_.at(ticket).stage != Stage::kWaiting || (waits && ticket < own)) return false;
    }
  }
  return true;
}

bool SwapLine::BehindDecidingLocked(const Pending& swap) const {
  for (const SwapPart& part : swap.request.parts) {
    for (const uint64_t ticket : part.model->line_) {
      if (swaps_.at(ticket).stage == Stage::kDeciding) return true;
    }
  }
  return false;
}

SwapVerdict SwapLine::VerdictLocked(const Pending& swap) const {
  SwapVerdict all = SwapVerdict::kFlip;
  for (const SwapPart& part : swap.request.parts) {
    const SwapVerdict one = Decide(swap.request.options.policy, part.model->OpenLocked(), part.model->IdleLocked());
    if (one == SwapVerdict::kRefuse) return one;
    if (one == SwapVerdict::kWait) all = one;
  }
  return all;
}

bool SwapLine::BaseMovedLocked(const Pending& swap) const {
  const auto& parts = swap.request.parts;
  return std::any_of(parts.begin(), parts.end(),
                     [](const SwapPart& p) { return p.next->base() != p.model->current_->number(); });
}

absl::Status SwapLine::RefusalLocked(const Pending& swap) const {
  const SwapPolicy policy = swap.request.options.policy;
  for (const SwapPart& part : swap.request.parts) {
    if (Decide(policy, part.model->OpenLocked(), part.model->IdleLocked()) == SwapVerdict::kRefuse) {
      return part.model->WindowClosedErrorLocked(policy);
    }
  }
  return absl::OkStatus();
}

// ---------------------------------------------------------------------------------------- waiting, holding

Clock::AlarmId SwapLine::Alarm(Time when, void (SwapLine::*fire)(uint64_t), uint64_t ticket) {
  return context_.clock->SetAlarm(when, [this, fire, ticket] { (this->*fire)(ticket); });
}

void SwapLine::WaitLocked(Entry at) {
  Pending& swap = at->second;
  if (swap.timeout_alarm != Clock::kNoAlarm) return;  // It has been waiting.
  const SwapTicket& ticket = swap.request.ticket;
  const SwapOptions& options = swap.request.options;
  swap.timeout_alarm = Alarm(ticket.arrival + options.wait_timeout, &SwapLine::OnTimeout, ticket.number);
  if (options.hold_after && ticket.held < options_.max_hold) {
    swap.hold = Hold::kPending;
    swap.hold_alarm = Alarm(ticket.arrival + *options.hold_after, &SwapLine::OnHoldAlarm, ticket.number);
  }
}

void SwapLine::OnTimeout(uint64_t ticket) {
  absl::Status why;
  {
    MutexLock lock(mu_);
    const Entry at = swaps_.find(ticket);
    if (at == swaps_.end()) return;
    std::vector<std::string> waited_for;
    for (const SwapPart& part : at->second.request.parts) {
      waited_for.push_back(
          absl::StrCat("model \"", part.model->name(), "\" (",
                       absl::StrJoin(part.model->SnapshotLocked().Tested(), "; ",
                                     [](std::string* out, const auto& c) { absl::StrAppend(out, Describe(c)); }),
                       ")"));
    }
    why = MakeError(absl::StatusCode::kDeadlineExceeded, "SWAP_WAIT_TIMEOUT",
                    absl::StrCat("wait_timeout=", Seconds(at->second.request.options.wait_timeout),
                                 "s: there was no open swap window in that time: ", absl::StrJoin(waited_for, ", "),
                                 "; nothing changed; wait longer, or set hold_after"));
  }
  Cancel(ticket, why);
}

void SwapLine::OnHoldAlarm(uint64_t ticket) {
  SwapEffects effects;
  {
    MutexLock lock(mu_);
    const Entry at = swaps_.find(ticket);
    if (at == swaps_.end()) return;
    Pending& swap = at->second;
    const std::vector<SwapPart> parts = swap.request.parts;
    if (swap.hold == Hold::kPending) {
      swap.hold = Hold::kArmed;
      swap.armed_at = context_.clock->Now();
      for (const SwapPart& part : parts) part.model->ArmLocked(effects);
      // The hold is bounded: the ticket's share of max_hold, whatever its wait_timeout.
      swap.hold_alarm =
          Alarm(swap.armed_at + (options_.max_hold - swap.request.ticket.held), &SwapLine::OnHoldAlarm, ticket);
    } else if (swap.hold == Hold::kArmed) {
      DisarmLocked(swap, Hold::kSpent, effects);
    }
    for (const SwapPart& part : parts) ServeLocked(*part.model, effects);
  }
  Run(effects);
}

void SwapLine::DisarmLocked(Pending& swap, Hold next, SwapEffects& effects) {
  context_.clock->CancelAlarm(swap.hold_alarm);
  swap.hold = next;
  const Duration held = context_.clock->Now() - swap.armed_at;
  swap.request.ticket.held += held;
  for (const SwapPart& part : swap.request.parts) {
    effects.calls.push_back([this, model = part.model, held] { context_.observer->OnHoldEnd(model->name(), held); });
    part.model->DisarmLocked(effects);
  }
}

// ---------------------------------------------------------------------------------------- in place

void SwapLine::PauseLocked(Entry at, SwapEffects& effects) {
  Pending& swap = at->second;
  swap.stage = Stage::kPausing;
  swap.paused_at = context_.clock->Now();
  swap.pause_alarm = Alarm(swap.paused_at + options_.max_pause, &SwapLine::OnPauseAlarm, at->first);
  for (const SwapPart& part : swap.request.parts) {
    part.model->paused_ = true;
    part.model->PublishLocked(effects);
  }
}

void SwapLine::UnpauseLocked(Pending& swap, SwapEffects& effects) {
  context_.clock->CancelAlarm(swap.pause_alarm);
  swap.stage = swap.decided ? Stage::kDecided : Stage::kWaiting;
  const Duration paused = context_.clock->Now() - swap.paused_at;
  for (const SwapPart& part : swap.request.parts) {
    part.model->paused_ = false;
    part.model->PublishLocked(effects);
    effects.calls.push_back(
        [this, model = part.model, paused] { context_.observer->OnHoldEnd(model->name(), paused); });
  }
  effects.startable = true;
}

void SwapLine::OnPauseAlarm(uint64_t ticket) {
  SwapEffects effects;
  {
    MutexLock lock(mu_);
    const Entry at = swaps_.find(ticket);
    if (at == swaps_.end() || at->second.stage != Stage::kPausing) return;
    const std::vector<SwapPart> parts = at->second.request.parts;
    FailLocked(at, SwapOutcome::Kind::kFailed,
               MakeError(absl::StatusCode::kDeadlineExceeded, "MAX_PAUSE",
                         absl::StrCat("running waves did not end within --max-pause=", Seconds(options_.max_pause),
                                      "s; nothing changed; retry when shorter waves run, or raise it")),
               effects);
    for (const SwapPart& part : parts) ServeLocked(*part.model, effects);
  }
  Run(effects);
}

void SwapLine::FinishLoading(const std::shared_ptr<Model>& model, WeightVersion::Ptr whole) {
  SwapEffects effects;
  {
    MutexLock lock(mu_);
    model->FinishLoadingLocked(std::move(whole), effects);
    ServeLocked(*model, effects);
  }
  Run(effects);
}

// ---------------------------------------------------------------------------------------- ends

void SwapLine::DecideLocked(Entry at) {
  Pending& swap = at->second;
  swap.stage = Stage::kDeciding;
  context_.journal_executor->Post([this, ticket = at->first, decision = *swap.request.decision] {
    Reach(context_.failpoints, "commit.deciding");
    const absl::Status status = context_.journal->Decide(decision);
    Reach(context_.failpoints, "commit.decided");
    OnDecided(ticket, status);
  });
}

void SwapLine::OnDecided(uint64_t ticket, const absl::Status& status) {
  SwapEffects effects;
  {
    MutexLock lock(mu_);
    const Entry at = swaps_.find(ticket);  // Nothing takes a deciding swap out of the line but this.
    Pending& swap = at->second;
    const std::vector<SwapPart> parts = swap.request.parts;
    swap.stage = status.ok() ? Stage::kDecided : Stage::kWaiting;
    swap.decided = status.ok();
    if (!status.ok()) {
      FailLocked(at, SwapOutcome::Kind::kFailed, status, effects);
    } else if (swap.cancelled) {
      FailLocked(at, SwapOutcome::Kind::kFailed, *swap.cancelled, effects);
    }
    for (const SwapPart& part : parts) ServeLocked(*part.model, effects);
  }
  Run(effects);
}

void SwapLine::FlipLocked(Entry at, SwapEffects& effects) {
  if (at->second.stage == Stage::kPausing) {
    // The models stay paused until FinishLoading.
    context_.clock->CancelAlarm(at->second.pause_alarm);
    at->second.stage = Stage::kDecided;
  }
  Pending swap = RemoveLocked(at, effects);
  SwapOutcome outcome = Outcome(swap, SwapOutcome::Kind::kFlipped, absl::OkStatus());
  if (swap.request.in_place) outcome.paused = context_.clock->Now() - swap.paused_at;
  for (SwapPart& part : swap.request.parts) {
    outcome.flips.push_back({part.model->current_->number(), part.next->number()});
    part.model->FlipLocked(std::move(part.next), part.manifest, effects);
    if (swap.request.in_place) part.model->BeginLoadingLocked(swap.paused_at, options_.max_pause);
  }
  if (swap.decided) {
    context_.journal_executor->Post([this, decision = *swap.request.decision] { context_.journal->Confirm(decision); });
  }
  effects.calls.push_back([this, done = std::move(swap.request.done), outcome = std::move(outcome)] {
    Reach(context_.failpoints, "commit.flipped");
    done(outcome);
  });
}

void SwapLine::FailLocked(Entry at, SwapOutcome::Kind kind, absl::Status why, SwapEffects& effects) {
  Pending swap = RemoveLocked(at, effects);
  SwapOutcome outcome = Outcome(swap, kind, std::move(why));
  std::vector<WeightVersion::Ptr> vain;
  for (SwapPart& part : swap.request.parts) vain.push_back(std::move(part.next));
  // Built in vain: they may hold the last references to tensors that have been replaced meanwhile.
  effects.calls.push_back([this, vain = std::move(vain)]() mutable {
    context_.executor->Post([vain = std::move(vain)]() mutable { vain.clear(); });
  });
  SwapCallback done = std::move(swap.request.done);
  if (!swap.decided) {
    effects.calls.push_back([done = std::move(done), outcome = std::move(outcome)] { done(outcome); });
    return;
  }
  // Under the lock, so that no later decision of these models comes before it.
  context_.journal_executor->Post(
      [this, decision = *swap.request.decision, done = std::move(done), outcome = std::move(outcome)]() mutable {
        Reach(context_.failpoints, "commit.revoking");
        if (absl::Status status = context_.journal->Revoke(decision); !status.ok()) {
          outcome.kind = SwapOutcome::Kind::kFailed;
          outcome.status = std::move(status);
        }
        Reach(context_.failpoints, "commit.revoked");
        done(outcome);
      });
}

SwapLine::Pending SwapLine::RemoveLocked(Entry at, SwapEffects& effects) {
  Pending swap = std::move(at->second);
  for (const SwapPart& part : swap.request.parts) part.model->line_.erase(at->first);
  swaps_.erase(at);
  context_.clock->CancelAlarm(swap.timeout_alarm);
  if (swap.hold == Hold::kArmed) {
    DisarmLocked(swap, Hold::kSpent, effects);
  } else {
    context_.clock->CancelAlarm(swap.hold_alarm);
  }
  if (swap.stage == Stage::kPausing) UnpauseLocked(swap, effects);
  return swap;
}

SwapOutcome SwapLine::Outcome(const Pending& swap, SwapOutcome::Kind kind, absl::Status status) const {
  SwapOutcome outcome;
  outcome.kind = kind;
  outcome.status = std::move(status);
  outcome.ticket = swap.request.ticket;
  outcome.waited = context_.clock->Now() - swap.request.ticket.arrival;
  return outcome;
}

absl::Status SwapLine::CloseModel(const std::shared_ptr<Model>& model) {
  MutexLock lock(mu_);
  if (!model->line_.empty() || model->loading_) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "SWAP_LINE_BUSY",
                     absl::StrCat("model=\"", model->name(), "\": a swap of it is under way; wait for it or abort it"));
  }
  model->closed_ = true;
  return absl::OkStatus();
}

void SwapLine::ReopenModel(const std::shared_ptr<Model>& model) {
  MutexLock lock(mu_);
  model->closed_ = false;
}

void SwapLine::Run(const SwapEffects& effects) {
  // Waves first: whoever was held back has waited long enough.
  if (effects.startable) context_.on_startable();
  for (const auto& model : effects.events) model->DeliverEvents();
  for (const auto& call : effects.calls) call();
}

}  // namespace bwrt::runtime
