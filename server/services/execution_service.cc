#include "server/services/execution_service.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <string>
#include <utility>

#include "server/rpc/bidi_call.h"
#include "server/rpc/unary_call.h"
#include "server/services/wave_codec.h"

namespace bwrt::server {
namespace {

constexpr size_t kMaxWaveStreams = 1024;
constexpr size_t kMaxPreviewTiles = 65536;

using SubmitCall = UnaryCall<v1::SubmitWaveRequest, v1::WaveResult>;
using ValidateCall = UnaryCall<v1::SubmitWaveRequest, v1::ValidateWaveResponse>;
using CancelCall = UnaryCall<v1::CancelWaveRequest, v1::CancelWaveResponse>;
using CapabilitiesCall = UnaryCall<v1::GetCapabilitiesRequest, v1::GetCapabilitiesResponse>;

void Submit(runtime::Runtime* runtime, const std::shared_ptr<SubmitCall>& call) {
  runtime::WaveRequest request = DecodeWave(call->request(), call);
  request.deadline = call->deadline();
  auto ticket = runtime->Submit(std::move(request),
                                [call](const runtime::Wave& wave, absl::StatusOr<runtime::WaveResult> result) {
                                  if (!result.ok()) return call->Finish(result.status());
                                  EncodeResult(wave, *std::move(result), call->response());
                                  call->Finish(absl::OkStatus());
                                });
  if (!ticket.ok()) return call->Finish(ticket.status());
  call->OnCancel([runtime, ticket = *std::move(ticket)] { runtime->Cancel(ticket); });
}

void Validate(runtime::Runtime* runtime, const std::shared_ptr<ValidateCall>& call) {
  const auto preview = runtime->Validate(DecodeWave(call->request(), call));
  if (!preview.ok()) return call->Finish(preview.status());
  EncodeTokens(preview->wave, call->response()->mutable_tokens());
  EncodeEffective(preview->wave, preview->effective, call->response()->mutable_effective());
  const auto& order = preview->wave.traversal.order;
  for (size_t i = 0; i < std::min(order.size(), kMaxPreviewTiles); ++i) {
    TileCoord* tile = call->response()->add_order();
    tile->set_m(order[i].m);
    tile->set_n(order[i].n);
    if (preview->wave.traversal.IsAppended(i)) call->response()->add_appended(static_cast<uint32_t>(i));
  }
  call->Finish(absl::OkStatus());
}

void Cancel(runtime::Runtime* runtime, const std::shared_ptr<CancelCall>& call) {
  const auto started = runtime->CancelWave(call->request().client_id(), call->request().wave_id());
  if (started.ok()) call->response()->set_had_started(*started);
  call->Finish(started.status());
}

v1::GetCapabilitiesResponse Describe(const runtime::Runtime& runtime, v1::Build build, std::string device_choice) {
  v1::GetCapabilitiesResponse caps;
  for (const auto& device : runtime.Devices()) {
    v1::Device* out = caps.add_devices();
    out->set_name(device.info->name);
    out->set_description(device.info->description);
    for (const kernels::DType dtype : device.info->dtypes) out->add_dtypes(EncodeDType(dtype));
    out->set_lanes(static_cast<uint32_t>(device.lanes));
    for (const std::string& kernel : device.info->kernels) out->add_kernels(kernel);
    for (const auto& [name, version] : device.info->versions) {
      v1::ComponentVersion* component = out->add_components();
      component->set_component(name);
      component->set_version(version);
    }
    out->set_cache(device.info->cache.name);
    out->set_cache_bytes(static_cast<uint64_t>(device.info->cache.bytes));
    out->set_cache_tiles(static_cast<uint32_t>(device.info->cache.bytes > 0 ? device.info->cache.tiles : 0));
  }
  const runtime::TileWhitelist& whitelist = runtime.validator().whitelist();
  for (const runtime::TileShape& shape : whitelist.shapes()) {
    v1::TileShape* out = caps.add_tile_whitelist();
    out->set_bm(shape.bm);
    out->set_bn(shape.bn);
    out->set_bk(shape.bk);
    out->set_stage_n(shape.stage);
    out->mutable_cluster_shape()->set_x(shape.cluster_x);
    out->mutable_cluster_shape()->set_y(shape.cluster_y);
  }
  caps.set_whitelist_digest(whitelist.digest());
  caps.set_lenient_shapes(runtime.validator().lenient());
  const runtime::Limits& limits = runtime.validator().limits();
  v1::Limits* out = caps.mutable_limits();
  out->set_max_message_bytes(static_cast<uint64_t>(limits.max_message_bytes));
  out->set_max_dim(static_cast<uint64_t>(limits.max_dim));
  out->set_max_tiles(static_cast<uint64_t>(limits.max_tiles));
  out->set_max_listed_tiles(static_cast<uint64_t>(limits.max_listed_tiles));
  out->set_max_io_extents(static_cast<uint64_t>(limits.max_io_extents));
  out->set_max_pack_order(static_cast<uint64_t>(limits.max_pack_order));
  out->set_max_tensors(static_cast<uint64_t>(limits.max_tensors));
  out->set_max_tensor_dims(static_cast<uint64_t>(limits.max_tensor_dims));
  out->set_max_models(static_cast<uint64_t>(limits.max_models));
  out->set_queue_waves(static_cast<uint64_t>(limits.queue_waves));
  out->set_queue_bytes(static_cast<uint64_t>(limits.queue_bytes));
  out->set_weight_bytes(static_cast<uint64_t>(limits.weight_bytes));
  *caps.mutable_build() = std::move(build);
  caps.set_device_choice(std::move(device_choice));
  return caps;
}

}  // namespace

ExecutionService::ExecutionService(runtime::Runtime* runtime, runtime::Tuner* tuner, v1::Build build,
                                   std::string device_choice)
    : runtime_(runtime),
      capabilities_(Describe(*runtime, std::move(build), std::move(device_choice))),
      streams_(kMaxWaveStreams),
      service_(runtime, tuner) {}

void ExecutionService::Async::RequestStreamWaveBytes(
    grpc::ServerContext* context, grpc::ServerAsyncReaderWriter<v1::StreamWavesResponse, grpc::ByteBuffer>* stream,
    grpc::CompletionQueue* call_queue, grpc::ServerCompletionQueue* notification_queue, void* tag) {
  // gRPC counts methods as the proto lists them.
  static const int index =
      google::protobuf::DescriptorPool::generated_pool()->FindMethodByName("bwrt.v1.Execution.StreamWaves")->index();
  RequestAsyncBidiStreaming(index, context, stream, call_queue, notification_queue, tag);
}

void ExecutionService::Serve(CompletionLoop* loop) {
  ServeUnary(loop, &service_, &Async::RequestSubmitWave,
             [this](const std::shared_ptr<SubmitCall>& call) { Submit(runtime_, call); });
  ServeUnary(loop, &service_, &Async::RequestValidateWave,
             [this](const std::shared_ptr<ValidateCall>& call) { Validate(runtime_, call); });
  ServeUnary(loop, &service_, &Async::RequestCancelWave,
             [this](const std::shared_ptr<CancelCall>& call) { Cancel(runtime_, call); });
  ServeUnary(loop, &service_, &Async::RequestGetCapabilities, [this](const std::shared_ptr<CapabilitiesCall>& call) {
    *call->response() = capabilities_;
    // Counters can fail and come back.
    const auto devices = runtime_->Devices();
    for (size_t i = 0; i < devices.size(); ++i) {
      call->response()->mutable_devices(static_cast<int>(i))->set_hardware_counters(devices[i].hardware_counters);
    }
    call->Finish(absl::OkStatus());
  });
  ServeBidi(
      loop, &service_, &Async::RequestStreamWaveBytes, {.max_pending = WaveStream::kMaxInFlight},
      [this](const std::shared_ptr<WaveStream::Stream>& stream) -> std::shared_ptr<StreamReader<grpc::ByteBuffer>> {
        auto reader =
            std::make_shared<WaveStream>(stream, runtime_, [this](const WaveStream* ended) { streams_.Remove(ended); });
        if (absl::Status status = streams_.Add(reader); !status.ok()) {
          stream->Finish(status);
          return reader;
        }
        reader->Start();
        return reader;
      });
}

void ExecutionService::CloseStreams() {
  for (const auto& stream : streams_.Close()) stream->Close();
}

}  // namespace bwrt::server
