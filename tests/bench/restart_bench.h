// RestartBench: how long a daemon takes to serve again what its state directory holds, and how long a bare program
// takes to read and hash the same bytes.
#ifndef BWRT_TESTS_BENCH_RESTART_BENCH_H_
#define BWRT_TESTS_BENCH_RESTART_BENCH_H_

#include <cstdint>
#include <string>

namespace bwrt::bench {

struct Restart {
  double seconds = 0;       // From exec until it serves.
  double bare_seconds = 0;  // From exec until all is read and hashed.
};

// `bytes` in tensors of `tensor_bytes`. The state directory lies in `directory`. `self` is this program, which can be
// the peer.
Restart MeasureRestart(const std::string& bwrtd, const std::string& self, const std::string& directory, int64_t bytes,
                       int64_t tensor_bytes, int repeats);

// The peer: reads all files of `directory` of at least 1 MiB into memory that it keeps, with `threads` threads, hashes
// them, says so, and waits to be ended.
[[noreturn]] void RunReader(const std::string& directory, int threads, const std::string& ready_file);

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_RESTART_BENCH_H_
