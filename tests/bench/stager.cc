#include "tests/bench/stager.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/bench/require.h"
#include "tests/bench/samples.h"

namespace bwrt::bench {
namespace {

// What tells the first chunk of one tensor from another's.
void Mark(std::string* data, size_t tensor) {
  for (size_t i = 0; i < sizeof tensor; ++i) (*data)[i] = static_cast<char>(tensor >> (8 * i));
}

}  // namespace

Stager::Stager(const std::shared_ptr<grpc::Channel>& channel, int64_t bytes, int64_t chunk_bytes,
               runtime::Digest::Kind digest, int tensors)
    : weights_(v1::Weights::NewStub(channel)), bytes_(bytes), chunk_bytes_(chunk_bytes) {
  std::string data(static_cast<size_t>(chunk_bytes), '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 2654435761U >> 13);
  for (size_t i = 0; i < static_cast<size_t>(tensors); ++i) {
    names_.push_back(absl::StrCat("w", i));
    runtime::Hasher hasher(digest);
    for (int64_t at = 0; at < bytes; at += chunk_bytes) {
      Mark(&data, at == 0 ? i : 0);
      hasher.Update(data);
    }
    digests_.push_back(hasher.Finish().ToString());
  }
  message_.mutable_chunk()->set_data(std::move(data));
}

std::string Stager::Begin(const std::string& model) {
  v1::BeginUpdateRequest request;
  request.set_model(model);
  for (size_t i = 0; i < names_.size(); ++i) {
    v1::TensorManifest* tensor = request.add_tensors();
    tensor->set_name(names_[i]);
    tensor->set_dtype(U8);  // Opaque to the device: it makes no second layout of it.
    tensor->add_shape(bytes_ / chunk_bytes_);
    tensor->add_shape(chunk_bytes_);
    v1::Shard* shard = tensor->add_shards();
    shard->set_bytes(static_cast<uint64_t>(bytes_));
    shard->set_digest(digests_[i]);
  }
  grpc::ClientContext context;
  v1::UpdateInfo info;
  Require(weights_->BeginUpdate(&context, request, &info));
  return info.update_id();
}

double Stager::Stage(const std::string& update_id, std::atomic<int64_t>* sent, const std::atomic<bool>* stop) {
  const Stopwatch watch;
  grpc::ClientContext context;
  v1::StageWeightsResponse response;
  const auto writer = weights_->StageWeights(&context, &response);
  message_.set_update_id(update_id);
  for (size_t i = 0; i < names_.size(); ++i) {
    message_.mutable_chunk()->set_tensor(names_[i]);
    for (int64_t at = 0; at < bytes_; at += chunk_bytes_) {
      Mark(message_.mutable_chunk()->mutable_data(), at == 0 ? i : 0);
      message_.mutable_chunk()->set_offset(static_cast<uint64_t>(at));
      if (!writer->Write(message_)) break;
      if (sent != nullptr) sent->fetch_add(chunk_bytes_);
      if (stop != nullptr && stop->load()) break;  // After a first chunk: an empty stream names no update.
    }
  }
  writer->WritesDone();
  Require(writer->Finish());
  return watch.seconds();
}

void Stager::Precommit(const std::string& update_id) {
  grpc::ClientContext context;
  v1::PrecommitRequest request;
  v1::PrecommitResponse response;
  request.set_update_id(update_id);
  Require(weights_->Precommit(&context, request, &response));
}

void Stager::Commit(const std::string& update_id) {
  grpc::ClientContext context;
  v1::CommitRequest request;
  v1::CommitResponse response;
  request.add_update_ids(update_id);
  Require(weights_->Commit(&context, request, &response));
}

void Stager::Abort(const std::string& update_id) {
  grpc::ClientContext context;
  v1::AbortRequest request;
  v1::AbortResponse response;
  request.set_update_id(update_id);
  Require(weights_->Abort(&context, request, &response));
}

}  // namespace bwrt::bench
