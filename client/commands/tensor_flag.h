// The value of --tensor: NAME:DTYPE:DIMSxDIMS=FILE or NAME:DTYPE:DIMSxDIMS=random:SEED; `weights begin` also takes
// NAME:DTYPE:DIMSxDIMS alone.
//
// A plain value; parsing is pure. The name may itself hold ':' and '='.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "bwrt/v1/weights.pb.h"

namespace bwrt::client {

struct TensorFlag {
  std::string name = {};
  DType dtype = F32;
  std::vector<int64_t> shape = {};
  // Where the bytes come from: a file, else the generator's W of this seed.
  std::string file = {};
  std::optional<uint64_t> seed = {};

  bool has_source() const { return seed.has_value() || !file.empty(); }
};

// INVALID_ARGUMENT: says what is wrong.
absl::StatusOr<TensorFlag> ParseTensorFlag(absl::string_view text, bool source_required = true);

// The product of its dimensions. INVALID_ARGUMENT: one is not positive, or the product exceeds 2^59.
absl::StatusOr<int64_t> CountElements(const TensorFlag& flag);

// INVALID_ARGUMENT: there are no random elements of its type.
absl::Status CheckRandom(const TensorFlag& flag);

// With its bytes. An error is the user's: the file cannot be read, or is of another size than the
// shape.
absl::StatusOr<v1::Tensor> LoadTensor(const TensorFlag& flag);

}  // namespace bwrt::client
