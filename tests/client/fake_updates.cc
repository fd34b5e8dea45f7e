#include "tests/client/fake_updates.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/digest.h"
#include "client/dtype.h"
#include "google/protobuf/util/message_differencer.h"
#include "tests/client/fake_status.h"

namespace bwrt::client {
namespace {

using grpc::StatusCode;

constexpr char kFile[] = "model.safetensors";

const std::string& NameOf(const std::string& model) {
  static const std::string* const kDefault = new std::string("default");
  return model.empty() ? *kDefault : model;
}

uint64_t RawBytes(const v1::TensorManifest& manifest) {
  uint64_t bytes = StoredDTypeBytes(manifest.dtype());
  for (const int64_t dim : manifest.shape()) bytes *= dim;
  return bytes;
}

// The elements of a .npy file of format 1.0; its header is not read.
std::string NpyElements(const std::string& file) {
  if (!absl::StartsWith(file, "\x93NUMPY\x01") || file.size() < 10) return "";
  const size_t header = static_cast<uint8_t>(file[8]) + 256 * static_cast<uint8_t>(file[9]);
  return file.size() < 10 + header ? "" : file.substr(10 + header);
}

}  // namespace

bool FakeUpdates::Piece::complete() const {
  return std::all_of(received.begin(), received.end(), [](bool byte) { return byte; });
}

bool FakeUpdates::Tensor::complete() const {
  return std::all_of(pieces.begin(), pieces.end(), [](const auto& piece) { return piece.second.complete(); });
}

std::string FakeUpdates::Tensor::Joined() const {
  std::string joined;
  for (const auto& [rank, piece] : pieces) {
    joined += piece.shard.encoding() == v1::NPY ? NpyElements(piece.bytes) : piece.bytes;
  }
  return joined;
}

FakeUpdates::Update* FakeUpdates::Find(const std::string& id) {
  for (Update& update : updates_) {
    if (update.info.update_id() == id) return &update;
  }
  return nullptr;
}

uint64_t FakeUpdates::Current(const std::string& model) {
  const auto it = models_.find(NameOf(model));
  return it == models_.end() ? 0 : it->second.back().number;
}

grpc::Status FakeUpdates::FindOpen(const std::string& id, Update** update) {
  *update = Find(id);
  if (*update == nullptr) return Refuse(StatusCode::NOT_FOUND, "UPDATE_NOT_FOUND");
  if ((*update)->info.state() != v1::OPEN) return Refuse(StatusCode::FAILED_PRECONDITION, "UPDATE_STATE");
  return grpc::Status::OK;
}

void FakeUpdates::FillInfo(Update* update) {
  uint64_t bytes = 0, received = 0;
  for (const auto& [name, tensor] : update->tensors) {
    for (const auto& [rank, piece] : tensor.pieces) {
      bytes += piece.bytes.size();
      received += std::count(piece.received.begin(), piece.received.end(), true);
    }
  }
  update->info.set_tensors(update->tensors.size());
  update->info.set_bytes(bytes);
  update->info.set_received_bytes(received);
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
  Update update;
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
    if (grpc::Status status = Declare(tensor, &update); !status.ok()) return status;
  }
  update.open_manifest = request.open_manifest() || request.tensors().empty();
  FillInfo(&update);
  *info = update.info;
  updates_.push_back(std::move(update));
  return grpc::Status::OK;
}

grpc::Status FakeUpdates::Declare(const v1::TensorManifest& manifest, Update* update) {
  const auto old = update->tensors.find(manifest.name());
  if (old == update->tensors.end() && !update->open_manifest) {
    return Refuse(StatusCode::INVALID_ARGUMENT, "UNKNOWN_TENSOR");
  }
  Tensor tensor{manifest};
  if (manifest.shards().empty()) {
    tensor.pieces[0].shard.set_bytes(RawBytes(manifest));
  }
  for (const v1::Shard& shard : manifest.shards()) tensor.pieces[shard.rank()].shard = shard;
  for (auto& [rank, piece] : tensor.pieces) {
    piece.bytes.resize(piece.shard.bytes());
    piece.received.resize(piece.shard.bytes());
  }
  if (old != update->tensors.end()) {
    if (google::protobuf::util::MessageDifferencer::Equals(old->second.manifest, manifest)) return grpc::Status::OK;
    for (const auto& [rank, piece] : old->second.pieces) {
      if (std::count(piece.received.begin(), piece.received.end(), true) > 0) {
        return Refuse(StatusCode::INVALID_ARGUMENT, "ALREADY_STAGED");
      }
    }
  }
  update->tensors[manifest.name()] = std::move(tensor);
  return grpc::Status::OK;
}

