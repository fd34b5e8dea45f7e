// BlankTensor and BlankVersion: versions of which only names, types and numbers matter.
#ifndef BWRT_TESTS_SUPPORT_BLANK_VERSION_H_
#define BWRT_TESTS_SUPPORT_BLANK_VERSION_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "runtime/weight_version.h"

namespace bwrt::runtime {

// A tensor of zeros that takes no memory.
class BlankTensor final : public DeviceTensor {
 public:
  using DeviceTensor::DeviceTensor;
  absl::Status Read(int64_t /*offset*/, int64_t bytes, char* to) const override {
    std::fill_n(to, bytes, '\0');
    return absl::OkStatus();
  }
};

// The version after `base`, with these tensors put in.
inline WeightVersion::Ptr BlankVersion(const WeightVersion& base, std::string label,
                                       std::vector<std::pair<std::string, std::shared_ptr<const DeviceTensor>>> put) {
  VersionChange change;
  change.number = base.number().next();
  change.label = std::move(label);
  for (auto& [name, tensor] : put) change.put.push_back({std::move(name), Version(), std::move(tensor), std::nullopt});
  return base.With(std::move(change));
}

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_SUPPORT_BLANK_VERSION_H_
