#include "server/run_daemon.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include "server/build_info.h"
#include "server/daemon.h"
#include "server/drain_signal.h"
#include "server/flags.h"
#include "server/grpc_log.h"
#include "server/log.h"

namespace bwrt::server {

int RunDaemon(int argc, const char* const* argv, runtime::Failpoints* failpoints, DeviceDecorator decorate) {
  BlockDrainSignals();
  auto flags = ParseFlags(argc, argv);
  if (!flags.ok()) {
    std::fprintf(stderr, "bwrtd: %s\n", std::string(flags.status().message()).c_str());
    return 2;
  }
  if (!flags->help.empty()) {
    std::fputs(flags->help.c_str(), stdout);
    return 0;
  }
  if (flags->version) {
    std::printf("bwrtd %s (%s, %s)\n", kVersion, kBuildMode, kCompiler);
    return 0;
  }
  LogOptions log;
  log.level = flags->process.log_level;
  InitLogging(log);
  RouteGrpcLog(log.level);

  auto daemon = Daemon::Start(*std::move(flags), failpoints, std::move(decorate));
  if (!daemon.ok()) {
    Log(LogLevel::kError, "can't start", {{"error", std::string(daemon.status().message())}});
    return 1;
  }
  const int signal = WaitForDrainSignal();
  Log(LogLevel::kInfo, "signal", {{"number", signal}});
  (*daemon)->Drain();
  // Everything is answered, closed and written. Destructors would only wait: gRPC's for up to 10 s, for a poller of its
  // own, the metrics server's for 2.
  std::fflush(nullptr);
  std::_Exit(0);
}

}  // namespace bwrt::server
