#include "runtime/update.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/npy.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

constexpr size_t kMissingRanges = 64;

std::string ShardName(absl::string_view tensor, uint32_t rank) { return absl::StrCat(Quoted(tensor), " shard ", rank); }

absl::Status UnknownTensor(absl::string_view tensor, const char* why) {
  return MakeError(absl::StatusCode::kInvalidArgument, "UNKNOWN_TENSOR",
                   absl::StrCat("tensor=", Quoted(tensor), ": ", why));
}

absl::Status NoSuchTensor(absl::string_view tensor) {
  return MakeError(absl::StatusCode::kNotFound, "TENSOR_NOT_FOUND",
                   absl::StrCat("tensor=", Quoted(tensor), ": the update has no such tensor"));
}

absl::Status CancelledError() {
  return MakeError(absl::StatusCode::kCancelled, "CANCELLED", "the client went away; the update stays open");
}

// "f32 [4,5]"
std::string Describe(const TensorType& type) {
  std::string text = absl::StrCat(type.dtype.name(), " [");
  for (size_t d = 0; d < type.shape.size(); ++d) absl::StrAppend(&text, d == 0 ? "" : ",", type.shape[d]);
  return text + "]";
}

bool HasNpy(const TensorPlan& plan) {
  return std::any_of(plan.shards.begin(), plan.shards.end(), [](const ShardPlan& shard) { return shard.npy; });
}

// What the .npy shards of a tensor hold, joined along dimension 0. Fields of violations begin with `path`.
std::optional<TensorType> JoinNpy(absl::string_view path, const TensorPlan& plan, const Limits& limits,
                                  std::vector<WeightBuffer>& shards, Violations& bad) {
  std::optional<TensorType> joined;
  const auto expected = plan.type ? std::optional(plan.type->dtype) : std::nullopt;
  for (size_t rank = 0; rank < shards.size(); ++rank) {
    const std::string field = absl::StrCat(path, ".shards[", rank, "]");
    const auto header = ParseNpyHeader(shards[rank].view(), expected, limits);
    if (!header.ok()) {
      bad.Add(field, "NPY_HEADER", absl::StrCat(shards[rank].size(), " bytes"), header.status().message());
      return std::nullopt;
    }
    shards[rank].SkipPrefix(static_cast<size_t>(header->data_offset));
    if (static_cast<int64_t>(shards[rank].size()) != header->type.bytes().value()) {
      bad.Add(field, "TENSOR_SIZE", absl::StrCat(shards[rank].size(), " bytes"), "after its header, which says ",
              Describe(header->type), " and so needs ", header->type.bytes().value());
      return std::nullopt;
    }
    if (!joined) {
      joined = header->type;
      continue;
    }
    const auto& a = joined->shape;
    const auto& b = header->type.shape;
    if (joined->dtype != header->type.dtype || a.size() != b.size() ||
        !std::equal(a.begin() + 1, a.end(), b.begin() + 1)) {
      bad.Add(field, "TENSOR_SHAPE", Describe(header->type), "does not continue shard 0, which is of ",
              Describe(*joined));
      return std::nullopt;
    }
    joined->shape[0] += b[0];
  }
  return joined;
}

}  // namespace

bool IsLive(UpdateState state) {
  return state == UpdateState::kOpen || state == UpdateState::kPreparing || state == UpdateState::kPrepared ||
         state == UpdateState::kCommitting;
}

absl::string_view Name(UpdateState state) {
  switch (state) {
    case UpdateState::kOpen:
      return "OPEN";
    case UpdateState::kPreparing:
      return "PREPARING";
    case UpdateState::kPrepared:
      return "PREPARED";
    case UpdateState::kCommitting:
      return "COMMITTING";
    case UpdateState::kCommitted:
      return "COMMITTED";
    case UpdateState::kAborted:
      return "ABORTED";
    case UpdateState::kExpired:
      return "EXPIRED";
    case UpdateState::kBaseChanged:
      return "BASE_CHANGED";
  }
  return "UNKNOWN";
}

