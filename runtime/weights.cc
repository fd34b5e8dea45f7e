#include "runtime/weights.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/error.h"
#include "runtime/not_serving.h"
#include "runtime/safetensors_file.h"
#include "runtime/violations.h"
#include "runtime/wave_validator.h"

namespace bwrt::runtime {
namespace {

constexpr int64_t kDefaultRead = int64_t{1} << 20;
constexpr int64_t kMaxRead = int64_t{16} << 20;
constexpr size_t kLoadPiece = size_t{4} << 20;
// Of what is given back and kept for the next update: enough for a model that is replaced whole.
constexpr int64_t kKeptShare = 2;

absl::Status TensorNotFound(const std::string& model, const std::string& tensor) {
  return MakeError(absl::StatusCode::kNotFound, "TENSOR_NOT_FOUND",
                   absl::StrCat("tensor=", Quoted(tensor), ": model \"", model, "\" has no such tensor"));
}

}  // namespace

Weights::Weights(WeightsOptions options, Context context)
    : options_(std::move(options)),
      context_(std::move(context)),
      budget_(Bytes(context_.limits->weight_bytes)),
      memory_(static_cast<size_t>(context_.limits->weight_bytes / kKeptShare), context_.failpoints),
      line_(options_.swaps, {.clock = context_.clock,
                             .executor = context_.reclaim,
                             .journal_executor = context_.journal,
                             .journal = context_.state,
                             .observer = context_.observer,
                             .failpoints = context_.failpoints,
                             .on_startable = context_.on_startable}),
      models_(context_.limits->max_models,
              [this](std::string name) {
                return std::make_shared<Model>(std::move(name), options_.keep_versions, &line_);
              }),
      builder_({.limits = context_.limits,
                .device = context_.device,
                .budget = &budget_,
                .memory = &memory_,
                .observer = context_.observer,
                .state = context_.state,
                .state_directory = options_.state_directory}),
      pacer_(options_.stage_bandwidth, context_.clock, context_.busy),
      updates_({.limits = context_.limits,
                .builder = &builder_,
                .budget = &budget_,
                .memory = &memory_,
                .clock = context_.clock,
                .failpoints = context_.failpoints,
                .staged_bytes = &staged_bytes_},
               context_.reclaim, [this](const std::string& model) { DropIfEmpty(model); }) {
  budget_.SetPressure([this] { return MakeRoom(); });
}

Weights::~Weights() {
  // Posted work may still be on its way out of code that uses our members.
  context_.clock->Quiesce();
  context_.bulk->Flush();
  context_.journal->Flush();
  context_.reclaim->Flush();
}

absl::StatusOr<std::shared_ptr<Model>> Weights::FindModel(absl::string_view name) const {
  return models_.Find(ModelName(std::string(name)));
}

// Versions kept for a rollback are a convenience; they never stand in the way of an update.
bool Weights::MakeRoom() {
  for (const auto& model : models_.All()) {
    if (model->DropKept() != nullptr) return true;
  }
  return false;
}

// ---------------------------------------------------------------------------------------------- swaps

absl::Status Weights::Admit() {
  MutexLock lock(mu_);
  if (draining_) return DrainingError();
  if (pending_ >= context_.limits->max_pending_swaps) {
    ErrorDetails details;
    details.reason = "TOO_MANY_SWAPS";
    details.retry_after = std::chrono::seconds(1);
    return MakeError(absl::StatusCode::kResourceExhausted,
                     absl::StrCat(pending_, " swaps are pending, the limit is ", context_.limits->max_pending_swaps,
                                  "; retry later"),
                     details);
  }
  ++pending_;
  return absl::OkStatus();
}

void Weights::EndOne() {
  MutexLock lock(mu_);
  if (--pending_ == 0) idle_.NotifyAll();
}

void Weights::TidyAfter(const std::vector<std::string>& models, bool flipped) {
  if (!flipped) {
    for (const std::string& model : models) DropIfEmpty(model);
  } else if (context_.state != nullptr) {
    // What was replaced is not needed any more, unless it is kept.
    context_.bulk->Post([this] { context_.state->Collect(); });
  }
}

void Weights::Claim(const std::string& model) {
  MutexLock lock(mu_);
  ++claims_[model];
}

void Weights::Disclaim(const std::string& model) {
  MutexLock lock(mu_);
  if (--claims_[model] == 0) claims_.erase(model);
}

// A model that was created for a swap or an update which came to nothing.
void Weights::DropIfEmpty(const std::string& name) {
  if (name == kDefaultModel) return;
  const std::vector<std::shared_ptr<Update>> updates = updates_.All();
  // Under the lock under which others claim it before they look it up.
  MutexLock lock(mu_);
  const auto model = models_.Find(name);
  if (!model.ok() || (*model)->version_number() != 0 || (*model)->lost() || claims_.contains(name)) return;
  const bool wanted = std::any_of(updates.begin(), updates.end(),
                                  [&](const auto& u) { return u->model() == name && IsLive(u->state()); });
  if (wanted || !line_.CloseModel(*model).ok()) return;
  if ((*model)->version_number() == 0) {
    models_.Erase(name);
  } else {
    line_.ReopenModel(*model);
  }
}

absl::StatusOr<std::shared_ptr<Cancellable>> Weights::StartSwap(const std::string& model, std::optional<Version> base,
                                                                SwapOptions options, GatherTensors gather,
                                                                SwapDone done) {
  // Here, and not only when the swap takes effect: a swap that can't succeed must not create its model.
  if (absl::Status status = CheckPolicy(options.policy, options_.swaps.allow_when_idle); !status.ok()) return status;
  if (absl::Status status = Admit(); !status.ok()) return status;
  const WeightSwap::Context context{.clock = context_.clock,
                                    .executor = context_.bulk,
                                    .line = &line_,
                                    .models = &models_,
                                    .builder = &builder_,
                                    .observer = context_.observer,
                                    .staged_bytes = &staged_bytes_};
  std::shared_ptr<WeightSwap> swap;
  {
    MutexLock lock(mu_);
    const uint64_t id = ++last_swap_;
    ++claims_[model];
    const auto ended = [this, id, model, done = std::move(done)](absl::StatusOr<SwapResult> result) {
      {
        MutexLock inner(mu_);
        swaps_.erase(id);
      }
      Disclaim(model);
      if (result.ok()) updates_.BaseMoved(model, result->version);
      TidyAfter({model}, result.ok());
      done(std::move(result));
      EndOne();
    };
    swap = std::make_shared<WeightSwap>(context, model, base, options, std::move(gather), ended);
    swaps_.emplace(id, swap);
  }
  swap->Start();
  return swap;
}

absl::StatusOr<std::shared_ptr<Cancellable>> Weights::SetWeights(SetWeightsRequest request, SwapDone done) {
  auto change = CheckSetWeights(std::move(request), *context_.limits);
  if (!change.ok()) return change.status();
  const auto base = change->base_version;
  const SwapOptions options = change->options;
  const std::string model = change->model;
  auto shared = std::make_shared<TensorChange>(*std::move(change));  // A std::function must be copyable.
  return StartSwap(
      model, base, options,
      [this, shared](const WeightVersion& version, const Model* /*model*/) -> absl::StatusOr<VersionChange> {
        // Before anything is written or packed.
        if (absl::Status status = builder_.Charge(shared->tensors); !status.ok()) return status;
        std::vector<WeightBudget::Reservation> layouts(shared->tensors.size());
        for (size_t i = 0; i < layouts.size(); ++i) {
          const HostTensor& tensor = shared->tensors[i];
          const absl::Status room =
              builder_.ReserveRoom(tensor.name, tensor.type, &version, /*joins=*/false, layouts[i]);
          if (!room.ok()) return room;
        }
        const auto stored = builder_.Store(shared->tensors);
        if (!stored.ok()) return stored.status();
        auto put = builder_.Upload(std::move(shared->tensors), *stored, version, std::move(layouts));
        if (!put.ok()) return put.status();
        VersionChange made;
        made.label = shared->label;
        made.put = *std::move(put);
        return made;
      },
      std::move(done));
}

absl::StatusOr<std::shared_ptr<Cancellable>> Weights::Rollback(RollbackRequest request, SwapDone done) {
  Violations bad;
  CheckModelName(request.model, bad);
  CheckLabel("new_label", request.new_label, bad);
  const SwapOptions options = CheckSwapWish(request.swap, bad);
  if (!request.version && !request.label) bad.Add("to", "MISSING", "(none)", "give a version or a label");
  if (!bad.empty()) return bad.Take("rollback");
  const std::string model = ModelName(request.model);
  if (const auto found = models_.Find(model); !found.ok()) return found.status();
  return StartSwap(
      model, std::nullopt, options,
      [this, request = std::move(request)](const WeightVersion& base,
                                           const Model* of) -> absl::StatusOr<VersionChange> {
        if (of == nullptr) return models_.Find(ModelName(request.model)).status();
        Reach(context_.failpoints, "rollback.begin");
        return GatherKept(request, base, *of);
      },
      std::move(done));
}

absl::StatusOr<VersionChange> Weights::GatherKept(const RollbackRequest& request, const WeightVersion& base,
                                                  const Model& model) const {
  const std::vector<KeptVersion> all = model.kept();
  const auto kept = std::find_if(all.begin(), all.end(), [&](const KeptVersion& k) {
    return request.version ? k.number.value() == *request.version : k.label == *request.label;
  });
  if (kept == all.end()) {
    ErrorDetails details;
    details.reason = "VERSION_NOT_KEPT";
    details.metadata = {{"model", model.name()}, {"current_version", absl::StrCat(base.number().value())}};
    const std::string wanted =
        request.version ? absl::StrCat("version=", *request.version) : absl::StrCat("label=", Quoted(*request.label));
    return MakeError(absl::StatusCode::kNotFound,
                     absl::StrCat(wanted, ": model \"", model.name(), "\" is at version ", base.number().value(),
                                  " and keeps ", all.empty() ? "no other" : "only ",
                                  absl::StrJoin(all, ", ",
                                                [](std::string* out, const KeptVersion& k) {
                                                  absl::StrAppend(out, k.number.value(), " (", k.label, ")");
                                                }),
                                  "; publish it again, and raise --keep-versions to keep more"),
                     details);
  }
  VersionChange change;
  change.label = request.new_label.empty() ? kept->label : request.new_label;
  change.restored_from = kept->number;
  change.replaces_all = true;
  if (kept->version != nullptr) {
    for (const auto& tensor : kept->version->tensors()) change.put.push_back(*tensor);
    return change;
  }
  const auto stored = context_.state->ReadManifest(*kept->manifest);
  if (!stored.ok()) return stored.status();
  auto put = builder_.Load(stored->tensors, base);
  if (!put.ok()) return put.status();
  change.put = *std::move(put);
  return change;
}

// Of a commit that is repeated: what the first one came to.
std::optional<absl::StatusOr<CommitResult>> Weights::EarlierOutcome(const UpdateCommit::Updates& updates) const {
  CommitResult earlier;
  earlier.repeated = true;
  std::set<uint64_t> groups;
  size_t committed = 0;
  for (const auto& update : updates) {
    if (update->group() == 0) continue;
    const UpdateStatus status = update->GetStatus();
    ++committed;
    groups.insert(status.group);
    earlier.updates.push_back({status.id, status.model, status.version, status.previous});
  }
  if (committed == 0) return std::nullopt;
  size_t group_size = 0;
  for (const auto& update : updates_.All()) {
    if (groups.contains(update->group())) ++group_size;
  }
  if (committed == updates.size() && groups.size() == 1 && group_size == committed) return earlier;
  return MakeError(absl::StatusCode::kFailedPrecondition, "COMMITTED_APART",
                   absl::StrCat(committed, " of these ", updates.size(),
                                " updates have been committed already, and not together with just the others; see "
                                "GetUpdate"));
}

absl::StatusOr<Weights::Leave> Weights::Commit(const CommitRequest& request, CommitDone done) {
  Violations bad;
  const SwapOptions options = CheckSwapWish(request.swap, bad);
  const size_t count = request.update_ids.size();
  if (count == 0 || count > static_cast<size_t>(context_.limits->max_commit_updates)) {
    bad.Add("update_ids", "COUNT", absl::StrCat(count, " updates"), "give 1 to ", context_.limits->max_commit_updates);
    return bad.Take("commit");
  }
  UpdateCommit::Updates updates;
  std::set<absl::string_view> models;
  std::set<std::string> ids;
  for (size_t i = 0; i < count; ++i) {
    const std::string field = absl::StrCat("update_ids[", i, "]");
    if (!ids.insert(request.update_ids[i]).second) {
      bad.Add(field, "UPDATE_REPEATED", Quoted(request.update_ids[i]), "given before; each update once");
      continue;
    }
    auto update = updates_.Find(request.update_ids[i]);
    if (!update.ok()) return update.status();
    if (!models.insert((*update)->model()).second) {
      bad.Add(field, "MODEL_REPEATED", Quoted(request.update_ids[i]), "a second update of model \"", (*update)->model(),
              "\"; one for each model");
    }
    updates.push_back(*std::move(update));
  }
  if (!bad.empty()) return bad.Take("commit");
  if (absl::Status status = CheckPolicy(options.policy, options_.swaps.allow_when_idle); !status.ok()) return status;

  const std::vector<std::string> key(ids.begin(), ids.end());
  if (absl::Status status = Admit(); !status.ok()) return status;
  const UpdateCommit::Context context{.clock = context_.clock,
                                      .executor = context_.bulk,
                                      .reclaim = context_.reclaim,
                                      .line = &line_,
                                      .models = &models_,
                                      .updates = &updates_,
                                      .builder = &builder_,
                                      .observer = context_.observer,
                                      .failpoints = context_.failpoints};
  const auto decided = [this, key] {
    MutexLock lock(mu_);
    commits_.erase(key);
  };
  const auto ended = [this] {
    TidyAfter({}, /*flipped=*/true);
    EndOne();
  };
  auto commit = std::make_shared<UpdateCommit>(context, updates, options, decided, ended);
  uint64_t number = 0;
  bool first = false;
  {
    MutexLock lock(mu_);
    // Where somebody commits just these, whoever asks again gets the same answer.
    const auto [at, inserted] = commits_.emplace(key, commit);
    first = inserted;
    commit = at->second;
    number = commit->Join(std::move(done));
  }
  // Only now: whoever committed just these before, and is not in there any more, has left its outcome in them.
  if (!first) {
    EndOne();
  } else if (auto earlier = EarlierOutcome(updates)) {
    commit->Answer(*earlier);
  } else {
    commit->Start();
  }
  return Leave([commit = std::weak_ptr<UpdateCommit>(commit), number](const absl::Status& why) {
    if (const auto pending = commit.lock()) pending->Leave(number, why);
  });
}

// ---------------------------------------------------------------------------------------------- updates

absl::StatusOr<UpdateStatus> Weights::BeginUpdate(BeginUpdateRequest request) {
  auto plan = CheckBeginUpdate(std::move(request), *context_.limits);
  if (!plan.ok()) return plan.status();
  {
    MutexLock lock(mu_);
    if (draining_) return DrainingError();
  }
  if (plan->in_place && context_.state == nullptr) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NO_STATE_DIR",
                     "apply_mode=IN_PLACE: this daemon has no --state-dir to keep the bytes in; use SHADOW");
  }
  const auto model = models_.Find(plan->model);
  const WeightVersion::Ptr near = model.ok() ? (*model)->current() : WeightVersion::Empty();
  if (plan->base) {
    if (absl::Status status = CheckBase(*plan->base, plan->model, model.ok() ? model->get() : nullptr); !status.ok()) {
      return status;
    }
  }
  const Version base = plan->base.value_or(near->number());
  const std::string name = plan->model;
  // Until the table has the update, which then speaks for it.
  Claim(name);
  absl::StatusOr<std::shared_ptr<Update>> update = absl::UnknownError("not begun");
  // Created now, so that a prepared update can't fail for want of room for its model.
  if (const auto created = models_.FindOrCreate(name); created.ok()) {
    update = updates_.Begin(*std::move(plan), base, near);
  } else {
    update = created.status();
  }
  Disclaim(name);
  if (update.ok()) return (*update)->GetStatus();
  DropIfEmpty(name);
  return update.status();
}