grpc::Status FakeUpdates::Take(const v1::Chunk& chunk, Update* update) {
  const auto tensor = update->tensors.find(chunk.tensor());
  if (tensor == update->tensors.end()) return Refuse(StatusCode::INVALID_ARGUMENT, "UNKNOWN_TENSOR");
  const auto found = tensor->second.pieces.find(chunk.rank());
  if (found == tensor->second.pieces.end() || chunk.offset() > found->second.bytes.size() ||
      chunk.data().size() > found->second.bytes.size() - chunk.offset()) {
    return Refuse(StatusCode::INVALID_ARGUMENT, "CHUNK_OUT_OF_RANGE");
  }
  Piece& piece = found->second;
  staged_.push_back({chunk.tensor(), chunk.rank(), chunk.offset(), chunk.data().size()});
  for (size_t i = 0; i < chunk.data().size(); ++i) {
    const size_t at = chunk.offset() + i;
    if (piece.received[at] && piece.bytes[at] != chunk.data()[i]) {
      return Refuse(StatusCode::INVALID_ARGUMENT, "CHUNK_CONFLICT");
    }
    piece.received[at] = true;
    piece.bytes[at] = chunk.data()[i];
  }
  return grpc::Status::OK;
}

grpc::Status FakeUpdates::Stage(grpc::ServerReader<v1::StageWeightsRequest>& reader,
                                v1::StageWeightsResponse* response) {
  std::string id;
  v1::StageWeightsRequest request;
  while (reader.Read(&request)) {
    absl::MutexLock lock(&mu_);
    if (!request.update_id().empty()) id = request.update_id();
    Update* update = nullptr;
    if (grpc::Status status = FindOpen(id, &update); !status.ok()) return status;
    if (request.has_declare()) {
      if (grpc::Status status = Declare(request.declare().tensor(), update); !status.ok()) return status;
      continue;
    }
    if (broken_streams_ > 0 && static_cast<int>(response->chunks()) == chunks_before_break_) {
      --broken_streams_;
      return grpc::Status(StatusCode::UNAVAILABLE, "the connection broke");
    }
    if (grpc::Status status = Take(request.chunk(), update); !status.ok()) return status;
    response->set_chunks(response->chunks() + 1);
    response->set_bytes(response->bytes() + request.chunk().data().size());
  }
  absl::MutexLock lock(&mu_);
  Update* update = nullptr;
  if (grpc::Status status = FindOpen(id, &update); !status.ok()) return status;
  FillInfo(update);
  *response->mutable_info() = update->info;
  return grpc::Status::OK;
}

grpc::Status FakeUpdates::Get(const v1::GetUpdateRequest& request, v1::GetUpdateResponse* response) {
  absl::MutexLock lock(&mu_);
  Update* update = Find(request.update_id());
  if (update == nullptr) return Refuse(StatusCode::NOT_FOUND, "UPDATE_NOT_FOUND");
  FillInfo(update);
  *response->mutable_info() = update->info;
  const uint32_t limit = request.max_missing() == 0 ? 100 : request.max_missing();
  for (const auto& [name, tensor] : update->tensors) {
    for (const auto& [rank, piece] : tensor.pieces) {
      if (piece.complete()) continue;
      response->set_missing_shards(response->missing_shards() + 1);
      if (response->missing_shards() > limit) continue;
      v1::MissingShard* shard = response->add_missing();
      shard->set_tensor(name);
      shard->set_rank(rank);
      shard->set_bytes(piece.bytes.size());
      for (size_t at = 0; at < piece.received.size() && shard->missing_size() < 64;) {
        const auto from = std::find(piece.received.begin() + at, piece.received.end(), false);
        const auto to = std::find(from, piece.received.end(), true);
        at = to - piece.received.begin();
        if (from == piece.received.end()) break;
        v1::ByteRange* range = shard->add_missing();
        range->set_begin(from - piece.received.begin());
        range->set_end(at);
      }
    }
  }
  return grpc::Status::OK;
}

