// The tensors that the weights commands stage, and where their bytes come from.
//
// Plain values and free functions; a source is immutable and thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bwrt/v1/weights.pb.h"
#include "client/byte_source.h"
#include "client/commands/tensor_flag.h"
#include "client/digest.h"

namespace bwrt::client {

struct TensorSource {
  v1::TensorManifest manifest = {};
  std::shared_ptr<const ByteSource> bytes = {};  // Null: only announced.
};

struct TensorSourceFlags {
  std::vector<std::string> tensors = {};  // --tensor
  std::vector<std::string> npy = {};      // --npy NAME=FILE
  DigestKind digest = DigestKind::kXxh3;
};

// The bytes that a --tensor flag names, made or read where they are asked for. An error is the user's: the file cannot
// be read, or is of another size than the shape.
absl::StatusOr<std::shared_ptr<const ByteSource>> OpenTensor(const TensorFlag& flag);

// Every tensor of the flags, without digests. An error is the user's, as for OpenTensor; a name that comes twice is
// one.
absl::StatusOr<std::vector<TensorSource>> OpenTensors(const TensorSourceFlags& flags, bool sources_required);

}  // namespace bwrt::client
