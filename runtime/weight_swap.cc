#include "runtime/weight_swap.h"

#include "absl/strings/str_cat.h"
#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

SwapEnd EndOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kFailedPrecondition:
      return SwapEnd::kRefused;
    case absl::StatusCode::kDeadlineExceeded:
      return SwapEnd::kTimedOut;
    case absl::StatusCode::kCancelled:
      return SwapEnd::kCancelled;
    case absl::StatusCode::kAborted:
      return SwapEnd::kBaseChanged;
    default:
      return SwapEnd::kFailed;
  }
}

}  // namespace

WeightSwap::WeightSwap(Context context, WeightChange change, SwapDone done)
    : context_(context), arrival_(context.clock->Now()), change_(std::move(change)), done_(std::move(done)) {}

void WeightSwap::Start() {
  context_.executor->Post([self = shared_from_this()] { self->Prepare(); });
}

void WeightSwap::Cancel(const absl::Status& why) {
  std::shared_ptr<Model> model;
  uint64_t number = 0;
  {
    MutexLock lock(mu_);
    if (!cancelled_) cancelled_ = why;
    model = model_;
    number = ticket_number_;
  }
  // Not waiting (yet): the next step sees cancelled_.
  if (model != nullptr) model->CancelSwap(number, why);
}

std::optional<absl::Status> WeightSwap::cancelled() const {
  MutexLock lock(mu_);
  return cancelled_;
}

// `model` may be null: it does not exist yet.
absl::Status WeightSwap::CheckBase(const Model* model) const {
  if (!change_.base_version) return absl::OkStatus();
  if (model == nullptr) {
    if (*change_.base_version == Version()) return absl::OkStatus();
    return context_.models->Find(change_.model).status();
  }
  const WeightVersion::Ptr current = model->current();
  if (current->number() == *change_.base_version) return absl::OkStatus();
  ErrorDetails details;
  details.reason = "BASE_CHANGED";
  details.metadata = {{"model", change_.model}, {"current_version", absl::StrCat(current->number().value())}};
  return MakeError(
      absl::StatusCode::kAborted,
      absl::StrCat("base_version=", change_.base_version->value(), ": model \"", change_.model, "\" is at version ",
                   current->number().value(), " (", current->label(), "); rebuild the update on that"),
      details);
}

void WeightSwap::Prepare() {
  if (const auto why = cancelled()) return Finish(EndOf(*why), *why);
  const auto existing = context_.models->Find(change_.model);
  if (absl::Status status = CheckBase(existing.ok() ? existing->get() : nullptr); !status.ok()) {
    return Finish(EndOf(status), status);
  }
  const WeightVersion::Ptr base = existing.ok() ? (*existing)->current() : WeightVersion::Empty();
  uploaded_.reserve(change_.tensors.size());
  for (HostTensor& tensor : change_.tensors) {
    const NamedTensor* predecessor = base->Find(tensor.name);
    std::string name = tensor.name;
    const int64_t bytes = tensor.type.bytes().value();
    auto resident = context_.device->Upload(
        std::move(tensor), predecessor == nullptr ? nullptr : predecessor->tensor.get(), *context_.budget);
    if (!resident.ok()) return Finish(SwapEnd::kFailed, resident.status());
    uploaded_.emplace_back(std::move(name), *std::move(resident));
    staged_ += bytes;
    context_.staged_bytes->fetch_add(bytes, std::memory_order_relaxed);
    context_.observer->OnStaged(bytes);
  }
  change_.tensors.clear();
  if (const auto why = cancelled()) return Finish(EndOf(*why), *why);

  // Only now, so that a swap that fails leaves no empty model behind: a new model's window is open, so the flip
  // follows.
  auto model = context_.models->FindOrCreate(change_.model);
  if (!model.ok()) return Finish(SwapEnd::kFailed, model.status());
  ticket_ = (*model)->NewTicket();
  ticket_.arrival = arrival_;
  {
    MutexLock lock(mu_);
    model_ = *model;
    ticket_number_ = ticket_.number;
  }
  Build();
}

void WeightSwap::Build() {
  std::shared_ptr<Model> model;
  {
    MutexLock lock(mu_);
    model = model_;
  }
  if (absl::Status status = CheckBase(model.get()); !status.ok()) return Finish(EndOf(status), status);
  WeightVersion::Ptr next = model->current()->With(change_.label, uploaded_);
  const auto limit = static_cast<size_t>(context_.limits->max_tensors);
  if (next->tensors().size() > limit) {
    return Finish(SwapEnd::kFailed, MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_TENSORS",
                                              absl::StrCat("tensors: model \"", change_.model, "\" would have ",
                                                           next->tensors().size(), " tensors; the limit is ", limit)));
  }
  model->Swap(ticket_, std::move(next), change_.options,
              [self = shared_from_this()](const SwapOutcome& outcome) { self->OnOutcome(outcome); });
  // A cancellation that came before the swap entered the line found nothing to end.
  if (const auto why = cancelled()) model->CancelSwap(ticket_.number, *why);
}

void WeightSwap::OnOutcome(const SwapOutcome& outcome) {
  switch (outcome.kind) {
    case SwapOutcome::Kind::kBaseMoved:
      context_.executor->Post([self = shared_from_this(), ticket = outcome.ticket] {
        self->ticket_ = ticket;
        if (const auto why = self->cancelled()) return self->Finish(EndOf(*why), *why);
        self->Build();
      });
      return;
    case SwapOutcome::Kind::kFlipped:
      return Finish(SwapEnd::kCommitted,
                    SwapResult{change_.model, outcome.previous, outcome.version, outcome.waited, outcome.ticket.held});
    case SwapOutcome::Kind::kFailed:
      return Finish(EndOf(outcome.status), outcome.status);
  }
}

void WeightSwap::Finish(SwapEnd end, absl::StatusOr<SwapResult> result) {
  // A client can make up names of models without end; observers hear only of those that exist.
  const bool exists = context_.models->Find(change_.model).ok();
  context_.observer->OnSwapEnd(exists ? absl::string_view(change_.model) : "(none)", end,
                               context_.clock->Now() - arrival_);
  // Before the client hears: what did not become a version is free again, what did is no longer staged.
  uploaded_.clear();
  {
    // Whoever still holds this object must not thereby hold a model.
    MutexLock lock(mu_);
    model_ = nullptr;
  }
  context_.staged_bytes->fetch_sub(std::exchange(staged_, 0), std::memory_order_relaxed);
  const SwapDone done = std::move(done_);
  done(std::move(result));
}

}  // namespace bwrt::runtime
