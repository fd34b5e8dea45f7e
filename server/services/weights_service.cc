#include "server/services/weights_service.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/drain.h"
#include "runtime/error.h"
#include "runtime/violations.h"
#include "server/rpc/unary_call.h"
#include "server/services/model_codec.h"

namespace bwrt::server {
namespace {

constexpr uint32_t kDefaultTensors = 1000;
constexpr uint32_t kMaxTensors = 10'000;
constexpr size_t kWatchBacklog = 256;  // Events kept for a slow reader.

using SetCall = UnaryCall<v1::SetWeightsRequest, v1::SetWeightsResponse>;
using ListCall = UnaryCall<v1::ListModelsRequest, v1::ListModelsResponse>;
using GetCall = UnaryCall<v1::GetModelRequest, v1::GetModelResponse>;

void Set(runtime::Runtime* runtime, const std::shared_ptr<SetCall>& call) {
  auto swap =
      runtime->SetWeights(DecodeSetWeights(call->TakeRequest()), [call](absl::StatusOr<runtime::SwapResult> result) {
        if (result.ok()) EncodeSwapResult(*result, call->response());
        call->Finish(result.status());
      });
  if (!swap.ok()) return call->Finish(swap.status());
  // Weak: the swap's callback owns the call.
  call->OnCancel([swap = std::weak_ptr<runtime::WeightSwap>(*swap)] {
    if (const auto pending = swap.lock()) {
      pending->Cancel(runtime::MakeError(absl::StatusCode::kCancelled, "CANCELLED",
                                         "the client went away before the swap; nothing changed"));
    }
  });
}

void List(const runtime::Runtime& runtime, const std::shared_ptr<ListCall>& call) {
  for (const auto& model : runtime.Models()) {
    EncodeSummary(model->name(), model->GetStatus(), call->response()->add_models());
  }
  call->Finish(absl::OkStatus());
}

void Get(const runtime::Runtime& runtime, const std::shared_ptr<GetCall>& call) {
  const v1::GetModelRequest& request = call->request();
  if (request.max_tensors() > kMaxTensors) {
    runtime::Violations bad;
    bad.Add("max_tensors", "OUT_OF_RANGE", request.max_tensors(), "at most ", kMaxTensors, "; page with tensors_after");
    return call->Finish(bad.Take("request"));
  }
  const auto model = runtime.FindModel(request.model());
  if (!model.ok()) return call->Finish(model.status());
  const runtime::ModelStatus status = (*model)->GetStatus();
  EncodeSummary((*model)->name(), status, call->response()->mutable_summary());
  EncodeWindow(status.window, call->response()->mutable_window());
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

WeightsService::WeightsService(runtime::Runtime* runtime)
    : runtime_(runtime), watches_(static_cast<size_t>(runtime->options().limits.max_watches)) {}

void WeightsService::Serve(CompletionLoop* loop) {
  using Async = v1::Weights::AsyncService;
  ServeUnary(loop, &service_, &Async::RequestSetWeights,
             [this](const std::shared_ptr<SetCall>& call) { Set(runtime_, call); });
  ServeUnary(loop, &service_, &Async::RequestListModels,
             [this](const std::shared_ptr<ListCall>& call) { List(*runtime_, call); });
  ServeUnary(loop, &service_, &Async::RequestGetModel,
             [this](const std::shared_ptr<GetCall>& call) { Get(*runtime_, call); });
  ServeServerStream(loop, &service_, &Async::RequestWatchModel, {.max_pending = kWatchBacklog},
                    [this](const std::shared_ptr<WatchStream>& stream) { Watch(stream); });
}

void WeightsService::Watch(const std::shared_ptr<WatchStream>& stream) {
  const auto model = runtime_->FindModel(stream->request().model());
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