absl::StatusOr<std::shared_ptr<Update>> Weights::FindUpdate(const std::string& id) const { return updates_.Find(id); }

absl::Status Weights::Stage(Update& update, const std::string& tensor, uint32_t rank, int64_t offset,
                            const absl::Cord& data) {
  {
    MutexLock lock(mu_);
    if (draining_) return DrainingError();
  }
  pacer_.Wait(static_cast<int64_t>(data.size()));
  return update.Write(tensor, rank, offset, data);
}

absl::Status Weights::Declare(Update& update, const TensorManifestRequest& tensor) {
  auto plan = CheckTensorManifest("declare.tensor", tensor, *context_.limits);
  if (!plan.ok()) return plan.status();
  return update.Declare(*std::move(plan));
}

absl::StatusOr<PrepareReport> Weights::Precommit(const std::string& id, const std::function<bool()>& cancelled) {
  {
    MutexLock lock(mu_);
    if (draining_) return DrainingError();
  }
  auto update = updates_.Find(id);
  if (!update.ok()) return update.status();
  const auto model = models_.Find((*update)->model());
  WeightVersion::Ptr base = WeightVersion::Empty();
  Version number = base->number().next();
  if (model.ok()) {
    auto on = (*model)->Base();
    if (!on.ok()) return on.status();
    std::tie(base, number) = *std::move(on);
  }
  if (base->number() != (*update)->base()) {
    updates_.BaseMoved((*update)->model(), base->number());
    return CheckBase((*update)->base(), (*update)->model(), model.ok() ? model->get() : nullptr);
  }
  return (*update)->Prepare(*base, number, cancelled);
}

