// The header of a .npy file, versions 1.0, 2.0 and 3.0.
#ifndef BWRT_RUNTIME_NPY_H_
#define BWRT_RUNTIME_NPY_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/element_type.h"
#include "runtime/limits.h"
#include "runtime/tensor.h"

namespace bwrt::runtime {

// Of the header's text: what NumPy itself reads by default.
inline constexpr int64_t kMaxNpyHeaderBytes = 10'000;
// A prefix of this many bytes holds every header that is accepted.
inline constexpr int64_t kMaxNpyPrefixBytes = 12 + kMaxNpyHeaderBytes;

struct NpyHeader {
  TensorType type;          // Row-major, little-endian. An array without dimensions, shape (), becomes [1].
  int64_t data_offset = 0;  // In the file; the data are type.bytes() from there.
};

// `prefix` is the beginning of the file, at least to the end of the header; it may be hostile.
//
// NumPy has no names for some types: what ml_dtypes writes as two bytes of void ('<V2', '|V2') is read as bf16, one
// byte of void ('<V1', '|V1') as f8_e4m3 or f8_e5m2, and '<f1' as f8_e5m2, only where that is the type that is
// `expected`. For all others `expected` plays no part: whether the type is the one expected is left to the caller.
//
// INVALID_ARGUMENT, reason NPY_HEADER, for anything else: Fortran order, big-endian, structured, object and other
// types; not 1 to limits.max_tensor_dims dimensions, each in [1, limits.max_dim]; more bytes than int64 counts.
absl::StatusOr<NpyHeader> ParseNpyHeader(absl::string_view prefix, std::optional<ElementType> expected,
                                         const Limits& limits);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_NPY_H_
