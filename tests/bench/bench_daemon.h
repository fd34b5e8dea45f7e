// BenchDaemon: a bwrtd, or a peer that is started like one, in a process of its own, and connections to it.
#ifndef BWRT_TESTS_BENCH_BENCH_DAEMON_H_
#define BWRT_TESTS_BENCH_BENCH_DAEMON_H_

#include <grpcpp/channel.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "client/private_daemon.h"

namespace bwrt::bench {

class BenchDaemon {
 public:
  // Returns once it serves. Throws when it does not.
  BenchDaemon(const std::string& binary, std::vector<std::string> flags);

  // A connection of its own each time, as two clients would have.
  std::shared_ptr<grpc::Channel> Connect() const;

  // From before its exec until it served.
  double seconds_to_ready() const { return seconds_to_ready_; }
  // What of it is in memory now.
  int64_t ResidentBytes() const;

 private:
  std::unique_ptr<client::PrivateDaemon> process_;
  double seconds_to_ready_ = 0;
};

// A bwrtd on the CPU, where what it is measured against runs as well.
BenchDaemon StartBwrtd(const std::string& binary, std::vector<std::string> flags);

// Of a program that is started as a peer: tells whoever started it that it is ready.
void TellReady(const std::string& ready_file);

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_BENCH_DAEMON_H_