Update::Update(const Context& context, UpdatePlan plan, Version base, const WeightVersion::Ptr& near)
    : context_(context),
      plan_(std::move(plan)),
      base_(base),
      near_(near),
      staged_(context.staged_bytes),
      touched_(context.clock->Now()) {}

absl::StatusOr<std::shared_ptr<Update>> Update::Create(const Context& context, UpdatePlan plan, Version base,
                                                       const WeightVersion::Ptr& near) {
  std::vector<TensorPlan> tensors = std::move(plan.tensors);
  plan.tensors.clear();
  const std::shared_ptr<Update> update(new Update(context, std::move(plan), base, near));
  MutexLock lock(update->mu_);
  for (TensorPlan& tensor : tensors) {
    auto reserved = update->Reserve(std::move(tensor), update->bytes_);
    if (!reserved.ok()) return reserved.status();
    update->bytes_ += reserved->plan.bytes();
    update->shard_count_ += static_cast<int64_t>(reserved->shards.size());
    std::string name = reserved->plan.name;
    update->tensors_.emplace(std::move(name), *std::move(reserved));
  }
  update->tensor_count_ = static_cast<int64_t>(update->tensors_.size());
  update->CountStagedLocked();
  update->hold_ = context.builder->HoldCollection();
  return update;
}

std::shared_ptr<Update> Update::Restored(const Context& context, const StoredUpdate& stored, std::string label,
                                         PreparedVersion prepared) {
  UpdatePlan plan;
  plan.id = stored.id;
  plan.model = stored.model;
  plan.label = std::move(label);
  plan.in_place = stored.in_place;
  plan.prepared_ttl = stored.prepared_ttl;
  std::shared_ptr<Update> update(new Update(context, std::move(plan), stored.base, nullptr));
  MutexLock lock(update->mu_);
  update->state_ = UpdateState::kPrepared;
  for (const auto& tensor : prepared.next->tensors()) {
    if (tensor->version != prepared.next->number()) continue;
    ++update->tensor_count_;
    update->bytes_ += tensor->tensor->type().bytes().value();
  }
  update->prepared_ = std::move(prepared);
  update->CountStagedLocked();
  return update;
}

std::shared_ptr<Update> Update::RestoredCommitted(const Context& context, const StoredOutcome& outcome) {
  UpdatePlan plan;
  plan.id = outcome.update_id;
  plan.model = outcome.model;
  std::shared_ptr<Update> update(new Update(context, std::move(plan), outcome.previous, nullptr));
  update->FinishCommit(outcome.decision, outcome.previous, outcome.version);
  return update;
}

// In place, what is staged takes no memory; only what it will grow by.
void Update::CountStagedLocked() {
  const int64_t growth = prepared_ && prepared_->growth != nullptr ? prepared_->growth->bytes().value() : 0;
  staged_.Set(plan_.in_place ? growth : bytes_);
}

absl::StatusOr<Update::Tensor> Update::Reserve(TensorPlan plan, int64_t held) const {
  Tensor tensor;
  // What is staged in place takes no memory yet, but has to fit when it is copied in.
  if (plan_.in_place && plan.bytes() > context_.budget->limit().value() - held) {
    return MakeError(absl::StatusCode::kResourceExhausted, "WEIGHT_MEMORY",
                     absl::StrCat("weights: ", held, " and ", plan.bytes(), " bytes more can never fit into the ",
                                  context_.budget->limit().value(), " of --weight-memory-limit"));
  }
  // In place, what is staged lies in the state directory.
  const auto reserve = [&](int64_t bytes) -> absl::StatusOr<WeightBudget::Reservation> {
    if (plan_.in_place) return WeightBudget::Reservation();
    return context_.budget->Reserve(Bytes(bytes), WeightBudget::Kind::kContent);
  };
  if (plan.shards.size() > 1 && !HasNpy(plan)) {
    auto room = reserve(plan.bytes());
    if (!room.ok()) return room.status();
    tensor.joined = std::make_shared<JoinedStage>(static_cast<size_t>(plan.bytes()), *std::move(room));
  }
  for (const ShardPlan& shard : plan.shards) {
    WeightBudget::Reservation reserved;
    if (tensor.joined == nullptr) {
      auto room = reserve(shard.bytes);
      if (!room.ok()) return room.status();
      reserved = *std::move(room);
    }
    tensor.shards.push_back(std::make_shared<ShardStage>(shard.bytes, shard.digest, std::move(reserved)));
  }
  WeightBudget::Reservation room;
  if (absl::Status status = ReserveRoom(plan, room); !status.ok()) return status;
  if (room.bytes() > Bytes(0)) tensor.room = std::make_shared<WeightBudget::Reservation>(std::move(room));
  tensor.plan = std::move(plan);
  return tensor;
}

