#include "server/services/update_codec.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "server/services/duration.h"

namespace bwrt::server {
namespace {

// Saturates: what is out of range is refused as such further down.
int64_t Signed(uint64_t value) {
  return static_cast<int64_t>(std::min<uint64_t>(value, std::numeric_limits<int64_t>::max()));
}

template <typename Request>
runtime::SwapWish DecodeWish(const Request& request) {
  runtime::SwapWish wish;
  wish.policy = static_cast<int>(request.policy());
  if (request.has_wait_timeout()) wish.wait_timeout = FromProto(request.wait_timeout());
  if (request.has_hold_after()) wish.hold_after = FromProto(request.hold_after());
  return wish;
}

}  // namespace

runtime::TensorManifestRequest DecodeTensorManifest(const v1::TensorManifest& tensor) {
  runtime::TensorManifestRequest out;
  out.name = tensor.name();
  out.dtype = static_cast<int>(tensor.dtype());
  out.shape.assign(tensor.shape().begin(), tensor.shape().end());
  out.shards.reserve(static_cast<size_t>(tensor.shards_size()));
  for (const v1::Shard& shard : tensor.shards()) {
    out.shards.push_back({shard.rank(), shard.bytes(), shard.digest(), static_cast<int>(shard.encoding())});
  }
  return out;
}

runtime::BeginUpdateRequest DecodeBeginUpdate(const v1::BeginUpdateRequest& request) {
  runtime::BeginUpdateRequest out;
  out.model = request.model();
  if (request.has_base_version()) out.base_version = request.base_version();
  out.label = request.label();
  out.update_id = request.update_id();
  out.tensors.reserve(static_cast<size_t>(request.tensors_size()));
  for (const v1::TensorManifest& tensor : request.tensors()) out.tensors.push_back(DecodeTensorManifest(tensor));
  out.open_manifest = request.open_manifest();
  out.removed.assign(request.removed().begin(), request.removed().end());
  out.apply_mode = static_cast<int>(request.apply_mode());
  if (request.has_ttl()) out.ttl = FromProto(request.ttl());
  if (request.has_prepared_ttl()) out.prepared_ttl = FromProto(request.prepared_ttl());
  return out;
}

runtime::CommitRequest DecodeCommit(const v1::CommitRequest& request) {
  return {{request.update_ids().begin(), request.update_ids().end()}, DecodeWish(request)};
}

runtime::RollbackRequest DecodeRollback(const v1::RollbackRequest& request) {
  runtime::RollbackRequest out;
  out.model = request.model();
  if (request.has_version()) out.version = request.version();
  if (request.has_label()) out.label = request.label();
  out.swap = DecodeWish(request);
  out.new_label = request.new_label();
  return out;
}

runtime::ReadRequest DecodeReadTensor(const v1::ReadTensorRequest& request) {
  runtime::ReadRequest out;
  out.model = request.model();
  out.update_id = request.update_id();
  out.tensor = request.tensor();
  out.offset = Signed(request.offset());
  out.bytes = Signed(request.bytes());
  if (request.has_rank()) out.rank = request.rank();
  return out;
}

runtime::LoadRequest DecodeLoadFile(const v1::LoadFileRequest& request) {
  return {
      request.update_id(), request.path(), {request.tensors().begin(), request.tensors().end()}, request.name_prefix()};
}

void EncodeUpdate(const runtime::UpdateStatus& status, v1::UpdateInfo* out) {
  out->set_update_id(status.id);
  out->set_model(status.model);
  out->set_label(status.label);
  out->set_state(static_cast<v1::UpdateState>(status.state));
  out->set_base_version(status.base.value());
  out->set_apply_mode(status.in_place ? v1::IN_PLACE : v1::SHADOW);
  out->set_tensors(static_cast<uint64_t>(status.tensors));
  out->set_bytes(static_cast<uint64_t>(status.bytes));
  out->set_received_bytes(static_cast<uint64_t>(status.received));
  if (status.expires_in) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*status.expires_in);
    out->mutable_expires_in()->set_seconds(seconds.count());
    out->mutable_expires_in()->set_nanos(static_cast<int32_t>((*status.expires_in - seconds).count()));
  }
  out->set_version(status.version.value());
  out->set_previous_version(status.previous.value());
}

void EncodeMissing(const std::vector<runtime::MissingShard>& missing, v1::GetUpdateResponse* out) {
  for (const runtime::MissingShard& shard : missing) {
    v1::MissingShard* to = out->add_missing();
    to->set_tensor(shard.tensor);
    to->set_rank(shard.rank);
    to->set_bytes(static_cast<uint64_t>(shard.bytes));
    for (const runtime::ByteRange& range : shard.missing) {
      v1::ByteRange* r = to->add_missing();
      r->set_begin(static_cast<uint64_t>(range.begin));
      r->set_end(static_cast<uint64_t>(range.end));
    }
  }
}

void EncodeCommit(const runtime::CommitResult& result, v1::CommitResponse* out) {
  for (const runtime::CommittedUpdate& update : result.updates) {
    v1::CommittedUpdate* to = out->add_updates();
    to->set_update_id(update.id);
    to->set_model(update.model);
    to->set_version(update.version.value());
    to->set_previous_version(update.previous.value());
  }
  out->set_waited_seconds(runtime::Seconds(result.waited));
  out->set_held_seconds(runtime::Seconds(result.held));
  out->set_pause_seconds(runtime::Seconds(result.paused));
  out->set_repeated(result.repeated);
}

void EncodeReport(const runtime::PrepareReport& report, v1::PrecommitResponse* out) {
  out->set_verify_seconds(runtime::Seconds(report.verify));
  out->set_store_seconds(runtime::Seconds(report.store));
  out->set_prepare_seconds(runtime::Seconds(report.prepare));
}

void EncodeProgress(const runtime::LoadProgress& progress, v1::LoadFileProgress* out) {
  out->set_tensors(static_cast<uint64_t>(progress.tensors));
  out->set_bytes(static_cast<uint64_t>(progress.bytes));
  out->set_total_tensors(static_cast<uint64_t>(progress.total_tensors));
  out->set_total_bytes(static_cast<uint64_t>(progress.total_bytes));
}

void EncodeRead(runtime::ReadResult&& result, int64_t offset, v1::ReadTensorResponse* out) {
  out->set_version(result.version.value());
  out->set_dtype(static_cast<DType>(result.type.dtype.code()));
  for (const int64_t d : result.type.shape) out->add_shape(d);
  out->set_total_bytes(static_cast<uint64_t>(result.total));
  out->set_offset(static_cast<uint64_t>(offset));
  out->set_data(std::move(result.data));
}

}  // namespace bwrt::server
