#include "client/client.h"

#include <sys/random.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bwrt/v1/execution.grpc.pb.h"
#include "bwrt/v1/telemetry.grpc.pb.h"
#include "bwrt/v1/weights.grpc.pb.h"
#include "client/address.h"
#include "client/channel.h"
#include "client/status.h"
#include "client/streams.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace bwrt::client {
namespace {

using HealthResponse = grpc::health::v1::HealthCheckResponse;

std::string RandomId() {
  char bytes[16];
  // Cannot fail or fall short for so few bytes, except where the kernel lacks the call.
  if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
    const int64_t now = absl::GetCurrentTimeNanos();
    return absl::StrCat(now, "-", getpid());
  }
  return absl::BytesToHexString(absl::string_view(bytes, sizeof(bytes)));
}

void SetTimeout(absl::Duration timeout, grpc::ClientContext* context) {
  if (timeout == absl::InfiniteDuration()) return;
  context->set_deadline(absl::ToChronoTime(absl::Now() + timeout));
}

std::unique_ptr<grpc::ClientContext> StreamContext(const CallOptions& options) {
  auto context = std::make_unique<grpc::ClientContext>();
  SetTimeout(options.timeout.value_or(absl::InfiniteDuration()), context.get());
  return context;
}

// Without a timeout where none is given.
CallOptions Unhurried(CallOptions options) {
  if (!options.timeout.has_value()) options.timeout = absl::InfiniteDuration();
  return options;
}

// The longest the daemon may wait for the window before it answers.
absl::Duration WindowWait(const v1::SetWeightsRequest& request) {
  if (request.policy() != v1::WAIT_FOR_WINDOW) return absl::ZeroDuration();
  if (!request.has_wait_timeout()) return absl::Seconds(30);
  return absl::Seconds(request.wait_timeout().seconds());
}

}  // namespace

struct Client::Impl {
  Impl(std::string address, ClientOptions options)
      : address(std::move(address)),
        options(std::move(options)),
        channel(MakeChannel(this->address, this->options.max_send_bytes, this->options.max_receive_bytes)),
        execution(channel),
        weights(channel),
        telemetry(channel),
        health(channel) {}

  template <class Stub, class Request, class Response>
  absl::StatusOr<Response> Call(Stub& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request, const CallOptions& call) {
    grpc::ClientContext context;
    SetTimeout(call.timeout.value_or(options.default_timeout), &context);
    const CallHandle::Binding binding(call.handle, [&context] { context.TryCancel(); });
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (!status.ok()) return FromGrpcStatus(status);
    return response;
  }

