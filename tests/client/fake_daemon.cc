#include "tests/client/fake_daemon.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bwrt/v1/execution.grpc.pb.h"
#include "bwrt/v1/telemetry.grpc.pb.h"
#include "bwrt/v1/weights.grpc.pb.h"
#include "client/dtype.h"
#include "client/operands.h"
#include "client/reference.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace bwrt::client {
namespace {

grpc::Status WithDetails(const google::rpc::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), status.message(), status.SerializeAsString());
}

google::rpc::Status Reason(grpc::StatusCode code, const std::string& reason) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(absl::StrCat("refused: ", reason));
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("bwrt");
  status.add_details()->PackFrom(info);
  return status;
}

google::rpc::Status TwoViolations() {
  google::rpc::Status status = Reason(grpc::StatusCode::INVALID_ARGUMENT, "INVALID_WAVE");
  google::rpc::BadRequest bad_request;
  for (const char* field : {"spec.bk", "m"}) {
    auto* violation = bad_request.add_field_violations();
    violation->set_field(field);
    violation->set_reason("WRONG");
    violation->set_description(absl::StrCat(field, "=1: must be 2"));
  }
  status.add_details()->PackFrom(bad_request);
  return status;
}

google::rpc::Status QueueFull() {
  google::rpc::Status status = Reason(grpc::StatusCode::RESOURCE_EXHAUSTED, "QUEUE_FULL");
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_nanos(1'000'000);
  status.add_details()->PackFrom(retry);
  return status;
}

// What all services share.
struct State {
  std::atomic<int> cancelled = 0;
  std::atomic<int> hanging = 0;
  std::atomic<int> full = 2;

  grpc::Status Hang(grpc::ServerContext* context) {
    ++hanging;
    while (!context->IsCancelled()) absl::SleepFor(absl::Milliseconds(1));
    --hanging;
    ++cancelled;
    return grpc::Status::CANCELLED;
  }

  // The misbehaviour that a model's name asks for; OK for any other.
  grpc::Status Behave(grpc::ServerContext* context, const std::string& model) {
    if (model == kHangs) return Hang(context);
    if (model == kRefuses) return WithDetails(TwoViolations());
    if (model == kDrains) return WithDetails(Reason(grpc::StatusCode::UNAVAILABLE, "DRAINING"));
    if (model == kFull && full-- > 0) return WithDetails(QueueFull());
    return grpc::Status::OK;
  }
};

void FillEcho(const v1::SubmitWaveRequest& request, v1::TokenPlan* tokens, v1::EffectiveSpec* effective) {
  const WaveSpec& spec = request.spec();
  const auto tiles = [](int64_t size, int64_t tile) { return tile > 0 ? (size + tile - 1) / tile : 0; };
  const int64_t grid = tiles(request.m(), spec.bm()) * tiles(request.n(), spec.bn());
  const int64_t listed = spec.tile_order().empty() ? grid : spec.tile_order_size();
  tokens->set_prefetch_tokens(spec.io_extents_size());
  tokens->set_tile_tokens(listed);
  tokens->set_swap_begin(spec.swap_begin());
  tokens->set_swap_end(spec.swap_end() + (request.model() == kConfused ? 1 : 0));
  effective->set_device("cpu");
  effective->set_dtype(spec.dtype() == DTYPE_UNSPECIFIED ? F32 : spec.dtype());
  effective->set_tiles_listed(listed);
  effective->set_tiles_appended(grid - listed);
}

grpc::Status RunWave(v1::SubmitWaveRequest request, v1::WaveResult* result) {
  if (request.w().has_tensor()) {
    // Every tensor is the one that `random:5` publishes.
    request.mutable_w()->set_inline_(
        *RandomMatrix({.seed = 5, .wave = 0, .role = OperandStream::kW}, F32, request.k(), request.n()));
  }
  const auto c = ReferenceC(request);
  if (!c.ok()) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, std::string(c.status().message()));
  }
  const DType dtype = request.c_dtype() == DTYPE_UNSPECIFIED ? F32 : request.c_dtype();
  for (const double value : *c) {
    AppendElement(dtype, static_cast<float>(value), result->mutable_c());
  }
  if (request.model() == kWrong) result->mutable_c()->back() ^= 0x40;
  result->set_model(request.model());
  result->set_version(1);
  FillEcho(request, result->mutable_tokens(), result->mutable_effective());
  return grpc::Status::OK;
}

class Execution : public v1::Execution::Service {
 public:
  explicit Execution(State& state) : state_(state) {}

  grpc::Status SubmitWave(grpc::ServerContext* context, const v1::SubmitWaveRequest* request,
                          v1::WaveResult* result) override {
    if (grpc::Status status = state_.Behave(context, request->model()); !status.ok()) return status;
    return RunWave(*request, result);
  }

  grpc::Status StreamWaves(grpc::ServerContext* context,
                           grpc::ServerReaderWriter<v1::StreamWavesResponse, v1::StreamWavesRequest>* stream) override {
    v1::StreamWavesRequest request;
    while (stream->Read(&request)) {
      if (request.wave().model() == kHangs) return state_.Hang(context);
      v1::StreamWavesResponse response;
      response.set_sequence(request.sequence());
      if (request.wave().model() == kRefuses) {
        *response.mutable_error() = TwoViolations();
      } else {
        RunWave(request.wave(), response.mutable_result());
      }
      stream->Write(response);
    }
    if (context->IsCancelled()) ++state_.cancelled;
    return grpc::Status::OK;
  }

  grpc::Status ValidateWave(grpc::ServerContext* context, const v1::SubmitWaveRequest* request,
                            v1::ValidateWaveResponse* response) override {
    if (grpc::Status status = state_.Behave(context, request->model()); !status.ok()) return status;
    FillEcho(*request, response->mutable_tokens(), response->mutable_effective());
    return grpc::Status::OK;
  }