absl::Status Weights::Abort(const std::string& id) {
  auto update = updates_.Find(id);
  if (!update.ok()) return update.status();
  return updates_.Abort(**update);
}

absl::Status Weights::LoadFile(const LoadRequest& request, const std::function<void(const LoadProgress&)>& progress,
                               const std::function<bool()>& cancelled) {
  if (context_.root == nullptr) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NO_WEIGHTS_ROOT",
                     "this daemon has no --weights-root, so it reads no files; stage the tensors instead");
  }
  auto update = updates_.Find(request.update_id);
  if (!update.ok()) return update.status();
  auto source = SafetensorsSource::Open(*context_.root, request.path, *context_.limits);
  if (!source.ok()) return source.status();
  const std::set<std::string> only(request.tensors.begin(), request.tensors.end());
  std::vector<const SafetensorsSource::Tensor*> wanted;
  LoadProgress now;
  for (const auto& tensor : (*source)->tensors()) {
    if (!only.empty() && !only.contains(tensor.name)) continue;
    wanted.push_back(&tensor);
    now.total_bytes += tensor.bytes;
  }
  if (!only.empty() && wanted.size() != only.size()) {
    for (const std::string& name : only) {
      if (std::none_of(wanted.begin(), wanted.end(), [&](const auto* t) { return t->name == name; })) {
        return MakeError(absl::StatusCode::kInvalidArgument, "UNKNOWN_TENSOR",
                         absl::StrCat("tensors: ", Quoted(name), " is not in ", Quoted(request.path)));
      }
    }
  }
  now.total_tensors = static_cast<int64_t>(wanted.size());
  progress(now);
  std::vector<char> piece(kLoadPiece);
  for (const SafetensorsSource::Tensor* tensor : wanted) {
    TensorManifestRequest declare;
    declare.name = request.name_prefix + tensor->name;
    declare.dtype = static_cast<int>(tensor->type.dtype.code());
    declare.shape = tensor->type.shape;
    if (absl::Status status = Declare(**update, declare); !status.ok()) return status;
    for (int64_t at = 0; at < tensor->bytes;) {
      if (cancelled()) {
        return MakeError(absl::StatusCode::kCancelled, "CANCELLED", "the client went away; the update stays open");
      }
      const auto size = static_cast<size_t>(std::min<int64_t>(kLoadPiece, tensor->bytes - at));
      if (absl::Status status = (*source)->Read(*tensor, at, absl::MakeSpan(piece.data(), size)); !status.ok()) {
        return status;
      }
      const absl::Cord bytes = absl::MakeCordFromExternal({piece.data(), size}, [] {});
      if (absl::Status status = Stage(**update, declare.name, 0, at, bytes); !status.ok()) return status;
      at += static_cast<int64_t>(size);
      now.bytes += static_cast<int64_t>(size);
      progress(now);
    }
    ++now.tensors;
  }
  progress(now);
  return absl::OkStatus();
}