absl::Status Update::ReserveRoom(const TensorPlan& plan, WeightBudget::Reservation& room) const {
  // In place, what is made in memory is made after the flip.
  if (plan_.in_place || !plan.type) return absl::OkStatus();
  const WeightVersion::Ptr near = near_.lock();
  // Files have headers, so that their content has to be copied together.
  const bool joins = plan.shards.size() > 1 && HasNpy(plan);
  return context_.builder->ReserveRoom(plan.name, *plan.type, near.get(), joins, room);
}

void Update::RestoreRoom(const Tensors& tensors) const {
  for (const auto& [name, tensor] : tensors) {
    // Should there be none just now, Prepare does with what there is then.
    if (tensor.room != nullptr) ReserveRoom(tensor.plan, *tensor.room).IgnoreError();
  }
}

// ---------------------------------------------------------------------------------------------- staging

absl::Status Update::StateErrorLocked() const {
  ErrorDetails details;
  details.metadata = {{"update_id", plan_.id}, {"state", std::string(Name(state_))}};
  if (state_ == UpdateState::kBaseChanged) {
    details.reason = "BASE_CHANGED";
    return MakeError(absl::StatusCode::kAborted,
                     absl::StrCat("update ", plan_.id, ": another swap of model \"", plan_.model,
                                  "\" came first; what was staged on version ", base_.value(),
                                  " was freed; begin anew on the version that is current"),
                     details);
  }
  details.reason = "UPDATE_STATE";
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   absl::StrCat("update ", plan_.id, " is ", Name(state_), ": it does not take this now"), details);
}

absl::Status Update::StateError() const {
  MutexLock lock(mu_);
  return StateErrorLocked();
}

absl::Status Update::Declare(TensorPlan plan) {
  const std::string name = plan.name;
  int64_t held = 0;
  {
    MutexLock lock(mu_);
    if (state_ != UpdateState::kOpen) return StateErrorLocked();
    touched_ = context_.clock->Now();
    const auto known = tensors_.find(name);
    if (known == tensors_.end() && !plan_.open_manifest) {
      return UnknownTensor(name, "BeginUpdate did not list it, and its manifest is not open");
    }
    if (known != tensors_.end()) {
      if (known->second.plan == plan) return absl::OkStatus();
      for (const auto& shard : known->second.shards) {
        if (shard->received() == 0) continue;
        return MakeError(absl::StatusCode::kFailedPrecondition, "TENSOR_STAGED",
                         absl::StrCat("tensor=", Quoted(name),
                                      ": bytes of it have been staged as it was declared "
                                      "before; abort the update to begin again"));
      }
      // Its room is free for what replaces it.
      bytes_ -= known->second.plan.bytes();
      shard_count_ -= static_cast<int64_t>(known->second.shards.size());
      CountStagedLocked();
      tensors_.erase(known);
      --tensor_count_;
    }
    // Each takes some memory of its own, whatever its size.
    if (shard_count_ + static_cast<int64_t>(plan.shards.size()) > context_.limits->max_tensors) {
      return MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_TENSORS",
                       absl::StrCat("an update has at most ", context_.limits->max_tensors, " tensors and shards"));
    }
    held = bytes_;
  }
  // Outside the lock: it may have to make room.
  auto tensor = Reserve(std::move(plan), held);
  if (!tensor.ok()) return tensor.status();
  const int64_t bytes = tensor->plan.bytes();
  const auto shards = static_cast<int64_t>(tensor->shards.size());
  MutexLock lock(mu_);
  if (state_ != UpdateState::kOpen) return StateErrorLocked();
  if (!tensors_.emplace(name, *std::move(tensor)).second) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "TENSOR_STAGED",
                     absl::StrCat("tensor=", Quoted(name), ": declared by two streams at once"));
  }
  ++tensor_count_;
  shard_count_ += shards;
  bytes_ += bytes;
  CountStagedLocked();
  return absl::OkStatus();
}

