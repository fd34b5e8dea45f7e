// bwrtd: see README.md for what it does and --help for its flags.
//
// Exit status: 0 after a drain, 1 when it can't serve, 2 for a wrong command line.

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

int main(int argc, char** argv) {
  using bwrt::server::Log;
  using bwrt::server::LogLevel;

  bwrt::server::BlockDrainSignals();
  auto flags = bwrt::server::ParseFlags(argc, argv);
  if (!flags.ok()) {
    std::fprintf(stderr, "bwrtd: %s\n", std::string(flags.status().message()).c_str());
    return 2;
  }
  if (!flags->help.empty()) {
    std::fputs(flags->help.c_str(), stdout);
    return 0;
  }
  if (flags->version) {
    std::printf("bwrtd %s (%s, %s)\n", bwrt::server::kVersion, bwrt::server::kBuildMode, bwrt::server::kCompiler);
    return 0;
  }
  bwrt::server::LogOptions log;
  log.level = flags->process.log_level;
  bwrt::server::InitLogging(log);
  bwrt::server::RouteGrpcLog(log.level);

  auto daemon = bwrt::server::Daemon::Start(*std::move(flags));
  if (!daemon.ok()) {
    Log(LogLevel::kError, "can't start", {{"error", std::string(daemon.status().message())}});
    return 1;
  }
  const int signal = bwrt::server::WaitForDrainSignal();
  Log(LogLevel::kInfo, "signal", {{"number", signal}});
  (*daemon)->Drain();
  // Everything is answered, closed and written. Destructors would only wait: gRPC's for up to 10 s, for a poller of its
  // own, the metrics server's for 2.
  std::fflush(nullptr);
  std::_Exit(0);
}
