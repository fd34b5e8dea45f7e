// Require: a measurement that can't go on throws; main says why and fails.
#ifndef BWRT_TESTS_BENCH_REQUIRE_H_
#define BWRT_TESTS_BENCH_REQUIRE_H_

#include <stdexcept>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace bwrt::bench {

inline void Require(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error(what);
}

inline void Require(const absl::Status& status) { Require(status.ok(), status.ToString()); }

// Of gRPC, whose headers the benchmarks without it do without.
template <typename Status>
auto Require(const Status& status) -> decltype(status.error_message(), void()) {
  Require(status.ok(), status.error_message());
}

template <typename T>
T Require(absl::StatusOr<T> value) {
  Require(value.status());
  return *std::move(value);
}

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_REQUIRE_H_