absl::Status Update::Write(const std::string& tensor, uint32_t rank, int64_t offset, const absl::Cord& data) {
  std::shared_ptr<ShardStage> shard;
  std::shared_ptr<JoinedStage> joined;
  size_t in_tensor = 0;  // Where the shard begins.
  {
    MutexLock lock(mu_);
    if (state_ != UpdateState::kOpen) return StateErrorLocked();
    touched_ = context_.clock->Now();
    const auto at = tensors_.find(tensor);
    if (at == tensors_.end())
      return UnknownTensor(tensor, "it has not been declared; see BeginUpdate and DeclareTensor");
    if (rank >= at->second.shards.size()) {
      return MakeError(
          absl::StatusCode::kInvalidArgument, "UNKNOWN_SHARD",
          absl::StrCat("rank=", rank, ": tensor ", Quoted(tensor), " has ", at->second.shards.size(), " shards"));
    }
    shard = at->second.shards[rank];
    joined = at->second.joined;
    for (uint32_t before = 0; before < rank; ++before) {
      in_tensor += static_cast<size_t>(at->second.plan.shards[before].bytes);
    }
    ++writers_;
  }
  const auto done = absl::MakeCleanup([this] {
    MutexLock lock(mu_);
    if (--writers_ == 0) quiet_.NotifyAll();
  });
  Reach(context_.failpoints, "stage.chunk");
  const std::function<absl::StatusOr<WeightBuffer>(size_t)> allocate = [this](size_t bytes) {
    return context_.builder->AllocateStage(bytes, plan_.in_place);
  };
  if (joined == nullptr) return shard->Write(ShardName(tensor, rank), offset, data, allocate);
  return shard->Write(ShardName(tensor, rank), offset, data,
                      [&](size_t bytes) { return joined->Part(in_tensor, bytes, allocate); });
}

// ---------------------------------------------------------------------------------------------- preparing

absl::StatusOr<PrepareReport> Update::Prepare(const WeightVersion& base, Version number,
                                              const std::function<bool()>& cancelled) {
  Tensors tensors;
  {
    MutexLock lock(mu_);
    touched_ = context_.clock->Now();
    if (state_ == UpdateState::kPrepared) return PrepareReport();
    if (state_ != UpdateState::kOpen) return StateErrorLocked();
    state_ = UpdateState::kPreparing;
    // Chunks under way are copied, which is soon done; new ones are refused.
    while (writers_ > 0) quiet_.Wait(mu_);
    tensors = tensors_;
  }
  Reach(context_.failpoints, "precommit.begin");
  PrepareReport report;
  auto prepared = Build(tensors, base, number, cancelled, &report);
  absl::Status recorded;
  if (prepared.ok() && context_.builder->durable()) {
    {
      MutexLock lock(mu_);
      if (state_ != UpdateState::kPreparing) return StateErrorLocked();  // Aborted meanwhile.
      recording_ = true;
    }
    recorded = context_.builder->state()->Prepare(
        {plan_.id, plan_.model, base_, *prepared->manifest, plan_.in_place, plan_.prepared_ttl});
    Reach(context_.failpoints, "precommit.recorded");
  }
  if (prepared.ok() && !recorded.ok()) prepared = recorded;
  if (!prepared.ok()) RestoreRoom(tensors);
  StateStore::Hold hold;
  MutexLock lock(mu_);
  touched_ = context_.clock->Now();
  recording_ = false;
  quiet_.NotifyAll();
  if (state_ != UpdateState::kPreparing) return StateErrorLocked();
  if (!prepared.ok()) {
    state_ = UpdateState::kOpen;
    return prepared.status();
  }
  state_ = UpdateState::kPrepared;
  prepared_ = *std::move(prepared);
  CountStagedLocked();
  tensors_.swap(tensors);
  tensors_.clear();
  hold.swap(hold_);
  return report;
}