// ---------------------------------------------------------------------------------------------- models

absl::StatusOr<ReadResult> Weights::ReadTensor(const ReadRequest& request) const {
  Violations bad;
  if (!request.model.empty() && !request.update_id.empty()) {
    bad.Add("update_id", "CONFLICT", Quoted(request.update_id), "an update has its own model; give one of the two");
  }
  if (request.rank && request.update_id.empty()) {
    bad.Add("rank", "CONFLICT", *request.rank, "only an update's tensors have shards");
  }
  if (request.bytes < 0 || request.bytes > kMaxRead) {
    bad.Add("bytes", "OUT_OF_RANGE", request.bytes, "at most ", kMaxRead, "; read on with offset");
  }
  if (!bad.empty()) return bad.Take("request");
  const int64_t bytes = request.bytes == 0 ? kDefaultRead : request.bytes;
  ReadResult result;
  if (!request.update_id.empty()) {
    auto update = updates_.Find(request.update_id);
    if (!update.ok()) return update.status();
    auto slice = (*update)->Read(request.tensor, request.rank, request.offset, bytes);
    if (!slice.ok()) return slice.status();
    return ReadResult{Version(), std::move(slice->type), slice->total, std::move(slice->data)};
  }
  const auto model = FindModel(request.model);
  if (!model.ok()) return model.status();
  const WeightVersion::Ptr version = (*model)->current();
  const NamedTensor* tensor = version->Find(request.tensor);
  if (tensor == nullptr) return TensorNotFound((*model)->name(), request.tensor);
  result.version = version->number();
  result.type = tensor->tensor->type();
  result.total = result.type.bytes().value();
  if (request.offset < 0 || request.offset > result.total) {
    bad.Add("offset", "OUT_OF_RANGE", request.offset, "the tensor has ", result.total, " bytes");
    return bad.Take("request");
  }
  result.data.resize(static_cast<size_t>(std::min(bytes, result.total - request.offset)));
  const absl::Status status =
      tensor->tensor->Read(request.offset, static_cast<int64_t>(result.data.size()), result.data.data());
  if (!status.ok()) return status;
  return result;
}

