// WeightVersion: an immutable snapshot of a model, tensor name -> buffer.
//
// Versions share the tensors they do not change. Shared between the model, its leases and the swaps that
// build on it; thread-safe because nothing in it changes.
#ifndef BWRT_RUNTIME_WEIGHT_VERSION_H_
#define BWRT_RUNTIME_WEIGHT_VERSION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/digest.h"
#include "runtime/ids.h"
#include "runtime/tensor.h"

namespace bwrt::runtime {

// Where a tensor's bytes lie in the state directory: from `offset` of a blob on.
struct StoredBytes {
  Digest blob;
  int64_t offset = 0;
  Digest digest;  // xxh3, of the tensor's bytes alone.
};

struct NamedTensor {
  std::string name;
  Version version;  // That brought it in.
  std::shared_ptr<const DeviceTensor> tensor;
  std::optional<StoredBytes> stored;  // Unset without a state directory.
};

// What makes a version of its base.
struct VersionChange {
  Version number;  // At least the base's.
  std::string label;
  Version restored_from;             // 0: it is no rollback.
  bool replaces_all = false;         // Nothing of the base stays, but what is put in again.
  std::vector<NamedTensor> put;      // Names differ. A tensor's version 0 stands for `number`.
  std::vector<std::string> removed;  // Names that the base need not have.
};

class WeightVersion {
 public:
  using Ptr = std::shared_ptr<const WeightVersion>;

  // Version 0, without tensors.
  static Ptr Empty();

  // The version that `change` makes of this one. O(tensors): to be built before the flip, outside every lock.
  Ptr With(VersionChange change) const;

  Version number() const { return number_; }
  Version base() const { return base_; }  // The number of the version it was built on.
  Version restored_from() const { return restored_from_; }
  const std::string& label() const { return label_; }
  Bytes bytes() const { return bytes_; }  // Of the tensors' contents, as published.

  const NamedTensor* Find(absl::string_view name) const;  // Null when there is none.
  // Sorted by name.
  const std::vector<std::shared_ptr<const NamedTensor>>& tensors() const { return tensors_; }

  // Bytes of the base's tensors that are not in here: what a rollback to the base would need.
  Bytes replaced() const { return replaced_; }
  // Bytes of the tensors in here that `other` does not share.
  Bytes BytesNotIn(const WeightVersion& other) const;

 private:
  WeightVersion() = default;

  Version number_;
  Version base_;
  Version restored_from_;
  std::string label_;
  Bytes bytes_;
  Bytes replaced_;
  std::vector<std::shared_ptr<const NamedTensor>> tensors_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_WEIGHT_VERSION_H_
