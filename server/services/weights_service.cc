#include "server/services/weights_service.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/not_serving.h"
#include "runtime/violations.h"
#include "server/rpc/unary_call.h"
#include "server/services/model_codec.h"
#include "server/services/update_codec.h"

namespace bwrt::server {
namespace {

constexpr uint32_t kDefaultTensors = 1000;
constexpr uint32_t kMaxTensors = 10'000;
constexpr size_t kWatchBacklog = 256;  // Events kept for a slow reader.

using SetCall = UnaryCall<v1::SetWeightsRequest, v1::SetWeightsResponse>;
using CommitCall = UnaryCall<v1::CommitRequest, v1::CommitResponse>;
using RollbackCall = UnaryCall<v1::RollbackRequest, v1::RollbackResponse>;
using ListCall = UnaryCall<v1::ListModelsRequest, v1::ListModelsResponse>;
using GetCall = UnaryCall<v1::GetModelRequest, v1::GetModelResponse>;

absl::Status ClientGone() {
  return runtime::MakeError(absl::StatusCode::kCancelled, "CANCELLED",
                            "the client went away before the swap; nothing changed");
}

// Ends the swap when the client of `call` goes away.
template <typename Call>
void CancelWith(const std::shared_ptr<Call>& call, const std::shared_ptr<runtime::Cancellable>& swap) {
  // Weak: the swap's callback owns the call.
  call->OnCancel([swap = std::weak_ptr<runtime::Cancellable>(swap)] {
    if (const auto pending = swap.lock()) pending->Cancel(ClientGone());
  });
}

void Set(runtime::Runtime* runtime, const std::shared_ptr<SetCall>& call) {
  auto swap = runtime->weights().SetWeights(DecodeSetWeights(call->TakeRequest()),
                                            [call](absl::StatusOr<runtime::SwapResult> result) {
                                              if (result.ok()) EncodeSwapResult(*result, call->response());
                                              call->Finish(result.status());
                                            });
  if (!swap.ok()) return call->Finish(swap.status());
  CancelWith(call, *swap);
}

void Rollback(runtime::Runtime* runtime, const std::shared_ptr<RollbackCall>& call) {
  auto swap =
      runtime->weights().Rollback(DecodeRollback(call->request()), [call](absl::StatusOr<runtime::SwapResult> result) {
        if (result.ok()) {
          EncodeSwapResult(*result, call->response()->mutable_swap());
          call->response()->set_restored_from(result->restored_from.value());
        }
        call->Finish(result.status());
      });
  if (!swap.ok()) return call->Finish(swap.status());
  CancelWith(call, *swap);
}

void Commit(runtime::Runtime* runtime, const std::shared_ptr<CommitCall>& call) {
  auto leave =
      runtime->weights().Commit(DecodeCommit(call->request()), [call](absl::StatusOr<runtime::CommitResult> result) {
        if (result.ok()) EncodeCommit(*result, call->response());
        call->Finish(result.status());
      });
  if (!leave.ok()) return call->Finish(leave.status());
  call->OnCancel([leave = *std::move(leave)] { leave(ClientGone()); });
}

void List(runtime::Runtime* runtime, const std::shared_ptr<ListCall>& call) {
  for (const auto& model : runtime->weights().models().All()) {
    EncodeSummary(model->name(), model->GetStatus(), call->response()->add_models());
  }
  call->Finish(absl::OkStatus());
}

void Get(runtime::Runtime* runtime, const std::shared_ptr<GetCall>& call) {
  const v1::GetModelRequest& request = call->request();
  if (request.max_tensors() > kMaxTensors) {
    runtime::Violations bad;
    bad.Add("max_tensors", "OUT_OF_RANGE", request.max_tensors(), "at most ", kMaxTensors, "; page with tensors_after");
    return call->Finish(bad.Take("request"));
  }
  const auto model = runtime->weights().FindModel(request.model());
  if (!model.ok()) return call->Finish(model.status());
  const runtime::ModelStatus status = (*model)->GetStatus();
  EncodeSummary((*model)->name(), status, call->response()->mutable_summary());
  EncodeWindow(status.window, call->response()->mutable_window());
  for (const runtime::KeptVersion& kept : status.kept) EncodeKept(kept, call->response()->add_kept());
  const auto& tensors = status.current->tensors();
  auto at = tensors.begin();
  if (!request.tensors_after().empty()) {
    at = std::upper_bound(tensors.begin(), tensors.end(), request.tensors_after(),
                          [](const std::string& name, const auto& tensor) { return name < tensor->name; });
  }
  const uint32_t limit = request.max_tensors() == 0 ? kDefaultTensors : request.max_tensors();
  for (uint32_t i = 0; i < limit && at != tensors.end(); ++i, ++at) {
    EncodeTensor(**at, call->response()->add_tensors());
  }
  call->Finish(absl::OkStatus());
}

// Hands a model's events to one client; what does not fit into its backlog is counted.
template <typename Stream>
class StreamWatcher final : public runtime::ModelWatcher {
 public:
  StreamWatcher(std::string model, std::weak_ptr<Stream> stream)
      : model_(std::move(model)), stream_(std::move(stream)) {}
  // One call at a time, as ModelWatcher promises.
  void OnEvent(const runtime::ModelEvent& event) override {
    const auto stream = stream_.lock();
    if (stream == nullptr) return;
    v1::ModelEvent out;
    EncodeEvent(model_, event, &out);
    out.set_dropped(dropped_);
    dropped_ = stream->TryWrite(std::move(out)) ? 0 : dropped_ + 1;
  }