absl::StatusOr<int64_t> Weights::DeleteModel(const std::string& name, std::optional<uint64_t> version) {
  Violations bad;
  if (name.empty() || name == kDefaultModel) {
    bad.Add("model", "MODEL_NAME", Quoted(name), "name the model; \"", kDefaultModel, "\" always exists");
    return bad.Take("request");
  }
  const auto model = models_.Find(name);
  if (!model.ok()) return model.status();
  const auto check = [&] { return CheckRequiredVersion(name, Version(version.value_or(0)), *(*model)->current()); };
  // First of all: while it is closed, waves are told that there is no such model.
  if (absl::Status status = check(); !status.ok()) return status;
  if (absl::Status status = line_.CloseModel(*model); !status.ok()) return status;
  const WeightVersion::Ptr current = (*model)->current();
  absl::Status status = check();
  // Its last swap may have been confirmed to everybody but the state directory, for which it would be the later one.
  context_.journal->Flush();
  Reach(context_.failpoints, "delete.begin");
  if (status.ok() && context_.state != nullptr) status = context_.state->DeleteModel(name);
  Reach(context_.failpoints, "delete.recorded");
  if (!status.ok()) {
    line_.ReopenModel(*model);
    return status;
  }
  models_.Erase(name);
  updates_.AbortAllOf(name);
  if (context_.state != nullptr) context_.state->Collect();
  return current->bytes().value() + (*model)->kept_bytes();
}

