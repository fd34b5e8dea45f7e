// Unobserved: a RuntimeObserver for tests that look elsewhere. Thread-safe.
#ifndef BWRT_TESTS_SUPPORT_UNOBSERVED_H_
#define BWRT_TESTS_SUPPORT_UNOBSERVED_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "runtime/observer.h"

namespace bwrt::runtime {

class Unobserved final : public RuntimeObserver {
 public:
  void OnWaveEnd(const WaveEnd& /*end*/) override {}
  void OnWaveRejected(absl::string_view /*reason*/) override {}
  void OnExtentPages(absl::string_view /*outcome*/, int64_t /*pages*/) override {}
  void OnSwapEnd(absl::string_view /*model*/, SwapEnd /*end*/, Duration /*waited*/) override {}
  void OnHoldEnd(absl::string_view /*model*/, Duration /*held*/) override {}
  void OnLoadFailed(absl::string_view /*model*/, const absl::Status& /*why*/) override {}
  void OnStaged(int64_t /*bytes*/) override {}
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_SUPPORT_UNOBSERVED_H_
