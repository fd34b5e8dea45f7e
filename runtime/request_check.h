// Checks that the requests about weights share.
#ifndef BWRT_RUNTIME_REQUEST_CHECK_H_
#define BWRT_RUNTIME_REQUEST_CHECK_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/limits.h"
#include "runtime/swap.h"
#include "runtime/tensor.h"
#include "runtime/violations.h"

namespace bwrt::runtime {

// Adds what is wrong with a tensor's name; `names` holds those before it, and then this one. `path` is the message's,
// such as "tensors[3]".
void CheckTensorName(absl::string_view path, const std::string& name, std::set<absl::string_view>& names,
                     Violations& bad);

// The type, or nullopt when something is wrong with it, which has been added then. `dtype` is the wire's number.
std::optional<TensorType> CheckTensorType(absl::string_view path, int dtype, const std::vector<int64_t>& shape,
                                          const Limits& limits, Violations& bad);

// A model's name, which may be empty, and a version's label.
void CheckModelName(absl::string_view model, Violations& bad);
void CheckLabel(absl::string_view field, absl::string_view label, Violations& bad);

// How a swap is asked for, unchecked: names and enumerators are the wire's.
struct SwapWish {
  int policy = 0;  // A SwapPolicy.
  std::optional<Duration> wait_timeout;
  std::optional<Duration> hold_after;
};
SwapOptions CheckSwapWish(const SwapWish& wish, Violations& bad);

// A duration of a request that must lie in [min, max].
void CheckDuration(absl::string_view field, std::optional<Duration> value, Duration min, Duration max, Violations& bad);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_REQUEST_CHECK_H_