 private:
  const std::string model_;
  const std::weak_ptr<Stream> stream_;
  uint64_t dropped_ = 0;
};

}  // namespace

WeightsService::WeightsService(runtime::Runtime* runtime, runtime::Clock* clock, runtime::Duration stage_idle_timeout)
    : runtime_(runtime),
      stage_options_{clock, stage_idle_timeout},
      watches_(static_cast<size_t>(runtime->options().limits.max_watches)),
      service_(runtime, stage_idle_timeout) {}

template <typename Req, typename Resp, typename Base>
void WeightsService::Unary(CompletionLoop* loop,
                           void (Base::*request)(grpc::ServerContext*, Req*, grpc::ServerAsyncResponseWriter<Resp>*,
                                                 grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
                           void (*handle)(runtime::Runtime*, const std::shared_ptr<UnaryCall<Req, Resp>>&)) {
  ServeUnary(loop, &service_, request, [this, handle](const std::shared_ptr<UnaryCall<Req, Resp>>& call) {
    if (absl::Status status = runtime_->CheckRestored(); !status.ok()) return call->Finish(status);
    handle(runtime_, call);
  });
}

void WeightsService::Serve(CompletionLoop* loop) {
  Unary(loop, &Async::RequestSetWeights, &Set);
  Unary(loop, &Async::RequestListModels, &List);
  Unary(loop, &Async::RequestGetModel, &Get);
  Unary(loop, &Async::RequestCommit, &Commit);
  Unary(loop, &Async::RequestRollback, &Rollback);
  ServeClientStream(loop, &service_, &Async::RequestStageMessages, stage_options_,
                    [this](BulkCalls::StageStream& stream, v1::StageWeightsResponse* response) {
                      return service_.Stage(stream, response);
                    });
  ServeServerStream(loop, &service_, &Async::RequestWatchModel, {.max_pending = kWatchBacklog},
                    [this](const std::shared_ptr<WatchStream>& stream) { Watch(stream); });
}

void WeightsService::Watch(const std::shared_ptr<WatchStream>& stream) {
  if (absl::Status status = runtime_->CheckRestored(); !status.ok()) return stream->Finish(status);
  const auto model = runtime_->weights().FindModel(stream->request().model());
  if (!model.ok()) return stream->Finish(model.status());
  if (absl::Status status = watches_.Add(stream); !status.ok()) return stream->Finish(status);
  const auto watcher = std::make_shared<StreamWatcher<WatchStream>>((*model)->name(), stream);
  (*model)->AddWatcher(watcher);
  // The callback holds the stream, and so the watch, until the client goes away or the daemon drains. It runs at
  // once if the client has gone already, hence after the watcher was added.
  stream->OnCancel([this, stream, watcher, model = *model] {
    model->RemoveWatcher(watcher.get());
    watches_.Remove(stream.get());
    stream->Finish(absl::CancelledError("the client went away"));
  });
}

void WeightsService::CloseStreams() {
  for (const auto& stream : watches_.Close()) stream->Finish(runtime::DrainingError());
}

}  // namespace bwrt::server