// ---------------------------------------------------------------------------------------------- restoring

std::vector<std::string> Weights::Restore() {
  if (context_.state == nullptr) return {};
  RecoveredState recovered = context_.state->TakeRecovered();
  std::vector<std::string> notes = std::move(recovered.notes);
  for (const StoredOutcome& outcome : recovered.outcomes) {
    updates_.Adopt(Update::RestoredCommitted(updates_.context(), outcome));
  }
  for (const StoredModel& model : recovered.models) RestoreModel(model, &notes);
  for (const StoredUpdate& update : recovered.updates) RestoreUpdate(update, &notes);
  context_.state->Collect();
  return notes;
}

void Weights::RestoreModel(const StoredModel& stored, std::vector<std::string>* notes) {
  auto model = models_.FindOrCreate(stored.name);
  if (!model.ok()) {
    notes->push_back(std::string(model.status().message()));
    return;
  }
  ModelRestore restore;
  restore.last = stored.last;
  for (const StoredModel::Kept& kept : stored.versions) {
    auto manifest = context_.state->ReadManifest(kept.manifest);
    absl::Status status = manifest.status();
    if (status.ok() && restore.current == nullptr) {
      auto tensors = builder_.Load(manifest->tensors, *WeightVersion::Empty(), /*lazily=*/true);
      status = tensors.status();
      if (status.ok()) {
        VersionChange change;
        change.number = manifest->number;
        change.label = manifest->label;
        change.restored_from = manifest->restored_from;
        change.put = *std::move(tensors);
        restore.current = WeightVersion::Empty()->With(std::move(change));
        restore.manifest = kept.manifest;
        if (kept.number != stored.versions.front().number) {
          notes->push_back(absl::StrCat("model \"", stored.name, "\" falls back to version ", kept.number.value()));
          if (absl::Status fallen = context_.state->FallBack(stored.name, kept.number); !fallen.ok()) {
            notes->push_back(std::string(fallen.message()));
          }
        }
        continue;
      }
    }
    if (!status.ok()) {
      notes->push_back(
          absl::StrCat("model \"", stored.name, "\" version ", kept.number.value(), ": ", status.message()));
      continue;
    }
    int64_t bytes = 0;
    for (const StoredTensor& tensor : manifest->tensors) bytes += tensor.where.bytes;
    restore.kept.push_back(
        {manifest->number, manifest->label, manifest->restored_from, Bytes(bytes), Bytes(0), nullptr, kept.manifest});
  }
  if (restore.current == nullptr) {
    notes->push_back(absl::StrCat("model \"", stored.name,
                                  "\" has no version left that is whole: it serves none until ",
                                  "one is published, which will be version ", stored.last.next().value()));
    restore.current = WeightVersion::Empty();
    restore.kept.clear();
  }
  (*model)->Restore(std::move(restore));
}

