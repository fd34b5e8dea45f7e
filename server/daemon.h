// Daemon: the composition point: makes clock, device, runtime, services and server from the flags, and takes
// them down again in the right order.
//
// Used by one thread, main's.
#ifndef BWRT_SERVER_DAEMON_H_
#define BWRT_SERVER_DAEMON_H_

#include <grpcpp/server.h>
#include <prometheus/registry.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/executor.h"
#include "runtime/failpoints.h"
#include "runtime/root_directory.h"
#include "runtime/runtime.h"
#include "runtime/state/posix_files.h"
#include "runtime/state/state_store.h"
#include "runtime/system_clock.h"
#include "runtime/tuning/tune_problem.h"
#include "runtime/tuning/tuner.h"
#include "server/decision_log.h"
#include "server/device_decorator.h"
#include "server/flags.h"
#include "server/grpc_metrics.h"
#include "server/health_service.h"
#include "server/metrics_exposer.h"
#include "server/process_metrics.h"
#include "server/readiness.h"
#include "server/ready_file.h"
#include "server/rpc/completion_loop.h"
#include "server/runtime_metrics.h"
#include "server/services/execution_service.h"
#include "server/services/telemetry_service.h"
#include "server/services/weights_service.h"

namespace bwrt::server {

class Daemon {
 public:
  // Serves when it returns. Errors are the operator's to mend: an address in use, a file that is not there.
  // `failpoints` and `decorate` are null but in tests.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(Flags flags, runtime::Failpoints* failpoints = nullptr,
                                                       DeviceDecorator decorate = nullptr);

  // Stops answering at once whatever has not been drained.
  ~Daemon();

  // Health goes NOT_SERVING, new work is refused, admitted work finishes within the grace period; then the
  // server goes down. Blocks. Only destruction is left to do.
  void Drain();

 private:
  Daemon(Flags flags, runtime::Failpoints* failpoints, DeviceDecorator decorate);
  absl::Status OpenState();
  absl::Status StartRuntime();
  absl::Status StartServer();
  absl::Status StartMetrics();
  void Restore();
  absl::Status Tune();
  void StopServer();
  void OnDeviceState(const absl::Status& state);
  void OnCounters(const std::string& text, bool counting);

  const Flags flags_;
  runtime::Failpoints* const failpoints_;
  const DeviceDecorator decorate_;

  std::vector<runtime::TuneProblem> tune_problems_;  // Of --tune-at-start.
  // Of the device that was chosen.
  v1::Build build_;
  std::string device_choice_;

  // From the bottom up; destroyed in reverse.
  Readiness readiness_;
  std::atomic<bool> has_other_device_{false};  // Waves go on without the one that on_state tells of.
  std::unique_ptr<DecisionLog> decisions_;
  const std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  RuntimeMetrics runtime_metrics_{registry_.get()};
  runtime::SystemClock clock_;
  runtime::ThreadExecutor reclaim_;
  runtime::PosixFiles files_;
  std::unique_ptr<runtime::StateStore> state_;
  std::unique_ptr<runtime::RootDirectory> weights_root_;
  runtime::ThreadExecutor journal_;
  runtime::ThreadExecutor bulk_;
  std::unique_ptr<runtime::Runtime> runtime_;
  std::unique_ptr<runtime::Tuner> tuner_;
  std::unique_ptr<GrpcMetrics> grpc_metrics_;
  std::unique_ptr<HealthService> health_;
  std::unique_ptr<ExecutionService> execution_;
  std::unique_ptr<WeightsService> weights_;
  std::unique_ptr<TelemetryService> telemetry_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<CompletionLoop> loop_;
  std::vector<std::string> listening_;
  std::shared_ptr<ProcessMetrics> process_metrics_;
  std::shared_ptr<RuntimeGauges> gauges_;
  std::unique_ptr<MetricsExposer> exposer_;
  std::unique_ptr<ReadyFile> ready_file_;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_DAEMON_H_
