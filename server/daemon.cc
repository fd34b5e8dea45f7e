#include "server/daemon.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <prometheus/gauge.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cpu_info.h"
#include "kernels/hardware_counters.h"
#include "runtime/cuda_plugin.h"
#include "runtime/prefetcher.h"
#include "server/build_info.h"
#include "server/drain_signal.h"
#include "server/host_memory.h"
#include "server/log.h"
#include "server/served_device.h"
#include "server/unix_socket_guard.h"

namespace bwrt::server {
namespace {

// To hand a wave to a lane and be woken costs some 20 to 50 us where the lane's thread sleeps (tests/bench/README.md).
constexpr runtime::Duration kRunHereBelow = std::chrono::microseconds(30);

constexpr char kExecution[] = "bwrt.v1.Execution";
constexpr char kWeights[] = "bwrt.v1.Weights";
constexpr char kTelemetry[] = "bwrt.v1.Telemetry";
constexpr char kHealth[] = "grpc.health.v1.Health";

absl::StatusOr<runtime::TileWhitelist> LoadWhitelist(const std::string& path) {
  if (path.empty()) return runtime::TileWhitelist::Default();
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return absl::NotFoundError(absl::StrCat("--tile-whitelist=", path, ": can't be read"));
  auto whitelist = runtime::TileWhitelist::Parse(text.str());
  if (!whitelist.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--tile-whitelist=", path, ": ", whitelist.status().message()));
  }
  return whitelist;
}

// Beside the weights, in a file that the state directory leaves alone.
std::string CalibrationPath(const std::string& state_dir) {
  return state_dir.empty() ? std::string() : absl::StrCat(state_dir, "/calibration.json");
}

std::string TuningPath(const std::string& state_dir) {
  return state_dir.empty() ? std::string() : absl::StrCat(state_dir, "/tuning.json");
}

absl::StatusOr<std::vector<runtime::TuneProblem>> LoadTuneProblems(const std::string& path) {
  if (path.empty()) return std::vector<runtime::TuneProblem>();
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return absl::NotFoundError(absl::StrCat("--tune-at-start=", path, ": can't be read"));
  auto problems = runtime::ParseTuneProblems(text.str());
  if (!problems.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--tune-at-start=", path, ": ", problems.status().message()));
  }
  return problems;
}

v1::Build BuildInfo(const std::string& cuda_plugin) {
  v1::Build build;
  build.set_version(kVersion);
  build.set_compiler(kCompiler);
  build.set_mode(kBuildMode);
  build.set_cuda_plugin(cuda_plugin);
  return build;
}

}  // namespace

Daemon::Daemon(Flags flags, runtime::Failpoints* failpoints, DeviceDecorator decorate)
    : flags_(std::move(flags)), failpoints_(failpoints), decorate_(std::move(decorate)) {}

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(Flags flags, runtime::Failpoints* failpoints,
                                                      DeviceDecorator decorate) {
  std::unique_ptr<Daemon> daemon(new Daemon(std::move(flags), failpoints, std::move(decorate)));
  auto problems = LoadTuneProblems(daemon->flags_.waves.tune_file);
  if (!problems.ok()) return problems.status();
  daemon->tune_problems_ = *std::move(problems);
  const std::string& ready = daemon->flags_.process.ready_file;
  if (!ready.empty()) {
    if (absl::Status status = ReadyFile::RemoveStale(ready); !status.ok()) return status;
  }
  if (absl::Status status = daemon->OpenState(); !status.ok()) return status;
  if (absl::Status status = daemon->StartRuntime(); !status.ok()) return status;
  if (absl::Status status = daemon->StartServer(); !status.ok()) return status;
  if (absl::Status status = daemon->StartMetrics(); !status.ok()) return status;
  // Health answers, with NOT_SERVING, while the weights are read back.
  daemon->Restore();
  if (absl::Status status = daemon->Tune(); !status.ok()) return status;
  daemon->readiness_.Start([health = daemon->health_.get()](bool serving) { health->SetServing(serving); });
  if (!ready.empty()) {
    auto file = ReadyFile::Create(ready, daemon->listening_,
                                  daemon->exposer_ == nullptr ? std::string() : daemon->exposer_->address().ToString());
    if (!file.ok()) return file.status();
    daemon->ready_file_ = *std::move(file);
  }
  for (const std::string& address : daemon->listening_) Log(LogLevel::kInfo, "serving", {{"address", address}});
  return daemon;
}

absl::Status Daemon::OpenState() {
  if (!flags_.weights.root.empty()) {
    auto root = runtime::RootDirectory::Open(flags_.weights.root);
    if (!root.ok()) return absl::NotFoundError(absl::StrCat("--weights-root: ", root.status().message()));
    weights_root_ = *std::move(root);
  }
  if (flags_.weights.state_dir.empty()) return absl::OkStatus();
  runtime::StateStore::Options options;
  options.dir = flags_.weights.state_dir;
  options.keep_versions = static_cast<int>(flags_.weights.keep_versions);
  options.failpoints = failpoints_;
  auto state = runtime::StateStore::Open(options, &files_);
  if (!state.ok()) {
    return absl::Status(state.status().code(),
                        absl::StrCat("--state-dir=", flags_.weights.state_dir, ": ", state.status().message()));
  }
  state_ = *std::move(state);
  return absl::OkStatus();
}

void Daemon::Restore() {
  if (state_ == nullptr) return;
  Log(LogLevel::kInfo, "restoring", {{"directory", flags_.weights.state_dir}});
  const runtime::Time begin = clock_.Now();
  for (const std::string& note : runtime_->Restore()) Log(LogLevel::kWarning, "state directory", {{"note", note}});
  Log(LogLevel::kInfo, "restored",
      {{"bytes", runtime_->GetGauges().weights.committed},
       {"seconds", absl::StrCat(runtime::Seconds(clock_.Now() - begin))}});
}

// Every device that waves can run on, as far as nothing was kept. What fails there is no reason not to serve.
absl::Status Daemon::Tune() {
  if (tune_problems_.empty()) return absl::OkStatus();
  runtime::TuneOrder order;
  order.problems = tune_problems_;
  order.only_missing = true;
  for (const auto& device : runtime_->Devices()) {
    order.device = device.info->name;
    Log(LogLevel::kInfo, "tuning", {{"device", order.device}, {"shapes", order.problems.size()}});
    const runtime::TuneListener listener = {
        .on_progress = [](size_t /*problem*/, size_t /*done*/, size_t /*of*/) {},
        .on_result =
            [&](size_t problem, const runtime::TuneResult& result) {
              Log(LogLevel::kInfo, "tuned",
                  {{"device", order.device},
                   {"shape", runtime::ToString(order.problems[problem])},
                   {"tile", runtime::ToString(result.winner.shape)},
                   {"kernel", result.winner.kernel},
                   {"seconds", absl::StrCat(runtime::Seconds(result.winner.median))},
                   {"kept", result.kept}});
            },
        .cancelled = DrainSignalPending,
    };
    const absl::Status status = tuner_->Tune(order, listener);
    if (absl::IsInvalidArgument(status)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--tune-at-start=", flags_.waves.tune_file, ": ", status.message()));
    }
    if (!status.ok()) {
      Log(LogLevel::kWarning, "not tuned", {{"device", order.device}, {"error", std::string(status.message())}});
    }
  }
  return absl::OkStatus();
}

absl::Status Daemon::StartRuntime() {
  const kernels::CpuInfo cpu = kernels::Probe();
  const auto one_each = [&](uint64_t flag, uint64_t most) {
    return static_cast<int>(flag != 0 ? flag : std::clamp<uint64_t>(static_cast<uint64_t>(cpu.cores), 1, most));
  };
  const auto counters = kernels::HardwareCounters::Create(cpu, kernels::PerfEvents::System());
  auto served = ChooseDevice(
      flags_.waves, {.cpu = cpu,
                     .cpu_threads = one_each(flags_.waves.cpu_threads, kMaxCpuThreads),
                     .counters = counters,
                     .clock = &clock_,
                     .on_state = [this](const absl::Status& state) { OnDeviceState(state); },
                     .on_counters = [this](const std::string& text, bool counting) { OnCounters(text, counting); },
                     .load_cuda = runtime::CudaPlugin::Load,
                     .calibration_file = CalibrationPath(flags_.weights.state_dir)});
  if (!served.ok()) return served.status();
  has_other_device_.store(served->has_other);
  // A GPU that failed while it was measured is not served.
  readiness_.SetDevice(true);
  if (!flags_.waves.decision_log.empty()) {
    auto decisions = DecisionLog::Open(flags_.waves.decision_log);
    if (!decisions.ok()) return decisions.status();
    decisions_ = *std::move(decisions);
    runtime_metrics_.SetDecisionLog(decisions_.get());
  }
  build_ = BuildInfo(served->cuda_plugin);
  device_choice_ = served->why;
  std::unique_ptr<runtime::Device> device = std::move(served->device);
  Log(LogLevel::kInfo, "device chosen", {{"device", device->info().name}, {"reason", device_choice_}});
  if (const std::string& counted = device->info().hardware_counters; !counted.empty()) {
    Log(LogLevel::kInfo, "hardware counters", {{"counted", counted}});
  }
  if (decorate_) device = decorate_(std::move(device));
  auto whitelist = LoadWhitelist(flags_.waves.tile_whitelist_file);
  if (!whitelist.ok()) return whitelist.status();

  runtime::RuntimeOptions options;
  options.whitelist = *std::move(whitelist);
  options.lenient_shapes = flags_.waves.lenient_shapes;
  options.lanes = one_each(flags_.waves.lanes, kMaxLanes);
  options.run_here_below = kRunHereBelow;
  options.weights.swaps.allow_when_idle = flags_.weights.allow_when_idle;
  options.weights.swaps.max_hold = flags_.weights.max_hold;
  options.weights.swaps.max_pause = flags_.weights.max_pause;
  options.weights.keep_versions = static_cast<int>(flags_.weights.keep_versions);
  options.weights.stage_bandwidth = static_cast<int64_t>(flags_.weights.stage_bandwidth);
  options.weights.state_directory = flags_.weights.state_dir;
  options.limits.max_message_bytes = static_cast<int64_t>(flags_.rpc.max_message_bytes);
  options.limits.max_models = static_cast<int64_t>(flags_.weights.max_models);
  options.limits.queue_waves = static_cast<int64_t>(flags_.waves.queue_waves);
  options.limits.queue_bytes = static_cast<int64_t>(flags_.waves.queue_bytes);
  if (flags_.weights.memory_limit != 0) {
    options.limits.weight_bytes = static_cast<int64_t>(flags_.weights.memory_limit);
  } else {
    // What is staged lies in the host's memory first, whatever the device.
    options.limits.weight_bytes = static_cast<int64_t>(HostMemoryBytes() / 2);
    if (served->weight_memory) {
      options.limits.weight_bytes = std::min(options.limits.weight_bytes, served->weight_memory->value());
    }
  }
  std::unique_ptr<runtime::Prefetcher> prefetcher;
  if (flags_.waves.pages) {
    auto source = runtime::PageSource::Create(*flags_.waves.pages);
    if (!source.ok()) return source.status();
    prefetcher = std::make_unique<runtime::Prefetcher>(
        *std::move(source), runtime::MakePageReader(),
        runtime::Bytes(static_cast<int64_t>(flags_.waves.page_cache_bytes)), &clock_);
    Log(LogLevel::kInfo, "pages", {{"root", flags_.waves.pages->root}, {"reader", prefetcher->reader_name()}});
  }
  runtime::RuntimeContext context;
  context.clock = &clock_;
  context.bulk = &bulk_;
  context.reclaim = &reclaim_;
  context.journal = &journal_;
  context.observer = &runtime_metrics_;
  context.state = state_.get();
  context.root = weights_root_.get();
  context.failpoints = failpoints_;
  runtime_ = std::make_unique<runtime::Runtime>(std::move(options), std::move(device), context, std::move(prefetcher));
  tuner_ = std::make_unique<runtime::Tuner>(runtime_.get(), &clock_, TuningPath(flags_.weights.state_dir),
                                            [](const std::string& note) {
                                              Log(LogLevel::kWarning, "tuning", {{"note", note}});
                                            });
  tuner_->Restore();
  return absl::OkStatus();
}

void Daemon::OnDeviceState(const absl::Status& state) {
  if (state.ok()) {
    Log(LogLevel::kInfo, "device back in service");
  } else {
    Log(LogLevel::kError, "device out of service",
        {{"error", std::string(state.message())},
         {"next", flags_.waves.cuda.recreate ? "its context is made anew" : "restart bwrtd, or use --cuda-recreate"},
         {"serving", has_other_device_.load()}});
  }
  readiness_.SetDevice(state.ok() || has_other_device_.load());
}

void Daemon::OnCounters(const std::string& text, bool counting) {
  // That there are none is a warning where somebody asked for them.
  const bool asked = flags_.waves.cuda.counters != GpuCounters::kAuto;
  Log(asked && !counting ? LogLevel::kWarning : LogLevel::kInfo, "GPU counters", {{"counted", text}});
}

absl::Status Daemon::StartServer() {
  std::vector<ListenAddress> addresses = flags_.rpc.listen;
  if (addresses.empty()) {
    auto address = DefaultListenAddress(geteuid(), std::getenv("XDG_RUNTIME_DIR"));
    if (!address.ok()) return address.status();
    if (absl::Status status = CreateRuntimeDirectory(*address); !status.ok()) return status;
    addresses.push_back(*std::move(address));
  }
  for (const ListenAddress& address : addresses) {
    if (absl::Status status = CheckExposure(address, flags_.rpc.insecure_listen); !status.ok()) return status;
  }

  const std::vector<std::string> services = {kExecution, kWeights, kTelemetry};
  std::vector<std::string> counted = services;
  counted.emplace_back(kHealth);
  grpc_metrics_ = std::make_unique<GrpcMetrics>(registry_.get(), counted);
  health_ = std::make_unique<HealthService>(services);
  execution_ = std::make_unique<ExecutionService>(runtime_.get(), tuner_.get(), build_, device_choice_);
  weights_ = std::make_unique<WeightsService>(runtime_.get(), &clock_, flags_.weights.stage_idle_timeout);
  telemetry_ = std::make_unique<TelemetryService>(runtime_.get(), &clock_);

  // Reflection must be there before the builder: without it grpcurl can't list anything.
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  for (grpc::Service* service :
       {execution_->service(), weights_->service(), telemetry_->service(), health_->service()}) {
    builder.RegisterService(service);
  }
  std::vector<int> ports(addresses.size(), -1);
  for (size_t i = 0; i < addresses.size(); ++i) {
    builder.AddListeningPort(addresses[i].ToString(), grpc::InsecureServerCredentials(), &ports[i]);
  }
  builder.SetMaxReceiveMessageSize(static_cast<int>(flags_.rpc.max_message_bytes));
  // The receive limit does not bound what a compressed message grows to.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  // A port in use is an error, not a share of its connections.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A client that is gone without a word is noticed, and one that pings without pause is dropped.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  // Reflection is a synchronous service; its poller would otherwise sleep up to 10 s, and a shutdown with it.
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::CQ_TIMEOUT_MSEC, 100);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(grpc_metrics_->InterceptorFactory());
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  loop_ = std::make_unique<CompletionLoop>(builder.AddCompletionQueue());
  {
    auto guard = UnixSocketGuard::Create(addresses);
    if (!guard.ok()) return guard.status();
    server_ = builder.BuildAndStart();
  }
  if (server_ == nullptr) {
    std::string all;
    for (const ListenAddress& address : addresses) absl::StrAppend(&all, all.empty() ? "" : ", ", address.ToString());
    return absl::UnavailableError(
        absl::StrCat("can't listen on ", all, ": an address is in use or not allowed (see the log above)"));
  }
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (addresses[i].kind == ListenAddress::Kind::kTcp) addresses[i].port = ports[i];
    listening_.push_back(addresses[i].ToString());
  }
  execution_->Serve(loop_.get());
  weights_->Serve(loop_.get());
  telemetry_->Serve(loop_.get());
  health_->Serve(loop_.get());
  loop_->Start();
  return absl::OkStatus();
}

