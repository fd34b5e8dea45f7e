#include "runtime/update_table.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/error.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

// Ids are handles, not secrets; they only must not collide.
std::string NewId() {
  std::random_device random;
  return absl::StrFormat("u-%08x%08x%08x", random(), random(), random());
}

}  // namespace

UpdateTable::~UpdateTable() {
  std::map<const Update*, Clock::AlarmId> alarms;
  {
    MutexLock lock(mu_);
    closing_ = true;
    alarms.swap(alarms_);
  }
  for (const auto& [update, alarm] : alarms) context_.clock->CancelAlarm(alarm);
  context_.clock->Quiesce();
  executor_->Flush();
}

absl::StatusOr<std::shared_ptr<Update>> UpdateTable::Begin(UpdatePlan plan, Version base,
                                                           const WeightVersion::Ptr& near) {
  if (plan.id.empty()) plan.id = NewId();
  const auto check = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) -> absl::Status {
    if (const auto at = updates_.find(plan.id); at != updates_.end()) {
      return MakeError(absl::StatusCode::kAlreadyExists, "UPDATE_EXISTS",
                       absl::StrCat("update_id=", Quoted(plan.id), ": there is an update with this id, ",
                                    Name(at->second->state()), "; use a fresh id"));
    }
    const auto live = std::count_if(order_.begin(), order_.end(), [](const auto& u) { return IsLive(u->state()); });
    if (live >= context_.limits->max_updates) {
      ErrorDetails details;
      details.reason = "TOO_MANY_UPDATES";
      details.retry_after = std::chrono::seconds(1);
      return MakeError(absl::StatusCode::kResourceExhausted,
                       absl::StrCat(live, " updates are under way, the limit is ", context_.limits->max_updates,
                                    "; commit or abort some"),
                       details);
    }
    return absl::OkStatus();
  };
  {
    MutexLock lock(mu_);
    if (absl::Status status = check(); !status.ok()) return status;
  }
  // Outside the lock: making room can take a while.
  const std::string id = plan.id;
  auto update = Update::Create(context_, plan, base, near);
  if (!update.ok()) return update.status();
  {
    MutexLock lock(mu_);
    if (absl::Status status = check(); !status.ok()) return status;
    Add(*update);
  }
  Watch(*update);
  return update;
}

void UpdateTable::Adopt(std::shared_ptr<Update> update) {
  {
    MutexLock lock(mu_);
    Add(update);
  }
  Watch(update);
}

void UpdateTable::Add(std::shared_ptr<Update> update) {
  order_.push_back(update);
  updates_[update->id()] = std::move(update);
  TrimLocked();
}

void UpdateTable::TrimLocked() {
  auto ended = static_cast<size_t>(
      std::count_if(order_.begin(), order_.end(), [](const auto& u) { return !IsLive(u->state()); }));
  for (auto at = order_.begin(); at != order_.end() && ended > kEndedKept;) {
    if (IsLive((*at)->state())) {
      ++at;
      continue;
    }
    if (const auto alarm = alarms_.find(at->get()); alarm != alarms_.end()) {
      context_.clock->CancelAlarm(alarm->second);
      alarms_.erase(alarm);
    }
    updates_.erase((*at)->id());
    at = order_.erase(at);
    --ended;
  }
}

absl::StatusOr<std::shared_ptr<Update>> UpdateTable::Find(const std::string& id) const {
  MutexLock lock(mu_);
  const auto at = updates_.find(id);
  if (at == updates_.end()) {
    return MakeError(absl::StatusCode::kNotFound, "UPDATE_NOT_FOUND",
                     absl::StrCat("update_id=", Quoted(id),
                                  ": no such update; it never was, or ended long ago, or was not prepared before a "
                                  "restart"));
  }
  at->second->Touch();
  return at->second;
}

std::vector<std::shared_ptr<Update>> UpdateTable::All() const {
  MutexLock lock(mu_);
  return {order_.rbegin(), order_.rend()};
}

absl::Status UpdateTable::End(Update& update, UpdateState state) {
  Reach(context_.failpoints, "abort.begin");
  if (!update.End(state)) return update.StateError();
  absl::Status dropped;
  if (context_.builder->durable()) {
    // Only now nothing can prepare or commit it any more. Who asked for it is told when no restart brings it back.
    dropped = context_.builder->state()->Drop(update.id());
    context_.builder->state()->Collect();
  }
  on_end_(update.model());
  return dropped;
}

absl::Status UpdateTable::Abort(Update& update) {
  switch (update.state()) {
    case UpdateState::kCommitting:
    case UpdateState::kCommitted:
      return update.StateError();
    case UpdateState::kAborted:
    case UpdateState::kExpired:
    case UpdateState::kBaseChanged:
      return absl::OkStatus();
    default:
      return End(update, UpdateState::kAborted);
  }
}

void UpdateTable::EndLater(std::shared_ptr<Update> update, UpdateState state) {
  executor_->Post([this, update = std::move(update), state] { End(*update, state).IgnoreError(); });
}

void UpdateTable::BaseMoved(const std::string& model, Version version) {
  for (const auto& update : All()) {
    if (update->model() != model || update->base() == version || !IsLive(update->state())) continue;
    EndLater(update, UpdateState::kBaseChanged);
  }
}

void UpdateTable::AbortAllOf(const std::string& model) {
  for (const auto& update : All()) {
    if (update->model() == model && IsLive(update->state())) EndLater(update, UpdateState::kAborted);
  }
}

void UpdateTable::Watch(const std::shared_ptr<Update>& update) {
  const std::optional<Time> deadline = update->deadline();
  // One that is busy now, or does not expire, may do so later.
  const Time when = deadline.value_or(context_.clock->Now() + std::chrono::seconds(10));
  MutexLock lock(mu_);
  if (closing_) return;
  alarms_[update.get()] =
      context_.clock->SetAlarm(when, [this, weak = std::weak_ptr<Update>(update)] { OnAlarm(weak); });
}

void UpdateTable::OnAlarm(const std::weak_ptr<Update>& weak) {
  const std::shared_ptr<Update> update = weak.lock();
  if (update == nullptr) return;
  {
    MutexLock lock(mu_);
    alarms_.erase(update.get());
  }
  if (!IsLive(update->state())) return;
  const std::optional<Time> deadline = update->deadline();
  if (deadline && *deadline <= context_.clock->Now()) {
    EndLater(update, UpdateState::kExpired);
  } else {
    Watch(update);
  }
}

}  // namespace bwrt::runtime
