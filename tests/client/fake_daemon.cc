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
#include "tests/client/fake_status.h"
#include "tests/client/fake_updates.h"

namespace bwrt::client {
namespace {

google::rpc::Status TwoViolations() {
  return WithViolations(Reason(grpc::StatusCode::INVALID_ARGUMENT, "INVALID_WAVE"), {"spec.bk", "m"});
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
  if (request.model() == kShort) result->mutable_c()->pop_back();
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
    v1::Device* device = response->add_devices();
    device->set_name("cpu");
    device->set_cache("L3 of 32 MiB");
    device->set_cache_tiles(2);
    device->set_hardware_counters("none: no such event");
    response->mutable_build()->set_version("1.2.3");
    response->set_whitelist_digest("sha256:00");
    return grpc::Status::OK;
  }

 private:
  State& state_;
};

class Weights : public v1::Weights::Service {
 public:
  Weights(State& state, FakeUpdates& updates) : state_(state), updates_(updates) {}

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
      blocker->set_wave(static_cast<uint64_t>(closed->blockers_size()) + 16);
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
    if (request->model() == kLost) {
      response->mutable_summary()->set_lost(true);
      response->mutable_summary()->set_last_version(7);
    }
    updates_.ListKept(request->model(), response);
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

  grpc::Status BeginUpdate(grpc::ServerContext*, const v1::BeginUpdateRequest* request,
                           v1::UpdateInfo* response) override {
    return updates_.Begin(*request, response);
  }

  grpc::Status StageWeights(grpc::ServerContext*, grpc::ServerReader<v1::StageWeightsRequest>* reader,
                            v1::StageWeightsResponse* response) override {
    return updates_.Stage(*reader, response);
  }

  grpc::Status GetUpdate(grpc::ServerContext*, const v1::GetUpdateRequest* request,
                         v1::GetUpdateResponse* response) override {
    return updates_.Get(*request, response);
  }

  grpc::Status ListUpdates(grpc::ServerContext*, const v1::ListUpdatesRequest*,
                           v1::ListUpdatesResponse* response) override {
    return updates_.List(response);
  }

  grpc::Status Precommit(grpc::ServerContext*, const v1::PrecommitRequest* request,
                         v1::PrecommitResponse* response) override {
    return updates_.Precommit(request->update_id(), response);
  }

  grpc::Status Commit(grpc::ServerContext*, const v1::CommitRequest* request, v1::CommitResponse* response) override {
    return updates_.Commit(*request, response);
  }

  grpc::Status Abort(grpc::ServerContext*, const v1::AbortRequest* request, v1::AbortResponse* response) override {
    return updates_.Abort(request->update_id(), response);
  }

  grpc::Status Rollback(grpc::ServerContext*, const v1::RollbackRequest* request,
                        v1::RollbackResponse* response) override {
    return updates_.Rollback(*request, response);
  }

  grpc::Status DeleteModel(grpc::ServerContext*, const v1::DeleteModelRequest* request,
                           v1::DeleteModelResponse* response) override {
    return updates_.Delete(*request, response);
  }

  grpc::Status ReadTensor(grpc::ServerContext*, const v1::ReadTensorRequest* request,
                          v1::ReadTensorResponse* response) override {
    return updates_.Read(*request, response);
  }

  grpc::Status LoadFile(grpc::ServerContext*, const v1::LoadFileRequest* request,
                        grpc::ServerWriter<v1::LoadFileProgress>* writer) override {
    return updates_.Load(*request, *writer);
  }

 private:
  State& state_;
  FakeUpdates& updates_;
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
    response->mutable_readings()->mutable_l2_hit()->set_ratio(0.25);
    response->mutable_readings()->mutable_l2_hit()->set_source(v1::MODEL);
    response->mutable_readings()->mutable_l2_hit_hardware()->set_ratio(0.75);
    response->mutable_readings()->mutable_l2_hit_hardware()->set_source(v1::HARDWARE);
    response->mutable_readings()->mutable_wgmma_active_hardware()->set_ratio(0.625);
    response->mutable_readings()->mutable_wgmma_active_hardware()->set_source(v1::HARDWARE);
    response->mutable_readings()->mutable_dram_throughput()->set_ratio(0.125);
    response->mutable_readings()->mutable_dram_throughput()->set_source(v1::HARDWARE);
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
  Impl() : execution(state), weights(state, updates) {
    int port = 0;
    grpc::ServerBuilder builder;
    // Else the kernel may hand out the port of another test's server, and some connections go there.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
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
  FakeUpdates updates;
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
void FakeDaemon::BreakStages(int streams, int chunks, bool idle) { impl_->updates.BreakStages(streams, chunks, idle); }
std::vector<StagedChunk> FakeDaemon::staged() const { return impl_->updates.staged(); }

}  // namespace bwrt::client