absl::Status Daemon::StartMetrics() {
  prometheus::BuildGauge()
      .Name("bwrt_build_info")
      .Help("1; the labels say what is running.")
      .Register(*registry_)
      .Add({{"version", kVersion}, {"compiler", kCompiler}, {"mode", kBuildMode}})
      .Set(1);
  if (!flags_.metrics.address) return absl::OkStatus();
  if (absl::Status status = CheckExposure(*flags_.metrics.address, flags_.rpc.insecure_listen); !status.ok()) {
    return status;
  }
  auto exposer = MetricsExposer::Create(*flags_.metrics.address);
  if (!exposer.ok()) return exposer.status();
  exposer_ = *std::move(exposer);
  process_metrics_ = std::make_shared<ProcessMetrics>();
  gauges_ = std::make_shared<RuntimeGauges>(runtime_.get());
  exposer_->Register(registry_);
  exposer_->Register(process_metrics_);
  exposer_->Register(gauges_);
  Log(LogLevel::kInfo, "metrics", {{"address", exposer_->address().ToString()}});
  return absl::OkStatus();
}

void Daemon::Drain() {
  Log(LogLevel::kInfo, "draining");
  readiness_.SetDraining();
  weights_->CloseStreams();
  telemetry_->CloseStreams();
  execution_->CloseStreams();
  if (!runtime_->Drain(flags_.process.grace_period)) {
    Log(LogLevel::kWarning, "grace period over: what was still running was cancelled");
  }
  health_->CloseWatches();
  // A client that is still writing to a stream when its connection closes sees a broken pipe rather than the status it
  // was sent; this is its moment to read it.
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  StopServer();
  if (decisions_ != nullptr) decisions_->Flush();
  Log(LogLevel::kInfo, "drained");
}

void Daemon::StopServer() {
  ready_file_.reset();
  if (server_ != nullptr) {
    // What is answered by now gets its moment to be sent; the rest is cut off.
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  }
  if (loop_ != nullptr) loop_->Stop();
}

Daemon::~Daemon() {
  readiness_.Stop();
  StopServer();
  exposer_.reset();
}

}  // namespace bwrt::server
