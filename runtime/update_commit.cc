#include "runtime/update_commit.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/weight_swap.h"

namespace bwrt::runtime {
namespace {

// Between two attempts to read what an update in place needs.
constexpr Duration kLoadRetry = std::chrono::seconds(1);

}  // namespace

UpdateCommit::UpdateCommit(Context context, Updates updates, SwapOptions options, std::function<void()> on_outcome,
                           std::function<void()> on_end)
    : context_(context),
      updates_(std::move(updates)),
      options_(options),
      arrival_(context.clock->Now()),
      on_outcome_(std::move(on_outcome)),
      on_end_(std::move(on_end)) {}

uint64_t UpdateCommit::Join(CommitDone done) {
  MutexLock lock(mu_);
  waiting_.emplace(++last_waiting_, std::move(done));
  return last_waiting_;
}

void UpdateCommit::Leave(uint64_t number, const absl::Status& why) {
  CommitDone done;
  bool alone = false;
  {
    MutexLock lock(mu_);
    const auto at = waiting_.find(number);
    if (at == waiting_.end()) return;
    alone = waiting_.size() == 1;
    if (!alone) {
      done = std::move(at->second);
      waiting_.erase(at);
    }
  }
  if (alone) {
    Cancel(why);
  } else {
    done(why);
  }
}

void UpdateCommit::Cancel(const absl::Status& why) {
  uint64_t ticket = 0;
  {
    MutexLock lock(mu_);
    if (!cancelled_) cancelled_ = why;
    ticket = ticket_;
  }
  if (ticket != 0) context_.line->Cancel(ticket, why);
}

// Everything up to the line. On an error the updates are as they were.
absl::Status UpdateCommit::Enter(SwapRequest* request) {
  SwapDecision decision;
  for (const auto& update : updates_) {
    auto prepared = update->BeginCommit();
    if (!prepared.ok()) {
      for (size_t i = 0; i < prepared_.size(); ++i) updates_[i]->FailCommit();
      return prepared.status();
    }
    prepared_.push_back(*std::move(prepared));
  }
  const auto fail = [this](absl::Status why) {
    for (const auto& update : updates_) update->FailCommit();
    return why;
  };
  for (size_t i = 0; i < updates_.size(); ++i) {
    auto model = context_.models->FindOrCreate(updates_[i]->model());
    if (!model.ok()) return fail(model.status());
    request->in_place = request->in_place || updates_[i]->in_place();
    if (updates_[i]->in_place()) replaced_.push_back((*model)->current());
    request->parts.push_back({*model, prepared_[i].next, prepared_[i].manifest});
    if (prepared_[i].manifest) {
      decision.parts.push_back(
          {updates_[i]->model(), prepared_[i].next->number(), *prepared_[i].manifest, updates_[i]->id()});
    }
    models_.push_back(*std::move(model));
  }
  if (context_.builder->durable()) {
    decision.id = decision_ = context_.builder->state()->NextDecisionId();
    request->decision = std::move(decision);
  }
  return absl::OkStatus();
}

void UpdateCommit::Start() {
  SwapRequest request;
  if (absl::Status status = Enter(&request); !status.ok()) return Finish(status, SwapEndOf(status));
  request.options = options_;
  request.ticket = context_.line->NewTicket();
  request.ticket.arrival = arrival_;
  request.done = [self = shared_from_this()](const SwapOutcome& outcome) { self->OnOutcome(outcome); };
  const uint64_t ticket = request.ticket.number;
  {
    MutexLock lock(mu_);
    ticket_ = ticket;
  }
  context_.line->Swap(std::move(request));
  std::optional<absl::Status> why;
  {
    MutexLock lock(mu_);
    why = cancelled_;
  }
  // A cancellation that came before the swap entered the line found nothing to end.
  if (why) context_.line->Cancel(ticket, *why);
}

void UpdateCommit::OnOutcome(const SwapOutcome& outcome) {
  if (outcome.kind == SwapOutcome::Kind::kFlipped) {
    result_.waited = outcome.waited;
    result_.held = outcome.ticket.held;
    paused_from_ = context_.clock->Now() - outcome.paused;
    bool whole = true;
    ReserveAhead();
    // Of these two, only decisions are counted on after a restart, which brings back the groups before it.
    const uint64_t group = decision_ != 0 ? decision_ : outcome.ticket.number;
    for (size_t i = 0; i < updates_.size(); ++i) {
      const SwapFlip& flip = outcome.flips[i];
      updates_[i]->FinishCommit(group, flip.previous, flip.version);
      result_.updates.push_back({updates_[i]->id(), updates_[i]->model(), flip.version, flip.previous});
      whole = whole && prepared_[i].absent.empty() && !updates_[i]->in_place();
    }
    for (const CommittedUpdate& done : result_.updates) context_.updates->BaseMoved(done.model, done.version);
    if (whole) return Finish(result_, SwapEnd::kCommitted);
    // After what the line, and BaseMoved, have just posted there: the memory of what was replaced is free by then.
    context_.reclaim->Post([self = shared_from_this()] {
      self->replaced_.clear();
      self->context_.executor->Post([self] { self->Load(); });
    });
    return;
  }
  for (const auto& update : updates_) update->FailCommit();
  absl::Status status = outcome.status;
  if (outcome.kind == SwapOutcome::Kind::kBaseMoved) {
    for (size_t i = 0; i < updates_.size(); ++i) {
      const Update& update = *updates_[i];
      if (absl::Status moved = CheckBase(update.base(), update.model(), models_[i].get()); !moved.ok()) {
        status = std::move(moved);
        context_.updates->BaseMoved(update.model(), models_[i]->current()->number());
      }
    }
  }
  Finish(status, SwapEndOf(status));
}

void UpdateCommit::ReserveAhead() {
  room_.resize(prepared_.size());
  for (size_t i = 0; i < prepared_.size(); ++i) {
    if (prepared_[i].growth != nullptr) room_[i] = std::exchange(*prepared_[i].growth, WeightBudget::Reservation());
    context_.builder->ReserveAhead(prepared_[i].absent, room_[i]);
  }
}

void UpdateCommit::Load() {
  for (; loaded_ < prepared_.size(); ++loaded_) {
    if (!updates_[loaded_]->in_place()) {
      // It flipped together with one in place, and has paused with it.
      context_.line->FinishLoading(models_[loaded_], prepared_[loaded_].next);
      continue;
    }
    const WeightVersion& rest = *prepared_[loaded_].next;
    auto tensors = context_.builder->LoadInto(prepared_[loaded_].absent, rest, room_[loaded_]);
    if (!tensors.ok()) {
      // What it had read has given back its room, which is ours until the model is whole.
      context_.builder->ReserveAhead(prepared_[loaded_].absent, room_[loaded_]);
      context_.observer->OnLoadFailed(models_[loaded_]->name(), tensors.status());
      bool stop = false;
      {
        MutexLock lock(mu_);
        stop = cancelled_.has_value();
      }
      // It has taken effect: a restart finds it in the state directory, and only the answer is lost.
      if (stop) return Finish(tensors.status(), SwapEnd::kFailed);
      context_.clock->SetAlarm(context_.clock->Now() + kLoadRetry, [self = shared_from_this()] {
        self->context_.executor->Post([self] { self->Load(); });
      });
      return;
    }
    VersionChange change;
    change.number = rest.number();
    change.label = rest.label();
    change.restored_from = rest.restored_from();
    change.put = *std::move(tensors);
    context_.line->FinishLoading(models_[loaded_], rest.With(std::move(change)));
    Reach(context_.failpoints, "commit.loaded");
  }
  result_.paused = context_.clock->Now() - paused_from_;
  Finish(result_, SwapEnd::kCommitted);
}

void UpdateCommit::Finish(const absl::StatusOr<CommitResult>& result, SwapEnd end) {
  for (const auto& update : updates_) {
    const bool exists = context_.models->Find(update->model()).ok();
    context_.observer->OnSwapEnd(exists ? absl::string_view(update->model()) : "(none)", end,
                                 context_.clock->Now() - arrival_);
  }
  prepared_.clear();
  models_.clear();
  room_.clear();
  // Perhaps the last references to versions that others have replaced meanwhile.
  if (!replaced_.empty()) context_.reclaim->Post([replaced = std::exchange(replaced_, {})] {});
  Answer(result);
}

void UpdateCommit::Answer(const absl::StatusOr<CommitResult>& result) {
  on_outcome_();
  std::map<uint64_t, CommitDone> waiting;
  {
    MutexLock lock(mu_);
    ticket_ = 0;
    waiting.swap(waiting_);
  }
  for (const auto& [number, done] : waiting) done(result);
  on_end_();
}

}  // namespace bwrt::runtime