void Weights::RestoreUpdate(const StoredUpdate& stored, std::vector<std::string>* notes) {
  const auto restore = [&]() -> absl::StatusOr<std::shared_ptr<Update>> {
    auto model = models_.FindOrCreate(stored.model);
    if (!model.ok()) return model.status();
    const WeightVersion::Ptr base = (*model)->current();
    if (absl::Status status = CheckBase(stored.base, stored.model, model->get()); !status.ok()) return status;
    auto manifest = context_.state->ReadManifest(stored.manifest);
    if (!manifest.ok()) return manifest.status();
    PreparedVersion prepared;
    prepared.manifest = stored.manifest;
    std::vector<StoredTensor> resident;
    for (const StoredTensor& tensor : manifest->tensors) {
      (stored.in_place && tensor.version == manifest->number ? prepared.absent : resident).push_back(tensor);
    }
    auto tensors = builder_.Load(resident, *base, /*lazily=*/true);
    if (!tensors.ok()) return tensors.status();
    VersionChange change;
    change.number = manifest->number;
    change.label = manifest->label;
    change.replaces_all = true;
    change.put = *std::move(tensors);
    for (const StoredTensor& t : prepared.absent) {
      change.put.push_back({t.name, t.version, std::make_shared<AbsentTensor>(t.type),
                            StoredBytes{t.where.blob, t.where.offset, t.digest}});
    }
    prepared.next = base->With(std::move(change));
    if (stored.in_place) {
      auto growth = builder_.ReserveGrowth(stored.model, VersionBuilder::Growth(prepared.absent, *prepared.next));
      if (!growth.ok()) return growth.status();
      prepared.growth = std::make_shared<WeightBudget::Reservation>(*std::move(growth));
    }
    return Update::Restored(updates_.context(), stored, manifest->label, std::move(prepared));
  };
  auto update = restore();
  if (update.ok()) {
    updates_.Adopt(*std::move(update));
    return;
  }
  DropIfEmpty(stored.model);
  notes->push_back(absl::StrCat("prepared update ", stored.id, " is dropped: ", update.status().message()));
  if (absl::Status status = context_.state->Drop(stored.id); !status.ok()) {
    notes->push_back(std::string(status.message()));
  }
}

