// OffloadTensor: a weight tensor on the first device, and copies of it on those others that compute with it and have
// room for it. Immutable; thread-safe.
#ifndef BWRT_RUNTIME_OFFLOAD_OFFLOAD_TENSOR_H_
#define BWRT_RUNTIME_OFFLOAD_OFFLOAD_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/tensor.h"
#include "runtime/weight_budget.h"

namespace bwrt::runtime {

// The memory of one of the other devices, as far as copies of weights may take it.
struct CopyMemory {
  explicit CopyMemory(Bytes limit) : copies(limit) {}

  WeightBudget copies;
  // What a device charges for the same bytes again, or for the host's, which are charged elsewhere: not counted.
  WeightBudget uncounted{Bytes(std::numeric_limits<int64_t>::max())};
};

class OffloadTensor final : public DeviceTensor {
 public:
  struct Copy {
    std::shared_ptr<CopyMemory> memory;  // Outlives what is charged to it.
    WeightBudget::Reservation reservation;
    std::shared_ptr<const DeviceTensor> tensor;  // Null where the device has none.
  };

  OffloadTensor(std::shared_ptr<const DeviceTensor> first, WeightBuffer bytes, std::vector<Copy> copies)
      : DeviceTensor(first->type()), first_(std::move(first)), bytes_(std::move(bytes)), copies_(std::move(copies)) {}

  // On the device with this index; null where it has none. The first device always has it.
  const DeviceTensor* On(size_t device) const { return device == 0 ? first_.get() : copies_[device - 1].tensor.get(); }

  // In the host's memory, as published.
  const char* bytes() const { return bytes_.data(); }

  absl::Status Read(int64_t offset, int64_t bytes, char* to) const override { return first_->Read(offset, bytes, to); }

 private:
  const std::shared_ptr<const DeviceTensor> first_;
  const WeightBuffer bytes_;  // Shared with the first device's tensor.
  const std::vector<Copy> copies_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_OFFLOAD_OFFLOAD_TENSOR_H_
