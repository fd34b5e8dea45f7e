// The peer of staging: a server of the same method, on the same transport, that parses chunks and discards them.
#ifndef BWRT_TESTS_BENCH_SINK_H_
#define BWRT_TESTS_BENCH_SINK_H_

#include <string>

namespace bwrt::bench {

// Serves on `address` until the process is ended.
[[noreturn]] void RunSink(const std::string& address, const std::string& ready_file);

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_SINK_H_
