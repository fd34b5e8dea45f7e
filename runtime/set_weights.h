// SetWeightsRequest: the one-call swap of a few tensors, as a client wrote it, and its checking.
#ifndef BWRT_RUNTIME_SET_WEIGHTS_H_
#define BWRT_RUNTIME_SET_WEIGHTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/clock.h"
#include "runtime/limits.h"
#include "runtime/request_check.h"
#include "runtime/swap.h"
#include "runtime/tensor.h"
#include "runtime/wave_request.h"

namespace bwrt::runtime {

// Decoded but unchecked; names and enumerators are the wire's, as in WaveRequest.
struct TensorRequest {
  std::string name;
  DTypeWish dtype = DTypeWish::kUnspecified;
  std::vector<int64_t> shape;
  std::string data;
};

struct SetWeightsRequest {
  std::string model;  // Empty means "default".
  std::vector<TensorRequest> tensors;
  std::string label;
  SwapWish swap;
  std::optional<uint64_t> base_version;
};

// Checked: what a swap builds its version from.
struct TensorChange {
  std::string model;
  std::vector<HostTensor> tensors;  // Names differ.
  std::string label;
  SwapOptions options;
  std::optional<Version> base_version;
};

// INVALID_ARGUMENT with every violation.
absl::StatusOr<TensorChange> CheckSetWeights(SetWeightsRequest request, const Limits& limits);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_SET_WEIGHTS_H_