absl::StatusOr<std::vector<HostTensor>> Update::Verify(const Tensors& tensors,
                                                       const std::function<bool()>& cancelled) const {
  Violations bad;
  if (tensors.empty() && plan_.removed.empty()) bad.Add("tensors", "MISSING", "(none)", "nothing was staged");
  std::vector<HostTensor> host;
  host.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) {
    if (cancelled()) return CancelledError();
    const std::string path = absl::StrCat("tensors[", Quoted(name), "]");
    std::vector<WeightBuffer> shards;
    bool whole = true;
    for (size_t rank = 0; rank < tensor.shards.size(); ++rank) {
      const auto fault = tensor.shards[rank]->Check();
      if (fault) {
        bad.Add(absl::StrCat(path, ".shards[", rank, "]"), fault->reason,
                absl::StrCat(tensor.shards[rank]->received(), " bytes"), fault->why);
      }
      whole = whole && !fault;
      shards.push_back(tensor.shards[rank]->content());
    }
    if (!whole) continue;
    std::optional<TensorType> type = tensor.plan.type;
    if (HasNpy(tensor.plan)) {
      type = JoinNpy(path, tensor.plan, *context_.limits, shards, bad);
      if (!type) continue;
      if (tensor.plan.type && *tensor.plan.type != *type) {
        bad.Add(path, "TENSOR_SHAPE", Describe(*type), "the manifest says ", Describe(*tensor.plan.type));
        continue;
      }
    }
    WeightBuffer data = shards[0];
    if (tensor.joined != nullptr) {
      data = tensor.joined->whole();
    } else if (shards.size() > 1) {
      WeightBudget::Reservation none;
      auto joined = context_.builder->Join(shards, plan_.in_place, tensor.room != nullptr ? *tensor.room : none);
      if (!joined.ok()) return joined.status();
      data = *std::move(joined);
    }
    host.push_back({name, *std::move(type), std::move(data)});
  }
  if (bad.empty()) return host;
  const absl::Status all = bad.Take("update");
  ErrorDetails details = *GetDetails(all);
  details.reason = "UPDATE_INCOMPLETE";
  return MakeError(absl::StatusCode::kFailedPrecondition, all.message(), details);
}

absl::StatusOr<std::vector<WeightBudget::Reservation>> Update::TakeRoom(const Tensors& tensors,
                                                                        const std::vector<HostTensor>& host,
                                                                        const WeightVersion& base) const {
  std::vector<WeightBudget::Reservation> room(host.size());
  for (size_t i = 0; i < host.size(); ++i) {
    const Tensor& tensor = tensors.at(host[i].name);
    if (tensor.room != nullptr) {
      room[i] = std::exchange(*tensor.room, WeightBudget::Reservation());
    } else if (!tensor.plan.type) {
      const absl::Status status =
          context_.builder->ReserveRoom(host[i].name, host[i].type, &base, /*joins=*/false, room[i]);
      if (!status.ok()) return status;
    }
  }
  return room;
}

absl::StatusOr<WeightBudget::Reservation> Update::ReserveGrowth(const std::vector<HostTensor>& host,
                                                                const WeightVersion& base) const {
  VersionChange change;
  change.removed = plan_.removed;
  std::vector<StoredTensor> absent;
  for (const HostTensor& t : host) {
    change.put.push_back({t.name, Version(), std::make_shared<AbsentTensor>(t.type), std::nullopt});
    absent.push_back({t.name, t.type, Version(), {}, {}});
  }
  const Bytes growth = VersionBuilder::Growth(absent, *base.With(std::move(change)));
  return context_.builder->ReserveGrowth(plan_.model, growth);
}