grpc::Status FakeUpdates::List(v1::ListUpdatesResponse* response) {
  absl::MutexLock lock(&mu_);
  for (auto update = updates_.rbegin(); update != updates_.rend(); ++update) {
    FillInfo(&*update);
    *response->add_updates() = update->info;
  }
  return grpc::Status::OK;
}

grpc::Status FakeUpdates::Precommit(const std::string& id, v1::PrecommitResponse* response) {
  absl::MutexLock lock(&mu_);
  Update* update = Find(id);
  if (update == nullptr) return Refuse(StatusCode::NOT_FOUND, "UPDATE_NOT_FOUND");
  if (update->info.state() != v1::OPEN && update->info.state() != v1::PREPARED) {
    return Refuse(StatusCode::FAILED_PRECONDITION, "UPDATE_STATE");
  }
  std::vector<std::string> wrong;
  for (auto& [name, tensor] : update->tensors) {
    for (auto& [rank, piece] : tensor.pieces) {
      const std::string& digest = piece.shard.digest();
      const DigestKind kind = digest.empty()                        ? DigestKind::kNone
                              : absl::StartsWith(digest, "sha256:") ? DigestKind::kSha256
                                                                    : DigestKind::kXxh3;
      if (piece.complete() && DigestOf(kind, piece.bytes) == digest) continue;
      wrong.push_back(absl::StrCat("tensors[", name, "].shards[", rank, "]"));
      if (piece.complete()) piece.received.assign(piece.received.size(), false);
    }
  }
  if (!wrong.empty()) {
    return WithDetails(WithViolations(Reason(StatusCode::FAILED_PRECONDITION, "UPDATE_INCOMPLETE"), wrong));
  }
  update->info.set_state(v1::PREPARED);
  FillInfo(update);
  *response->mutable_info() = update->info;
  response->set_verify_seconds(0.25);
  response->set_prepare_seconds(0.5);
  return grpc::Status::OK;
}

void FakeUpdates::Publish(Update* update) {
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
  std::vector<Update*> updates;
  int committed = 0;
  for (const std::string& id : request.update_ids()) {
    Update* update = updates.emplace_back(Find(id));
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
  for (Update* update : updates) {
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
  Update* update = Find(id);
  if (update == nullptr) return Refuse(StatusCode::NOT_FOUND, "UPDATE_NOT_FOUND");
  if (update->info.state() == v1::COMMITTED) return Refuse(StatusCode::FAILED_PRECONDITION, "UPDATE_STATE");
  update->info.set_state(v1::ABORTED);
  update->tensors.clear();
  FillInfo(update);
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
    const Update* update = Find(request.update_id());
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
  Update* update = nullptr;
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
    if (grpc::Status status = Declare(manifest, update); !status.ok()) return status;
    v1::Chunk chunk;
    chunk.set_tensor(manifest.name());
    chunk.set_data("contents");
    if (grpc::Status status = Take(chunk, update); !status.ok()) return status;
    progress.set_tensors(progress.tensors() + 1);
    progress.set_bytes(progress.bytes() + 8);
    progress.set_done(progress.tensors() == names.size());
    writer.Write(progress);
  }
  return grpc::Status::OK;
}

void FakeUpdates::BreakStages(int streams, int chunks) {
  absl::MutexLock lock(&mu_);
  broken_streams_ = streams;
  chunks_before_break_ = chunks;
}

std::vector<StagedChunk> FakeUpdates::staged() const {
  absl::MutexLock lock(&mu_);
  return staged_;
}

}  // namespace bwrt::client