void Weights::PrepareRestored() {
  if (context_.state == nullptr) return;
  for (const auto& model : models_.All()) {
    context_.bulk->Post([this, version = model->current()] { builder_.Prepare(*version); });
  }
}

// ---------------------------------------------------------------------------------------------- the end

void Weights::Drain() {
  std::vector<std::shared_ptr<Cancellable>> swaps;
  std::vector<std::shared_ptr<UpdateCommit>> commits;
  {
    // Under the lock that admits swaps, so that none slips in behind those found here.
    MutexLock lock(mu_);
    draining_ = true;
    for (const auto& [id, swap] : swaps_) swaps.push_back(swap.lock());
    for (const auto& [ids, commit] : commits_) commits.push_back(commit);
  }
  pacer_.Stop();
  for (const auto& swap : swaps) {
    if (swap != nullptr) swap->Cancel(DrainingError());
  }
  for (const auto& commit : commits) commit->Cancel(DrainingError());
  swaps.clear();
  commits.clear();
  MutexLock lock(mu_);
  while (pending_ > 0) idle_.Wait(mu_);
}

Weights::Gauges Weights::GetGauges() const {
  Gauges gauges;
  gauges.staged = staged_bytes_.load(std::memory_order_relaxed);
  for (const auto& model : models_.All()) {
    gauges.committed += model->committed_bytes();
    gauges.kept += model->kept_bytes();
  }
  // What is resident and none of these: old versions that waves still lease, or that are being freed.
  const int64_t resident = budget_.reserved(WeightBudget::Kind::kContent).value();
  gauges.retiring = std::max<int64_t>(resident - gauges.committed - gauges.staged - gauges.kept, 0);
  if (context_.state != nullptr) gauges.state_directory = context_.state->bytes();
  return gauges;
}

}  // namespace bwrt::runtime