absl::StatusOr<PreparedVersion> Update::Build(const Tensors& tensors, const WeightVersion& base, Version number,
                                              const std::function<bool()>& cancelled, PrepareReport* report) const {
  const VersionBuilder& builder = *context_.builder;
  const Time begin = context_.clock->Now();
  auto host = Verify(tensors, cancelled);
  if (!host.ok()) return host.status();
  // Before anything is written.
  PreparedVersion prepared;
  std::vector<WeightBudget::Reservation> room;
  if (plan_.in_place) {
    auto growth = ReserveGrowth(*host, base);
    if (!growth.ok()) return growth.status();
    prepared.growth = std::make_shared<WeightBudget::Reservation>(*std::move(growth));
  } else {
    auto taken = TakeRoom(tensors, *host, base);
    if (!taken.ok()) return taken.status();
    room = *std::move(taken);
  }
  const Time verified = context_.clock->Now();
  Reach(context_.failpoints, "precommit.verified");
  const auto stored = builder.Store(*host);
  if (!stored.ok()) return stored.status();
  const Time written = context_.clock->Now();
  Reach(context_.failpoints, "precommit.stored");
  if (cancelled()) return CancelledError();

  VersionChange change;
  change.number = number;
  change.label = plan_.label;
  change.removed = plan_.removed;
  if (plan_.in_place) {
    for (size_t i = 0; i < host->size(); ++i) {
      const HostTensor& t = (*host)[i];
      const StoredBytes& at = *(*stored)[i];
      prepared.absent.push_back({t.name, t.type, number, {at.blob, at.offset, t.type.bytes().value()}, at.digest});
      change.put.push_back({t.name, Version(), std::make_shared<AbsentTensor>(t.type), at});
    }
  } else {
    auto resident = builder.Upload(*std::move(host), *stored, base, std::move(room));
    if (!resident.ok()) return resident.status();
    change.put = *std::move(resident);
  }
  auto built = builder.Build(plan_.model, base, std::move(change));
  if (!built.ok()) return built.status();
  prepared.next = std::move(built->version);
  prepared.manifest = built->manifest;
  report->verify = verified - begin;
  report->store = builder.durable() ? written - verified : Duration(0);
  report->prepare = context_.clock->Now() - written;
  return prepared;
}

// ---------------------------------------------------------------------------------------------- the end

absl::StatusOr<PreparedVersion> Update::BeginCommit() {
  MutexLock lock(mu_);
  touched_ = context_.clock->Now();
  if (state_ != UpdateState::kPrepared) return StateErrorLocked();
  state_ = UpdateState::kCommitting;
  return *prepared_;
}

void Update::FailCommit() {
  MutexLock lock(mu_);
  touched_ = context_.clock->Now();
  if (state_ == UpdateState::kCommitting) state_ = UpdateState::kPrepared;
}

void Update::FinishCommit(uint64_t group, Version previous, Version version) {
  std::optional<PreparedVersion> released;
  MutexLock lock(mu_);
  state_ = UpdateState::kCommitted;
  version_ = version;
  previous_ = previous;
  group_ = group;
  staged_.Set(0);
  released.swap(prepared_);
}

bool Update::End(UpdateState state) {
  Tensors tensors;
  std::optional<PreparedVersion> prepared;
  StateStore::Hold hold;
  MutexLock lock(mu_);
  // Whoever ends it strikes its record, which must not come afterwards.
  while (recording_) quiet_.Wait(mu_);
  if (!IsLive(state_) || state_ == UpdateState::kCommitting) return false;
  state_ = state;
  staged_.Set(0);
  // Released after the lock: the members of this scope are destroyed in reverse order.
  tensors.swap(tensors_);
  prepared.swap(prepared_);
  hold.swap(hold_);
  return true;
}

// ---------------------------------------------------------------------------------------------- looking

UpdateState Update::state() const {
  MutexLock lock(mu_);
  return state_;
}

uint64_t Update::group() const {
  MutexLock lock(mu_);
  return group_;
}

UpdateStatus Update::GetStatus() const {
  MutexLock lock(mu_);
  UpdateStatus status;
  status.id = plan_.id;
  status.model = plan_.model;
  status.label = plan_.label;
  status.state = state_;
  status.base = base_;
  status.in_place = plan_.in_place;
  status.tensors = tensor_count_;
  status.bytes = bytes_;
  if (prepared_ || state_ == UpdateState::kCommitted) {
    status.received = bytes_;
  } else {
    for (const auto& [name, tensor] : tensors_) {
      for (const auto& shard : tensor.shards) status.received += shard->received();
    }
  }
  if (const auto at = DeadlineLocked()) {
    status.expires_in = std::max<Duration>(*at - context_.clock->Now(), Duration(0));
  }
  status.version = version_;
  status.previous = previous_;
  status.group = group_;
  return status;
}

