// The peer of a wave: a bare server of the same method, on the same transport, which answers with a C of the size that
// the wave's has and computes nothing.
//
// One asynchronous completion queue and one thread, which is the fastest server that gRPC's C++ library makes; the
// bytes of the answer are those of A, moved, so that nothing is copied but what gRPC and protobuf copy themselves.
#ifndef BWRT_TESTS_BENCH_ECHO_H_
#define BWRT_TESTS_BENCH_ECHO_H_

#include <string>

namespace bwrt::bench {

// Serves on `address` until the process is ended.
[[noreturn]] void RunEcho(const std::string& address, const std::string& ready_file);

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_ECHO_H_