  const std::string address;
  const ClientOptions options;
  const std::shared_ptr<grpc::Channel> channel;
  v1::Execution::Stub execution;
  v1::Weights::Stub weights;
  v1::Telemetry::Stub telemetry;
  grpc::health::v1::Health::Stub health;
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(std::string address, ClientOptions options) {
  if (absl::Status status = CheckAddress(address); !status.ok()) return status;
  if (options.client_id.empty()) options.client_id = RandomId();
  auto client = std::unique_ptr<Client>(new Client(std::make_unique<Impl>(std::move(address), std::move(options))));
  Impl& impl = *client->impl_;
  if (WaitUntilConnected(*impl.channel, impl.options.connect_timeout)) return client;
  // A channel does not say why it failed; a call on it does, at once.
  absl::Status why = client->CheckHealth("", {.timeout = absl::Milliseconds(100)}).status();
  if (why.ok()) return client;
  return absl::UnavailableError(absl::StrCat("no daemon answers at ", impl.address, ": ",
                                             absl::IsDeadlineExceeded(why) ? "no answer in time" : why.message()));
}

const std::string& Client::address() const { return impl_->address; }
const std::string& Client::client_id() const { return impl_->options.client_id; }

absl::StatusOr<v1::WaveResult> Client::SubmitWave(const v1::SubmitWaveRequest& request, const CallOptions& options) {
  return impl_->Call(impl_->execution, &v1::Execution::Stub::SubmitWave, request, options);
}

std::unique_ptr<WaveStream> Client::StreamWaves(const CallOptions& options) {
  return std::make_unique<GrpcWaveStream>(StreamContext(options), options.handle, [this](grpc::ClientContext* context) {
    return impl_->execution.StreamWaves(context);
  });
}

absl::StatusOr<v1::ValidateWaveResponse> Client::ValidateWave(const v1::SubmitWaveRequest& request,
                                                              const CallOptions& options) {
  return impl_->Call(impl_->execution, &v1::Execution::Stub::ValidateWave, request, options);
}

absl::StatusOr<v1::ModelTraversalsResponse> Client::ModelTraversals(const v1::ModelTraversalsRequest& request,
                                                                    const CallOptions& options) {
  return impl_->Call(impl_->execution, &v1::Execution::Stub::ModelTraversals, request, options);
}

std::unique_ptr<TuneWatch> Client::Tune(const v1::TuneRequest& request, const CallOptions& options) {
  return std::make_unique<GrpcWatch<v1::TuneResponse>>(
      StreamContext(options), options.handle,
      [&](grpc::ClientContext* context) { return impl_->execution.Tune(context, request); });
}

absl::StatusOr<v1::CancelWaveResponse> Client::CancelWave(const v1::CancelWaveRequest& request,
                                                          const CallOptions& options) {
  return impl_->Call(impl_->execution, &v1::Execution::Stub::CancelWave, request, options);
}

absl::StatusOr<v1::CancelWaveResponse> Client::CancelWave(absl::string_view wave_id, const CallOptions& options) {
  v1::CancelWaveRequest request;
  request.set_client_id(client_id());
  request.set_wave_id(std::string(wave_id));
  return CancelWave(request, options);
}

absl::StatusOr<v1::GetCapabilitiesResponse> Client::GetCapabilities(const CallOptions& options) {
  return impl_->Call(impl_->execution, &v1::Execution::Stub::GetCapabilities, v1::GetCapabilitiesRequest(), options);
}

absl::StatusOr<v1::SetWeightsResponse> Client::SetWeights(const v1::SetWeightsRequest& request,
                                                          const CallOptions& options) {
  CallOptions call = options;
  if (!call.timeout.has_value()) call.timeout = impl_->options.default_timeout + WindowWait(request);
  return impl_->Call(impl_->weights, &v1::Weights::Stub::SetWeights, request, call);
}

absl::StatusOr<v1::ListModelsResponse> Client::ListModels(const CallOptions& options) {
  return impl_->Call(impl_->weights, &v1::Weights::Stub::ListModels, v1::ListModelsRequest(), options);
}

absl::StatusOr<v1::GetModelResponse> Client::GetModel(const v1::GetModelRequest& request, const CallOptions& options) {
  return impl_->Call(impl_->weights, &v1::Weights::Stub::GetModel, request, options);
}

absl::StatusOr<v1::GetModelResponse> Client::GetModel(absl::string_view model, const CallOptions& options) {
  v1::GetModelRequest request;
  request.set_model(std::string(model));
  return GetModel(request, options);
}

std::unique_ptr<ModelWatch> Client::WatchModel(const v1::WatchModelRequest& request, const CallOptions& options) {
  return std::make_unique<GrpcWatch<v1::ModelEvent>>(
      StreamContext(options), options.handle,
      [&](grpc::ClientContext* context) { return impl_->weights.WatchModel(context, request); });
}

std::unique_ptr<ModelWatch> Client::WatchModel(absl::string_view model, const CallOptions& options) {
  v1::WatchModelRequest request;
  request.set_model(std::string(model));
  return WatchModel(request, options);
}

absl::StatusOr<v1::DeleteModelResponse> Client::DeleteModel(const v1::DeleteModelRequest& request,
                                                            const CallOptions& options) {
  return impl_->Call(impl_->weights, &v1::Weights::Stub::DeleteModel, request, options);
}

absl::StatusOr<v1::ReadTensorResponse> Client::ReadTensor(const v1::ReadTensorRequest& request,
                                                          const CallOptions& options) {
  return impl_->Call(impl_->weights, &v1::Weights::Stub::ReadTensor, request, options);
}

absl::StatusOr<v1::UpdateInfo> Client::BeginUpdate(const v1::BeginUpdateRequest& request, const CallOptions& options) {
  return impl_->Call(impl_->weights, &v1::Weights::Stub::BeginUpdate, request, options);
}

std::unique_ptr<StageStream> Client::StageWeights(const CallOptions& options) {
  return std::make_unique<GrpcStageStream>(StreamContext(options), options.handle,
                                           [this](grpc::ClientContext* context, v1::StageWeightsResponse* response) {
                                             return impl_->weights.StageWeights(context, response);
                                           });
}

std::unique_ptr<LoadWatch> Client::LoadFile(const v1::LoadFileRequest& request, const CallOptions& options) {
  return std::make_unique<GrpcWatch<v1::LoadFileProgress>>(
      StreamContext(options), options.handle,
      [&](grpc::ClientContext* context) { return impl_->weights.LoadFile(context, request); });
}

absl::StatusOr<v1::GetUpdateResponse> Client::GetUpdate(const v1::GetUpdateRequest& request,
                                                        const CallOptions& options) {
  return impl_->Call(impl_->weights, &v1::Weights::Stub::GetUpdate, request, options);
}

absl::StatusOr<v1::GetUpdateResponse> Client::GetUpdate(absl::string_view update_id, const CallOptions& options) {
  v1::GetUpdateRequest request;
  request.set_update_id(std::string(update_id));
  return GetUpdate(request, options);
}

absl::StatusOr<v1::ListUpdatesResponse> Client::ListUpdates(const CallOptions& options) {
  return impl_->Call(impl_->weights, &v1::Weights::Stub::ListUpdates, v1::ListUpdatesRequest(), options);
}

absl::StatusOr<v1::PrecommitResponse> Client::Precommit(absl::string_view update_id, const CallOptions& options) {
  v1::PrecommitRequest request;
  request.set_update_id(std::string(update_id));
  return impl_->Call(impl_->weights, &v1::Weights::Stub::Precommit, request, Unhurried(options));
}

absl::StatusOr<v1::CommitResponse> Client::Commit(const v1::CommitRequest& request, const CallOptions& options) {
  return impl_->Call(impl_->weights, &v1::Weights::Stub::Commit, request, Unhurried(options));
}

absl::StatusOr<v1::AbortResponse> Client::Abort(absl::string_view update_id, const CallOptions& options) {
  v1::AbortRequest request;
  request.set_update_id(std::string(update_id));
  return impl_->Call(impl_->weights, &v1::Weights::Stub::Abort, request, options);
}

absl::StatusOr<v1::RollbackResponse> Client::Rollback(const v1::RollbackRequest& request, const CallOptions& options) {
  return impl_->Call(impl_->weights, &v1::Weights::Stub::Rollback, request, Unhurried(options));
}

absl::StatusOr<v1::SampleResponse> Client::Sample(const v1::SampleRequest& request, const CallOptions& options) {
  return impl_->Call(impl_->telemetry, &v1::Telemetry::Stub::Sample, request, options);
}

absl::StatusOr<v1::ListPagesResponse> Client::ListPages(const v1::ListPagesRequest& request,
                                                        const CallOptions& options) {
  return impl_->Call(impl_->telemetry, &v1::Telemetry::Stub::ListPages, request, options);
}

std::unique_ptr<SampleWatch> Client::WatchSamples(const v1::WatchSamplesRequest& request, const CallOptions& options) {
  return std::make_unique<GrpcWatch<v1::SampleResponse>>(
      StreamContext(options), options.handle,
      [&](grpc::ClientContext* context) { return impl_->telemetry.WatchSamples(context, request); });
}

absl::StatusOr<HealthResponse> Client::CheckHealth(absl::string_view service, const CallOptions& options) {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(std::string(service));
  return impl_->Call(impl_->health, &grpc::health::v1::Health::Stub::Check, request, options);
}

std::unique_ptr<HealthWatch> Client::WatchHealth(absl::string_view service, const CallOptions& options) {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(std::string(service));
  return std::make_unique<GrpcWatch<HealthResponse>>(
      StreamContext(options), options.handle,
      [&](grpc::ClientContext* context) { return impl_->health.Watch(context, request); });
}

}  // namespace bwrt::client
