// DTypeSet: some of the kernels' element types. A small value; immutable.
#ifndef BWRT_RUNTIME_DTYPE_SET_H_
#define BWRT_RUNTIME_DTYPE_SET_H_

#include <bitset>
#include <vector>

#include "kernels/dtype.h"

namespace bwrt::runtime {

class DTypeSet {
 public:
  static DTypeSet All() { return DTypeSet(std::bitset<kernels::kDTypes>().set()); }
  static DTypeSet Of(const std::vector<kernels::DType>& dtypes) {
    std::bitset<kernels::kDTypes> bits;
    for (const kernels::DType dtype : dtypes) bits.set(static_cast<size_t>(dtype));
    return DTypeSet(bits);
  }
  // What C can be written in.
  static DTypeSet OfC() { return Of({kernels::DType::kF32, kernels::DType::kF16, kernels::DType::kBF16}); }

  bool Has(kernels::DType dtype) const { return bits_.test(static_cast<size_t>(dtype)); }

 private:
  explicit DTypeSet(std::bitset<kernels::kDTypes> bits) : bits_(bits) {}

  std::bitset<kernels::kDTypes> bits_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_DTYPE_SET_H_
