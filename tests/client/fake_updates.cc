#include "tests/client/fake_updates.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/client/fake_status.h"

namespace bwrt::client {
namespace {

using grpc::StatusCode;

constexpr char kFile[] = "model.safetensors";

const std::string& NameOf(const std::string& model) {
  static const std::string* const kDefault = new std::string("default");
  return model.empty() ? *kDefault : model;
}

}  // namespace

FakeUpdate* FakeUpdates::Find(const std::string& id) {
  for (FakeUpdate& update : updates_) {
    if (update.info.update_id() == id) return &update;
  }
  return nullptr;
}

uint64_t FakeUpdates::Current(const std::string& model) {
  const auto it = models_.find(NameOf(model));
  return it == models_.end() ? 0 : it->second.back().number;
}

grpc::Status FakeUpdates::FindOpen(const std::string& id, FakeUpdate** update) {
  *update = Find(id);
  if (*update == nullptr) return Refuse(StatusCode::NOT_FOUND, "UPDATE_NOT_FOUND");
  if ((*update)->info.state() != v1::OPEN) return Refuse(StatusCode::FAILED_PRECONDITION, "UPDATE_STATE");
  return grpc::Status::OK;
}

grpc::Status FakeUpdates::Begin(const v1::BeginUpdateRequest& request, v1::UpdateInfo* info) {
  absl::MutexLock lock(&mu_);
  if (request.model() == kRefuses) {
    return WithDetails(
        WithViolations(Reason(StatusCode::INVALID_ARGUMENT, "INVALID_UPDATE"), {"tensors[0].shape[0]", "ttl"}));
  }
  if (Find(request.update_id()) != nullptr) return Refuse(StatusCode::ALREADY_EXISTS, "UPDATE_EXISTS");
  if (request.has_base_version() && request.base_version() != Current(request.model())) {
    return Refuse(StatusCode::ABORTED, "BASE_CHANGED");
  }
  FakeUpdate update;
  update.info.set_update_id(request.update_id().empty() ? absl::StrCat("u", updates_.size() + 1) : request.update_id());
  update.info.set_model(NameOf(request.model()));
  update.info.set_label(request.label());
  update.info.set_base_version(Current(request.model()));
  update.info.set_apply_mode(request.apply_mode());
  update.info.set_state(v1::OPEN);
  *update.info.mutable_expires_in() = request.ttl();
  update.removed = {request.removed().begin(), request.removed().end()};
  update.open_manifest = true;
  for (const v1::TensorManifest& tensor : request.tensors()) {
    if (grpc::Status status = update.Declare(tensor); !status.ok()) return status;
  }
  update.open_manifest = request.open_manifest() || request.tensors().empty();
  update.Count();
  *info = update.info;
  updates_.push_back(std::move(update));
  return grpc::Status::OK;
}

grpc::Status FakeUpdates::Stage(grpc::ServerReader<v1::StageWeightsRequest>& reader,
                                v1::StageWeightsResponse* response) {
  std::string id;
  v1::StageWeightsRequest request;
  while (reader.Read(&request)) {
    absl::MutexLock lock(&mu_);
    if (!request.update_id().empty()) id = request.update_id();
    FakeUpdate* update = nullptr;
    if (grpc::Status status = FindOpen(id, &update); !status.ok()) return status;
    if (request.has_declare()) {
      if (grpc::Status status = update->Declare(request.declare().tensor()); !status.ok()) return status;
      continue;
    }
    if (broken_streams_ > 0 && static_cast<int>(response->chunks()) == chunks_before_break_) {
      --broken_streams_;
      if (idle_break_) return Refuse(StatusCode::DEADLINE_EXCEEDED, "STAGE_IDLE");
      return grpc::Status(StatusCode::UNAVAILABLE, "the connection broke");
    }
    if (grpc::Status status = update->Take(request.chunk()); !status.ok()) return status;
    const v1::Chunk& chunk = request.chunk();
    staged_.push_back({chunk.tensor(), chunk.rank(), chunk.offset(), chunk.data().size()});
    response->set_chunks(response->chunks() + 1);
    response->set_bytes(response->bytes() + chunk.data().size());
  }
  absl::MutexLock lock(&mu_);
  FakeUpdate* update = nullptr;
  if (grpc::Status status = FindOpen(id, &update); !status.ok()) return status;
  update->Count();
  *response->mutable_info() = update->info;
  return grpc::Status::OK;
}

grpc::Status FakeUpdates::Get(const v1::GetUpdateRequest& request, v1::GetUpdateResponse* response) {
  absl::MutexLock lock(&mu_);
  FakeUpdate* update = Find(request.update_id());
  if (update == nullptr) return Refuse(StatusCode::NOT_FOUND, "UPDATE_NOT_FOUND");
  update->Count();
  *response->mutable_info() = update->info;
  const uint32_t limit = request.max_missing() == 0 ? 100 : request.max_missing();
  update->ListMissing(limit, response);
  return grpc::Status::OK;
}

grpc::Status FakeUpdates::List(v1::ListUpdatesResponse* response) {
  absl::MutexLock lock(&mu_);
  for (auto update = updates_.rbegin(); update != updates_.rend(); ++update) {
    update->Count();
    *response->add_updates() = update->info;
  }
  return grpc::Status::OK;
}

grpc::Status FakeUpdates::Precommit(const std::string& id, v1::PrecommitResponse* response) {
  absl::MutexLock lock(&mu_);
  FakeUpdate* update = Find(id);
  if (update == nullptr) return Refuse(StatusCode::NOT_FOUND, "UPDATE_NOT_FOUND");
  if (update->info.state() != v1::OPEN && update->info.state() != v1::PREPARED) {
    return Refuse(StatusCode::FAILED_PRECONDITION, "UPDATE_STATE");
  }
  const std::vector<std::string> wrong = update->Verify();
  if (!wrong.empty()) {
    return WithDetails(WithViolations(Reason(StatusCode::FAILED_PRECONDITION, "UPDATE_INCOMPLETE"), wrong));
  }
  update->info.set_state(v1::PREPARED);
  update->Count();
  *response->mutable_info() = update->info;
  response->set_verify_seconds(0.25);
  response->set_prepare_seconds(0.5);
  return grpc::Status::OK;
}

void FakeUpdates::Publish(FakeUpdate* update) {
  std::vector<Version>& versions = models_[update->info.model()];
  Version next;
  if (!versions.empty()) next = versions.back();
  update->info.set_previous_version(next.number);
  ++next.number;
  next.label = update->info.label();
  for (const std::string& name : update->removed) next.tensors.erase(name);
  for (const auto& [name, staged] : update->tensors) {
    v1::Tensor& tensor = next.tensors[name];
    tensor.set_name(name);
    tensor.set_dtype(staged.manifest.dtype());
    *tensor.mutable_shape() = staged.manifest.shape();
    tensor.set_data(staged.Joined());
  }
  update->info.set_version(next.number);
  update->info.set_state(v1::COMMITTED);
  versions.push_back(std::move(next));
}

grpc::Status FakeUpdates::Commit(const v1::CommitRequest& request, v1::CommitResponse* response) {
  absl::MutexLock lock(&mu_);
  std::vector<FakeUpdate*> updates;
  int committed = 0;
  for (const std::string& id : request.update_ids()) {
    FakeUpdate* update = updates.emplace_back(Find(id));
    if (update == nullptr) return Refuse(StatusCode::NOT_FOUND, "UPDATE_NOT_FOUND");
    if (update->info.state() == v1::COMMITTED) {
      ++committed;
      continue;
    }
    if (update->info.state() != v1::PREPARED) return Refuse(StatusCode::FAILED_PRECONDITION, "UPDATE_STATE");
    if (update->info.base_version() != Current(update->info.model())) {
      return Refuse(StatusCode::ABORTED, "BASE_CHANGED");
    }
    if (update->info.model() == kClosed && request.policy() == v1::IN_WINDOW) {
      return Refuse(StatusCode::FAILED_PRECONDITION, "SWAP_WINDOW_CLOSED");
    }
  }
  if (updates.empty()) return Refuse(StatusCode::INVALID_ARGUMENT, "INVALID_COMMIT");
  if (committed != 0 && committed != request.update_ids_size()) {
    return Refuse(StatusCode::FAILED_PRECONDITION, "COMMITTED_APART");
  }
  response->set_repeated(committed != 0);
  for (FakeUpdate* update : updates) {
    if (committed == 0) Publish(update);
    v1::CommittedUpdate* done = response->add_updates();
    done->set_update_id(update->info.update_id());
    done->set_model(update->info.model());
    done->set_version(update->info.version());
    done->set_previous_version(update->info.previous_version());
  }
  return grpc::Status::OK;
}

grpc::Status FakeUpdates::Abort(const std::string& id, v1::AbortResponse* response) {
  absl::MutexLock lock(&mu_);
  FakeUpdate* update = Find(id);
  if (update == nullptr) return Refuse(StatusCode::NOT_FOUND, "UPDATE_NOT_FOUND");
  if (update->info.state() == v1::COMMITTED) return Refuse(StatusCode::FAILED_PRECONDITION, "UPDATE_STATE");
  update->info.set_state(v1::ABORTED);
  update->tensors.clear();
  update->Count();
  *response->mutable_info() = update->info;
  return grpc::Status::OK;
}

grpc::Status FakeUpdates::Rollback(const v1::RollbackRequest& request, v1::RollbackResponse* response) {
  absl::MutexLock lock(&mu_);
  const auto model = models_.find(NameOf(request.model()));
  if (model == models_.end()) return Refuse(StatusCode::NOT_FOUND, "MODEL_NOT_FOUND");
  std::vector<Version>& versions = model->second;
  const auto found = std::find_if(versions.rbegin(), versions.rend(), [&request](const Version& version) {
    return request.has_label() ? version.label == request.label() : version.number == request.version();
  });
  if (found == versions.rend()) return Refuse(StatusCode::NOT_FOUND, "VERSION_NOT_KEPT");
  response->set_restored_from(found->number);
  Version next = *found;
  next.number = versions.back().number + 1;
  if (!request.new_label().empty()) next.label = request.new_label();
  response->mutable_swap()->set_model(model->first);
  response->mutable_swap()->set_previous_version(versions.back().number);
  response->mutable_swap()->set_version(next.number);
  versions.push_back(std::move(next));
  return grpc::Status::OK;
}

void FakeUpdates::ListKept(const std::string& model, v1::GetModelResponse* response) {
  absl::MutexLock lock(&mu_);
  const auto it = models_.find(NameOf(model));
  if (it == models_.end()) return;
  for (auto version = it->second.rbegin(); version != it->second.rend(); ++version) {
    v1::KeptVersion* kept = response->add_kept();
    kept->set_version(version->number);
    kept->set_label(version->label);
    kept->set_in_memory(true);
  }
}

grpc::Status FakeUpdates::Delete(const v1::DeleteModelRequest& request, v1::DeleteModelResponse* response) {
  absl::MutexLock lock(&mu_);
  const auto model = models_.find(request.model());
  if (model == models_.end()) return Refuse(StatusCode::NOT_FOUND, "MODEL_NOT_FOUND");
  if (request.has_version() && request.version() != Current(request.model())) {
    return Refuse(StatusCode::FAILED_PRECONDITION, "VERSION_MISMATCH");
  }
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : model->second.back().tensors) bytes += tensor.data().size();
  response->set_freed_bytes(bytes);
  models_.erase(model);
  return grpc::Status::OK;
}

