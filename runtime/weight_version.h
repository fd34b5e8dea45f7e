// WeightVersion: an immutable snapshot of a model, tensor name -> buffer.
//
// Versions share the tensors they do not change. Shared between the model, its leases and the swaps that
// build on it; thread-safe because nothing in it changes.
#ifndef BWRT_RUNTIME_WEIGHT_VERSION_H_
#define BWRT_RUNTIME_WEIGHT_VERSION_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/ids.h"
#include "runtime/tensor.h"

namespace bwrt::runtime {

struct NamedTensor {
  std::string name;
  Version version;  // That brought it in.
  std::shared_ptr<const DeviceTensor> tensor;
};

class WeightVersion {
 public:
  using Ptr = std::shared_ptr<const WeightVersion>;

  // Version 0, without tensors.
  static Ptr Empty();

  // The next version: this one with `changed` put in or replaced. Names must differ. O(tensors): to be built
  // before the flip, outside every lock.
  Ptr With(std::string label,
           const std::vector<std::pair<std::string, std::shared_ptr<const DeviceTensor>>>& changed) const;

  Version number() const { return number_; }
  const std::string& label() const { return label_; }
  Bytes bytes() const { return bytes_; }  // Of the tensors' contents, as published.

  const NamedTensor* Find(absl::string_view name) const;  // Null when there is none.
  // Sorted by name.
  const std::vector<std::shared_ptr<const NamedTensor>>& tensors() const { return tensors_; }

  // Bytes of the tensors in here that `other` does not share.
  Bytes BytesNotIn(const WeightVersion& other) const;

 private:
  WeightVersion() = default;

  Version number_;
  std::string label_;
  Bytes bytes_;
  std::vector<std::shared_ptr<const NamedTensor>> tensors_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_WEIGHT_VERSION_H_
