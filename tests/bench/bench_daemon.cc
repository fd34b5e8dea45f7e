#include "tests/bench/bench_daemon.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tests/bench/require.h"
#include "tests/bench/samples.h"

namespace bwrt::bench {

BenchDaemon::BenchDaemon(const std::string& binary, std::vector<std::string> flags) {
  const Stopwatch watch;
  process_ = Require(
      client::PrivateDaemon::Start({.binary = binary, .flags = std::move(flags), .patience = absl::Minutes(2)}));
  seconds_to_ready_ = watch.seconds();
}

std::shared_ptr<grpc::Channel> BenchDaemon::Connect() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(process_->address(), grpc::InsecureChannelCredentials(), arguments);
}

BenchDaemon StartBwrtd(const std::string& binary, std::vector<std::string> flags) {
  flags.emplace_back("--device=cpu");
  return BenchDaemon(binary, std::move(flags));
}

int64_t BenchDaemon::ResidentBytes() const {
  std::ifstream statm(absl::StrCat("/proc/", process_->pid(), "/statm"));
  int64_t size = 0;
  int64_t resident = 0;
  Require(static_cast<bool>(statm >> size >> resident), "the daemon's memory can't be read");
  return resident * sysconf(_SC_PAGESIZE);
}

void TellReady(const std::string& ready_file) {
  const std::string draft = absl::StrCat(ready_file, ".draft");
  std::ofstream(draft) << "{}\n";
  Require(std::rename(draft.c_str(), ready_file.c_str()) == 0, "the ready file can't be written");
}

}  // namespace bwrt::bench
