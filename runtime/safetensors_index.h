// The index of a model in several safetensors files: model.safetensors.index.json.
#ifndef BWRT_RUNTIME_SAFETENSORS_INDEX_H_
#define BWRT_RUNTIME_SAFETENSORS_INDEX_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/limits.h"

namespace bwrt::runtime {

inline constexpr int64_t kMaxSafetensorsIndexBytes = 100'000'000;
inline constexpr int64_t kMaxSafetensorsFiles = 512;

// File -> the tensors in it. File names are plain (IsPlainName): beside the index.
using SafetensorsIndex = std::map<std::string, std::set<std::string>>;

// {"metadata": {...}, "weight_map": {TENSOR: FILE, ...}}; the metadata is ignored. `text` may be hostile.
// INVALID_ARGUMENT, reason SAFETENSORS_INDEX, naming tensor, value, limit and fix.
absl::StatusOr<SafetensorsIndex> ParseSafetensorsIndex(absl::string_view text, const Limits& limits);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_SAFETENSORS_INDEX_H_
