#include "runtime/weight_swap.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"

namespace bwrt::runtime {

namespace {

// Between two looks at whether a version that is being copied in is whole.
constexpr Duration kLoadingPoll = std::chrono::milliseconds(10);

}  // namespace

SwapEnd SwapEndOf(const absl::Status& status) {
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

absl::Status CheckBase(Version base, const std::string& name, const Model* model) {
  if (model == nullptr) {
    if (base == Version()) return absl::OkStatus();
    ErrorDetails details;
    details.reason = "MODEL_NOT_FOUND";
    details.metadata = {{"model", name}};
    return MakeError(
        absl::StatusCode::kNotFound,
        absl::StrCat("base_version=", base.value(), ": there is no model \"", name, "\"; base 0, or none, creates it"),
        details);
  }
  const WeightVersion::Ptr current = model->current();
  if (current->number() == base) return absl::OkStatus();
  ErrorDetails details;
  details.reason = "BASE_CHANGED";
  details.metadata = {{"model", name}, {"current_version", absl::StrCat(current->number().value())}};
  return MakeError(absl::StatusCode::kAborted,
                   absl::StrCat("base_version=", base.value(), ": model \"", name, "\" is at version ",
                                current->number().value(), " (", current->label(), "); rebuild the update on that"),
                   details);
}

WeightSwap::WeightSwap(Context context, std::string model, std::optional<Version> base, SwapOptions options,
                       GatherTensors gather, SwapDone done)
    : context_(context),
      name_(std::move(model)),
      base_(base),
      options_(options),
      arrival_(context.clock->Now()),
      gather_(std::move(gather)),
      done_(std::move(done)),
      staged_(context.staged_bytes) {}

void WeightSwap::Start() {
  context_.executor->Post([self = shared_from_this()] { self->Prepare(); });
}

void WeightSwap::Cancel(const absl::Status& why) {
  bool in_line = false;
  uint64_t number = 0;
  {
    MutexLock lock(mu_);
    if (!cancelled_) cancelled_ = why;
    in_line = model_ != nullptr;
    number = ticket_number_;
  }
  // Not waiting (yet): the next step sees cancelled_.
  if (in_line) context_.line->Cancel(number, why);
}

std::optional<absl::Status> WeightSwap::cancelled() const {
  MutexLock lock(mu_);
  return cancelled_;
}

absl::Status WeightSwap::CheckBaseOf(const Model* model) const {
  return base_ ? CheckBase(*base_, name_, model) : absl::OkStatus();
}

void WeightSwap::Prepare() {
  if (auto why = cancelled()) return Finish(*std::move(why));
  const auto existing = context_.models->Find(name_);
  const Model* const model = existing.ok() ? existing->get() : nullptr;
  if (absl::Status status = CheckBaseOf(model); !status.ok()) return Finish(std::move(status));
  const WeightVersion::Ptr base = model != nullptr ? model->current() : WeightVersion::Empty();
  hold_ = context_.builder->HoldCollection();
  auto change = std::exchange(gather_, nullptr)(*base, model);
  if (!change.ok()) return Finish(change.status());
  change_ = *std::move(change);
  for (const NamedTensor& tensor : change_.put) {
    if (tensor.version == Version()) staged_.Add(tensor.tensor->type().bytes().value());
  }
  if (auto why = cancelled()) return Finish(*std::move(why));

  // Only now, so that a swap that fails leaves no empty model behind: a new model's window is open, so the flip
  // follows.
  auto created = context_.models->FindOrCreate(name_);
  if (!created.ok()) return Finish(created.status());
  ticket_ = context_.line->NewTicket();
  ticket_.arrival = arrival_;
  {
    MutexLock lock(mu_);
    model_ = *std::move(created);
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
  if (absl::Status status = CheckBaseOf(model.get()); !status.ok()) return Finish(std::move(status));
  if (auto why = cancelled()) return Finish(*std::move(why));
  auto on = model->Base();
  if (!on.ok()) return AwaitLoading(on.status());
  const auto& [base, number] = *on;
  VersionChange change = change_;
  change.number = number;
  auto built = context_.builder->Build(name_, *base, std::move(change));
  if (!built.ok()) return Finish(built.status());
  SwapRequest request;
  request.ticket = ticket_;
  request.options = options_;
  if (built->manifest) {
    request.decision =
        SwapDecision{context_.builder->state()->NextDecisionId(), {{name_, number, *built->manifest, {}}}};
  }
  request.parts.push_back({model, std::move(built->version), built->manifest});
  request.done = [self = shared_from_this()](const SwapOutcome& outcome) { self->OnOutcome(outcome); };
  context_.line->Swap(std::move(request));
  // A cancellation that came before the swap entered the line found nothing to end.
  if (const auto why = cancelled()) context_.line->Cancel(ticket_.number, *why);
}

void WeightSwap::AwaitLoading(const absl::Status& why) {
  const bool waits = options_.policy == SwapPolicy::kWaitForWindow;
  const Time now = context_.clock->Now();
  if (!waits || now >= arrival_ + options_.wait_timeout) return Finish(why);
  context_.clock->SetAlarm(now + kLoadingPoll,
                           [self = shared_from_this()] { self->context_.executor->Post([self] { self->Build(); }); });
}

void WeightSwap::OnOutcome(const SwapOutcome& outcome) {
  switch (outcome.kind) {
    case SwapOutcome::Kind::kBaseMoved:
      context_.executor->Post([self = shared_from_this(), ticket = outcome.ticket] {
        self->ticket_ = ticket;
        if (auto why = self->cancelled()) return self->Finish(*std::move(why));
        self->Build();
      });
      return;
    case SwapOutcome::Kind::kFlipped:
      return Finish(SwapResult{name_, outcome.flips[0].previous, outcome.flips[0].version, change_.restored_from,
                               outcome.waited, outcome.ticket.held});
    case SwapOutcome::Kind::kFailed:
      return Finish(outcome.status);
  }
}

void WeightSwap::Finish(absl::StatusOr<SwapResult> result) {
  const SwapEnd end = result.ok() ? SwapEnd::kCommitted : SwapEndOf(result.status());
  // A client can make up names of models without end; observers hear only of those that exist.
  const bool exists = context_.models->Find(name_).ok();
  context_.observer->OnSwapEnd(exists ? absl::string_view(name_) : "(none)", end, context_.clock->Now() - arrival_);
  // Before the client hears: what did not become a version is free again, what did is no longer staged.
  gather_ = nullptr;
  change_.put.clear();
  hold_ = nullptr;
  {
    // Whoever still holds this object must not thereby hold a model.
    MutexLock lock(mu_);
    model_ = nullptr;
  }
  staged_.Set(0);
  const SwapDone done = std::move(done_);
  done(std::move(result));
}

}  // namespace bwrt::runtime