grpc::Status FakeUpdates::Read(const v1::ReadTensorRequest& request, v1::ReadTensorResponse* response) {
  absl::MutexLock lock(&mu_);
  std::string bytes;
  if (!request.update_id().empty()) {
    const FakeUpdate* update = Find(request.update_id());
    if (update == nullptr) return Refuse(StatusCode::NOT_FOUND, "UPDATE_NOT_FOUND");
    const auto tensor = update->tensors.find(request.tensor());
    if (tensor == update->tensors.end()) return Refuse(StatusCode::NOT_FOUND, "TENSOR_NOT_FOUND");
    if (!tensor->second.complete()) return Refuse(StatusCode::FAILED_PRECONDITION, "UPDATE_INCOMPLETE");
    bytes = tensor->second.Joined();
    response->set_dtype(tensor->second.manifest.dtype());
    *response->mutable_shape() = tensor->second.manifest.shape();
  } else {
    const auto model = models_.find(NameOf(request.model()));
    if (model == models_.end()) return Refuse(StatusCode::NOT_FOUND, "MODEL_NOT_FOUND");
    const Version& version = model->second.back();
    const auto tensor = version.tensors.find(request.tensor());
    if (tensor == version.tensors.end()) return Refuse(StatusCode::NOT_FOUND, "TENSOR_NOT_FOUND");
    bytes = tensor->second.data();
    response->set_version(version.number);
    response->set_dtype(tensor->second.dtype());
    *response->mutable_shape() = tensor->second.shape();
  }
  if (request.offset() > bytes.size()) return Refuse(StatusCode::INVALID_ARGUMENT, "OFFSET");
  response->set_total_bytes(bytes.size());
  response->set_offset(request.offset());
  // Less than was asked for, so that readers have to ask again.
  response->set_data(bytes.substr(request.offset(), std::min<uint64_t>(request.bytes(), 1000)));
  return grpc::Status::OK;
}

