// The header of a safetensors file: 8 bytes with its length, little-endian, and a JSON object that says of each tensor
// its dtype, shape and place in the data section, which is the rest of the file.
//
// Pure functions on bytes that may be hostile. Errors are INVALID_ARGUMENT, reason SAFETENSORS_HEADER, and name tensor,
// value, limit and fix.
#ifndef BWRT_RUNTIME_SAFETENSORS_H_
#define BWRT_RUNTIME_SAFETENSORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/limits.h"
#include "runtime/tensor.h"

namespace bwrt::runtime {

// The bytes before the JSON.
inline constexpr int64_t kSafetensorsLengthBytes = 8;
// Of the JSON: what the format's own library allows.
inline constexpr int64_t kMaxSafetensorsHeaderBytes = 100'000'000;

struct SafetensorsEntry {
  std::string name;
  TensorType type;     // A scalar, shape [], becomes [1].
  int64_t offset = 0;  // In the data section.
  int64_t bytes = 0;   // type.bytes().
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry>
      tensors;              // Sorted by name. Together they cover the data section exactly, each byte once.
  int64_t data_offset = 0;  // Of the data section in the file.
};

// The length of the JSON, from the file's first 8 bytes (more may follow). `file_bytes` is the size of the whole file.
absl::StatusOr<int64_t> SafetensorsHeaderLength(absl::string_view prefix, int64_t file_bytes);

// `prefix` is the beginning of the file, at least to the end of the JSON. `__metadata__` is ignored.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view prefix, int64_t file_bytes,
                                                         const Limits& limits);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_SAFETENSORS_H_
