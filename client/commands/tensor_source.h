// The tensors that the weights commands stage, and where their bytes come from.
//
// Plain values and free functions; a source is immutable and thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bwrt/v1/weights.pb.h"
#include "client/byte_source.h"
#include "client/commands/tensor_flag.h"
#include "client/digest.h"

namespace bwrt::client {

struct TensorSource {
  v1::TensorManifest manifest = {};  // Where it has shards they are in the order of their ranks.
  // By rank; null for those that are only announced. Empty: all of it is.
  std::vector<std::shared_ptr<const ByteSource>> shards = {};
};

struct TensorSourceFlags {
  std::vector<std::string> tensors = {};  // --tensor
  std::vector<std::string> npy = {};      // --npy NAME=FILE
  DigestKind digest = DigestKind::kXxh3;
  uint32_t ranks = 1;                 // Each tensor's shards, of as equal numbers of rows as there can be.
  std::optional<uint32_t> rank = {};  // Only this shard is there, and a file holds nothing else.
};

// The bytes that a --tensor flag names, made or read where they are asked for. An error is the user's: the file cannot
// be read, or is of another size than the shape.
absl::StatusOr<std::shared_ptr<const ByteSource>> OpenTensor(const TensorFlag& flag);

// The rows of shard `rank` of `ranks`: those of the first shards are one more where they can't all be equal.
struct ShardRows {
  int64_t begin = 0;
  int64_t end = 0;
};
ShardRows RowsOf(int64_t rows, uint32_t rank, uint32_t ranks);

// Every tensor of the flags, without digests. An error is the user's, as for OpenTensor; a name that comes twice is
// one.
absl::StatusOr<std::vector<TensorSource>> OpenTensors(const TensorSourceFlags& flags, bool sources_required);

}  // namespace bwrt::client