std::vector<MissingShard> Update::Missing(size_t limit, size_t* count) const {
  std::vector<MissingShard> missing;
  *count = 0;
  MutexLock lock(mu_);
  for (const auto& [name, tensor] : tensors_) {
    for (size_t rank = 0; rank < tensor.shards.size(); ++rank) {
      const ShardStage& shard = *tensor.shards[rank];
      if (shard.received() == shard.bytes()) continue;
      if (++*count <= limit) {
        missing.push_back({name, static_cast<uint32_t>(rank), shard.bytes(), shard.Missing(kMissingRanges)});
      }
    }
  }
  return missing;
}

absl::StatusOr<Update::Slice> Update::Read(const std::string& name, std::optional<uint32_t> rank, int64_t offset,
                                           int64_t bytes) const {
  Slice slice;
  std::shared_ptr<const DeviceTensor> resident;
  std::shared_ptr<ShardStage> shard;
  {
    MutexLock lock(mu_);
    if (prepared_ && !rank) {
      const NamedTensor* tensor = prepared_->next->Find(name);
      if (tensor == nullptr) return NoSuchTensor(name);
      if (!tensor->tensor->resident()) {
        return MakeError(absl::StatusCode::kFailedPrecondition, "UPDATE_STATE",
                         absl::StrCat("tensor=", Quoted(name),
                                      ": it waits in the state directory until the update is "
                                      "committed in place; read it afterwards"));
      }
      resident = tensor->tensor;
      slice.type = resident->type();
      slice.total = slice.type.bytes().value();
    } else if (state_ != UpdateState::kOpen) {
      return StateErrorLocked();
    } else {
      const auto at = tensors_.find(name);
      if (at == tensors_.end()) return NoSuchTensor(name);
      const Tensor& tensor = at->second;
      if (!rank && (tensor.shards.size() > 1 || tensor.plan.shards[0].npy)) {
        return MakeError(absl::StatusCode::kFailedPrecondition, "UPDATE_INCOMPLETE",
                         absl::StrCat("tensor=", Quoted(name),
                                      ": its shards are joined by Precommit; until then read "
                                      "them one by one, with rank"));
      }
      if (rank.value_or(0) >= tensor.shards.size()) {
        return MakeError(
            absl::StatusCode::kNotFound, "UNKNOWN_SHARD",
            absl::StrCat("rank=", *rank, ": tensor ", Quoted(name), " has ", tensor.shards.size(), " shards"));
      }
      shard = tensor.shards[rank.value_or(0)];
      if (tensor.plan.type) slice.type = *tensor.plan.type;
      slice.total = shard->bytes();
    }
  }
  if (offset < 0 || offset > slice.total) {
    return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                     absl::StrCat("offset=", offset, ": ", Quoted(name), " has ", slice.total, " bytes"));
  }
  slice.data.resize(static_cast<size_t>(std::min(bytes, slice.total - offset)));
  const auto size = static_cast<int64_t>(slice.data.size());
  const absl::Status status = resident != nullptr
                                  ? resident->Read(offset, size, slice.data.data())
                                  : shard->Read(ShardName(name, rank.value_or(0)), offset, size, slice.data.data());
  if (!status.ok()) return status;
  return slice;
}

void Update::Touch() {
  MutexLock lock(mu_);
  touched_ = context_.clock->Now();
}

std::optional<Time> Update::deadline() const {
  MutexLock lock(mu_);
  return DeadlineLocked();
}

std::optional<Time> Update::DeadlineLocked() const {
  switch (state_) {
    case UpdateState::kOpen:
      return touched_ + plan_.ttl;
    case UpdateState::kPrepared:
      if (plan_.prepared_ttl) return touched_ + *plan_.prepared_ttl;
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

}  // namespace bwrt::runtime