  grpc::Status CancelWave(grpc::ServerContext*, const v1::CancelWaveRequest* request,
                          v1::CancelWaveResponse* response) override {
    if (request->client_id().empty()) return WithDetails(TwoViolations());
    response->set_had_started(request->wave_id() == "started");
    return grpc::Status::OK;
  }

  grpc::Status GetCapabilities(grpc::ServerContext*, const v1::GetCapabilitiesRequest*,
                               v1::GetCapabilitiesResponse* response) override {
    response->add_devices()->set_name("cpu");
    response->mutable_build()->set_version("1.2.3");
    response->set_whitelist_digest("sha256:00");
    return grpc::Status::OK;
  }

 private:
  State& state_;
};

class Weights : public v1::Weights::Service {
 public:
  explicit Weights(State& state) : state_(state) {}

  grpc::Status SetWeights(grpc::ServerContext* context, const v1::SetWeightsRequest* request,
                          v1::SetWeightsResponse* response) override {
    if (grpc::Status status = state_.Behave(context, request->model()); !status.ok()) return status;
    response->set_model(request->model());
    response->set_previous_version(6);
    response->set_version(7);
    // The deadline the client allowed, which tests want to see.
    response->set_waited_seconds(
        std::chrono::duration<double>(context->deadline() - std::chrono::system_clock::now()).count());
    return grpc::Status::OK;
  }

  grpc::Status ListModels(grpc::ServerContext*, const v1::ListModelsRequest*,
                          v1::ListModelsResponse* response) override {
    response->add_models()->set_name("default");
    v1::ModelSummary* closed = response->add_models();
    closed->set_name("closed");
    for (const char* id : {"step-3", ""}) {
      v1::WindowClaim* blocker = closed->add_blockers();
      blocker->set_wave(static_cast<uint64_t>(16 + closed->blockers_size()));
      blocker->set_wave_id(id);
      blocker->set_swap_begin(4);
      blocker->set_swap_end(8);
      blocker->mutable_clock()->set_lo(2);
      blocker->mutable_clock()->set_hi(3);
    }
    return grpc::Status::OK;
  }

  grpc::Status GetModel(grpc::ServerContext* context, const v1::GetModelRequest* request,
                        v1::GetModelResponse* response) override {
    if (grpc::Status status = state_.Behave(context, request->model()); !status.ok()) return status;
    response->mutable_summary()->set_name(request->model());
    return grpc::Status::OK;
  }

  grpc::Status WatchModel(grpc::ServerContext* context, const v1::WatchModelRequest* request,
                          grpc::ServerWriter<v1::ModelEvent>* writer) override {
    for (const auto kind : {v1::ModelEvent::SNAPSHOT, v1::ModelEvent::VERSION}) {
      v1::ModelEvent event;
      event.set_kind(kind);
      event.set_model(request->model());
      writer->Write(event);
    }
    return state_.Behave(context, request->model());
  }

 private:
  State& state_;
};

class Telemetry : public v1::Telemetry::Service {
 public:
  grpc::Status Sample(grpc::ServerContext*, const v1::SampleRequest*, v1::SampleResponse* response) override {
    Fill(response);
    return grpc::Status::OK;
  }

  grpc::Status WatchSamples(grpc::ServerContext*, const v1::WatchSamplesRequest*,
                            grpc::ServerWriter<v1::SampleResponse>* writer) override {
    for (int i = 0; i < 3; ++i) {
      v1::SampleResponse response;
      Fill(&response);
      writer->Write(response);
    }
    return grpc::Status::OK;
  }

 private:
  static void Fill(v1::SampleResponse* response) {
    response->set_device("cpu");
    response->set_waves(3);
    response->mutable_readings()->mutable_wgmma_active()->set_ratio(0.5);
    response->mutable_readings()->mutable_wgmma_active()->set_source(v1::KERNEL);
    auto* advice = response->add_advice();
    advice->set_metric("wgmma_active");
    advice->set_ratio(0.5);
    advice->set_text("use larger tiles");
  }
};

class Health : public grpc::health::v1::Health::Service {
 public:
  grpc::Status Check(grpc::ServerContext*, const grpc::health::v1::HealthCheckRequest* request,
                     grpc::health::v1::HealthCheckResponse* response) override {
    if (!request->service().empty()) return grpc::Status(grpc::StatusCode::NOT_FOUND, "");
    response->set_status(grpc::health::v1::HealthCheckResponse::SERVING);
    return grpc::Status::OK;
  }
};

}  // namespace

struct FakeDaemon::Impl {
  Impl() : execution(state), weights(state) {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.SetMaxReceiveMessageSize(-1);
    builder.RegisterService(&execution);
    builder.RegisterService(&weights);
    builder.RegisterService(&telemetry);
    builder.RegisterService(&health);
    server = builder.BuildAndStart();
    address = absl::StrCat("127.0.0.1:", port);
  }
  // A deadline, or a call that nobody cancels would keep the test for ever.
  ~Impl() { server->Shutdown(std::chrono::system_clock::now()); }

  State state;
  Execution execution;
  Weights weights;
  Telemetry telemetry;
  Health health;
  std::string address;
  std::unique_ptr<grpc::Server> server;
};

FakeDaemon::FakeDaemon() : impl_(std::make_unique<Impl>()) {}
FakeDaemon::~FakeDaemon() = default;
const std::string& FakeDaemon::address() const { return impl_->address; }
int FakeDaemon::cancelled() const { return impl_->state.cancelled; }
int FakeDaemon::hanging() const { return impl_->state.hanging; }

}  // namespace bwrt::client
