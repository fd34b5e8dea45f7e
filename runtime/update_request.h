// BeginUpdateRequest: what an update will bring, as a client wrote it, and its checking.
#ifndef BWRT_RUNTIME_UPDATE_REQUEST_H_
#define BWRT_RUNTIME_UPDATE_REQUEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/clock.h"
#include "runtime/digest.h"
#include "runtime/ids.h"
#include "runtime/limits.h"
#include "runtime/tensor.h"
#include "runtime/violations.h"

namespace bwrt::runtime {

// Decoded but unchecked; names and enumerators are the wire's.
struct ShardRequest {
  uint32_t rank = 0;
  uint64_t bytes = 0;
  std::string digest;
  int encoding = 0;
};

struct TensorManifestRequest {
  std::string name;
  int dtype = 0;
  std::vector<int64_t> shape;
  std::vector<ShardRequest> shards;
};

struct BeginUpdateRequest {
  std::string model;  // Empty means "default".
  std::optional<uint64_t> base_version;
  std::string label;
  std::string update_id;
  std::vector<TensorManifestRequest> tensors;
  bool open_manifest = false;
  std::vector<std::string> removed;
  int apply_mode = 0;
  std::optional<Duration> ttl;
  std::optional<Duration> prepared_ttl;
};

// Checked.
struct ShardPlan {
  int64_t bytes = 0;
  std::optional<Digest> digest;
  bool npy = false;
  friend bool operator==(const ShardPlan&, const ShardPlan&) = default;
};

struct TensorPlan {
  std::string name;
  std::optional<TensorType> type;  // Unset: its only shard is an NPY file, which says it.
  std::vector<ShardPlan> shards;   // By rank; at least one.
  int64_t bytes() const;           // Of all shards.
  friend bool operator==(const TensorPlan&, const TensorPlan&) = default;
};

struct UpdatePlan {
  std::string model;
  std::optional<Version> base;
  std::string label;
  std::string id;                   // May be empty.
  std::vector<TensorPlan> tensors;  // Names differ.
  bool open_manifest = false;
  std::vector<std::string> removed;
  bool in_place = false;
  Duration ttl = std::chrono::minutes(10);
  std::optional<Duration> prepared_ttl;
};

inline constexpr size_t kMaxUpdateIdBytes = 128;
inline constexpr size_t kMaxShards = 1024;  // Of one tensor; of an update as many as a model may have tensors.

// INVALID_ARGUMENT with every violation.
absl::StatusOr<UpdatePlan> CheckBeginUpdate(BeginUpdateRequest request, const Limits& limits);
// The same for one tensor that is declared later. `path` names it in violations.
absl::StatusOr<TensorPlan> CheckTensorManifest(absl::string_view path, const TensorManifestRequest& request,
                                               const Limits& limits);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_UPDATE_REQUEST_H_
