#include "server/services/bulk_calls.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/violations.h"
#include "server/services/update_codec.h"
#include "server/status.h"

namespace bwrt::server {
namespace {

// Of LoadFile; the last message always comes.
constexpr int64_t kProgressBytes = int64_t{16} << 20;
constexpr uint32_t kDefaultMissing = 100;
constexpr uint32_t kMaxMissing = 10'000;

absl::Status TooManyCalls(int limit) {
  runtime::ErrorDetails details;
  details.reason = "TOO_MANY_STREAMS";
  details.retry_after = std::chrono::milliseconds(100);
  return runtime::MakeError(absl::StatusCode::kResourceExhausted,
                            absl::StrCat(limit, " weight transfers are under way, the limit; retry later"), details);
}

// `update` is null when none has been named yet.
absl::Status Idle(runtime::Duration limit, const runtime::Update* update) {
  runtime::ErrorDetails details;
  details.reason = "STAGE_IDLE";
  details.metadata = {{"stage_idle_timeout_seconds", absl::StrCat(runtime::Seconds(limit))}};
  if (update != nullptr) details.metadata.emplace_back("update_id", update->id());
  return runtime::MakeError(
      absl::StatusCode::kDeadlineExceeded,
      absl::StrCat("no chunk came for ", runtime::Seconds(limit),
                   "s, the limit of --stage-idle-timeout; what was staged",
                   update != nullptr ? absl::StrCat(" of update ", update->id()) : std::string(),
                   " stays: open a new stream and resume with the missing ranges that GetUpdate names"),
      details);
}

}  // namespace

template <typename Work>
absl::Status BulkCalls::Admit(std::atomic<int>& calls, Work&& work) {
  const absl::Cleanup leave = [&calls] { calls.fetch_sub(1, std::memory_order_relaxed); };
  if (calls.fetch_add(1, std::memory_order_relaxed) >= kMaxCalls) return TooManyCalls(kMaxCalls);
  if (absl::Status status = runtime_->CheckRestored(); !status.ok()) return status;
  return std::forward<Work>(work)();
}

template <typename Work>
grpc::Status BulkCalls::Run(Work&& work) {
  return ToGrpcStatus(Admit(calls_, std::forward<Work>(work)));
}

grpc::Status BulkCalls::BeginUpdate(grpc::ServerContext* /*context*/, const v1::BeginUpdateRequest* request,
                                    v1::UpdateInfo* response) {
  return Run([&] {
    const auto update = runtime_->weights().BeginUpdate(DecodeBeginUpdate(*request));
    if (update.ok()) EncodeUpdate(*update, response);
    return update.status();
  });
}

absl::Status BulkCalls::Stage(StageStream& stream, v1::StageWeightsResponse* response) {
  return Admit(transfers_, [&] { return ReadChunks(stream, response); });
}

absl::Status BulkCalls::ReadChunks(StageStream& stream, v1::StageWeightsResponse* response) {
  runtime::Weights& weights = runtime_->weights();
  std::shared_ptr<runtime::Update> update;
  for (auto came = stream.Read(); came != StageStream::Came::kEnd; came = stream.Read()) {
    if (came == StageStream::Came::kNothing) return Idle(stage_idle_timeout_, update.get());
    const auto& [request, data, malformed] = stream.request();
    if (malformed) {
      return runtime::MakeError(absl::StatusCode::kInvalidArgument, "MALFORMED",
                                "the stream sent what is no bwrt.v1.StageWeightsRequest; what was staged before stays");
    }
    if (update == nullptr || (!request.update_id().empty() && request.update_id() != update->id())) {
      auto found = weights.FindUpdate(request.update_id());
      if (!found.ok()) return found.status();
      update = *std::move(found);
    }
    if (request.has_declare()) {
      const absl::Status status = weights.Declare(*update, DecodeTensorManifest(request.declare().tensor()));
      if (!status.ok()) return status;
    } else if (request.has_chunk()) {
      const v1::Chunk& chunk = request.chunk();
      const auto offset = static_cast<int64_t>(std::min<uint64_t>(chunk.offset(), INT64_MAX));
      const absl::Status status = weights.Stage(*update, chunk.tensor(), chunk.rank(), offset, data);
      if (!status.ok()) return status;
      response->set_chunks(response->chunks() + 1);
      response->set_bytes(response->bytes() + data.size());
    }
  }
  if (update == nullptr) {
    return runtime::MakeError(absl::StatusCode::kInvalidArgument, "MISSING",
                              "update_id: the stream's first message must name the update");
  }
  EncodeUpdate(update->GetStatus(), response->mutable_info());
  return absl::OkStatus();
}

grpc::Status BulkCalls::GetUpdate(grpc::ServerContext* /*context*/, const v1::GetUpdateRequest* request,
                                  v1::GetUpdateResponse* response) {
  return Run([&]() -> absl::Status {
    if (request->max_missing() > kMaxMissing) {
      runtime::Violations bad;
      bad.Add("max_missing", "OUT_OF_RANGE", request->max_missing(), "at most ", kMaxMissing);
      return bad.Take("request");
    }
    const auto update = runtime_->weights().FindUpdate(request->update_id());
    if (!update.ok()) return update.status();
    EncodeUpdate((*update)->GetStatus(), response->mutable_info());
    size_t count = 0;
    const size_t limit = request->max_missing() == 0 ? kDefaultMissing : request->max_missing();
    EncodeMissing((*update)->Missing(limit, &count), response);
    response->set_missing_shards(count);
    return absl::OkStatus();
  });
}

grpc::Status BulkCalls::ListUpdates(grpc::ServerContext* /*context*/, const v1::ListUpdatesRequest* /*request*/,
                                    v1::ListUpdatesResponse* response) {
  return Run([&] {
    for (const auto& update : runtime_->weights().Updates()) {
      EncodeUpdate(update->GetStatus(), response->add_updates());
    }
    return absl::OkStatus();
  });
}

grpc::Status BulkCalls::Precommit(grpc::ServerContext* context, const v1::PrecommitRequest* request,
                                  v1::PrecommitResponse* response) {
  return Run([&]() -> absl::Status {
    const auto report = runtime_->weights().Precommit(request->update_id(), [&] { return context->IsCancelled(); });
    if (!report.ok()) return report.status();
    EncodeReport(*report, response);
    const auto update = runtime_->weights().FindUpdate(request->update_id());
    if (update.ok()) EncodeUpdate((*update)->GetStatus(), response->mutable_info());
    return update.status();
  });
}

grpc::Status BulkCalls::Abort(grpc::ServerContext* /*context*/, const v1::AbortRequest* request,
                              v1::AbortResponse* response) {
  return Run([&]() -> absl::Status {
    if (absl::Status status = runtime_->weights().Abort(request->update_id()); !status.ok()) return status;
    const auto update = runtime_->weights().FindUpdate(request->update_id());
    if (update.ok()) EncodeUpdate((*update)->GetStatus(), response->mutable_info());
    return update.status();
  });
}

grpc::Status BulkCalls::DeleteModel(grpc::ServerContext* /*context*/, const v1::DeleteModelRequest* request,
                                    v1::DeleteModelResponse* response) {
  return Run([&] {
    const auto freed = runtime_->weights().DeleteModel(
        request->model(), request->has_version() ? std::optional(request->version()) : std::nullopt);
    if (freed.ok()) response->set_freed_bytes(static_cast<uint64_t>(*freed));
    return freed.status();
  });
}

grpc::Status BulkCalls::ReadTensor(grpc::ServerContext* /*context*/, const v1::ReadTensorRequest* request,
                                   v1::ReadTensorResponse* response) {
  return Run([&] {
    const runtime::ReadRequest read = DecodeReadTensor(*request);
    auto result = runtime_->weights().ReadTensor(read);
    if (result.ok()) EncodeRead(*std::move(result), read.offset, response);
    return result.status();
  });
}

grpc::Status BulkCalls::LoadFile(grpc::ServerContext* context, const v1::LoadFileRequest* request,
                                 grpc::ServerWriter<v1::LoadFileProgress>* writer) {
  return ToGrpcStatus(Admit(transfers_, [&] {
    runtime::LoadProgress last;
    int64_t told = -kProgressBytes;
    const auto progress = [&](const runtime::LoadProgress& now) {
      last = now;
      if (now.bytes - told < kProgressBytes) return;
      told = now.bytes;
      v1::LoadFileProgress message;
      EncodeProgress(now, &message);
      writer->Write(message);
    };
    const absl::Status status =
        runtime_->weights().LoadFile(DecodeLoadFile(*request), progress, [&] { return context->IsCancelled(); });
    if (status.ok()) {
      v1::LoadFileProgress message;
      EncodeProgress(last, &message);
      message.set_done(true);
      writer->Write(message);
    }
    return status;
  }));
}

}  // namespace bwrt::server