grpc::Status FakeUpdates::Load(const v1::LoadFileRequest& request, grpc::ServerWriter<v1::LoadFileProgress>& writer) {
  absl::MutexLock lock(&mu_);
  FakeUpdate* update = nullptr;
  if (grpc::Status status = FindOpen(request.update_id(), &update); !status.ok()) return status;
  if (request.path() != kFile) return Refuse(StatusCode::NOT_FOUND, "FILE_NOT_FOUND");
  // The file holds tensors "a" and "b" of two f32 elements each.
  std::vector<std::string> names = {request.tensors().begin(), request.tensors().end()};
  if (names.empty()) names = {"a", "b"};
  v1::LoadFileProgress progress;
  progress.set_total_tensors(names.size());
  progress.set_total_bytes(8 * names.size());
  for (const std::string& name : names) {
    v1::TensorManifest manifest;
    manifest.set_name(request.name_prefix() + name);
    manifest.set_dtype(F32);
    manifest.add_shape(2);
    if (grpc::Status status = update->Declare(manifest); !status.ok()) return status;
    v1::Chunk chunk;
    chunk.set_tensor(manifest.name());
    chunk.set_data("contents");
    if (grpc::Status status = update->Take(chunk); !status.ok()) return status;
    progress.set_tensors(progress.tensors() + 1);
    progress.set_bytes(progress.bytes() + 8);
    progress.set_done(progress.tensors() == names.size());
    writer.Write(progress);
  }
  return grpc::Status::OK;
}

void FakeUpdates::BreakStages(int streams, int chunks, bool idle) {
  absl::MutexLock lock(&mu_);
  broken_streams_ = streams;
  chunks_before_break_ = chunks;
  idle_break_ = idle;
}

std::vector<StagedChunk> FakeUpdates::staged() const {
  absl::MutexLock lock(&mu_);
  return staged_;
}

}  // namespace bwrt::client
