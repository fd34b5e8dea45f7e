// CpuTensor: a weight tensor in host memory: its bytes as published, and the panels the CPU kernels read.
//
// Shared by the versions that contain it; thread-safe. The budget it was charged to must outlive it.
#ifndef BWRT_RUNTIME_CPU_TENSOR_H_
#define BWRT_RUNTIME_CPU_TENSOR_H_

#include <array>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "kernels/packed_weights.h"
#include "runtime/mutex.h"
#include "runtime/tensor.h"
#include "runtime/weight_budget.h"

namespace bwrt::runtime {

class CpuTensor final : public DeviceTensor {
 public:
  using Panels = std::shared_ptr<const kernels::PackedWeights>;

  // Charges the bytes to `budget` unless that has been done.
  static absl::StatusOr<std::shared_ptr<const CpuTensor>> Create(HostTensor tensor, WeightBudget& budget);

  // Bytes that Prepare packs for a tensor of `type`; saturates.
  static Bytes LayoutBytes(const TensorType& type, const CpuTensor* predecessor);

  // Packs a matrix in the orientations `predecessor` (may be null) was used in: as stored, unless it is known
  // otherwise. `room` and the errors are those of Device::Prepare.
  absl::Status Prepare(const CpuTensor* predecessor, WeightBudget::Reservation room = {}) const;

  // The matrix in panels. The first wave that wants an orientation nobody foresaw packs it; it is kept for the
  // next one while the budget allows. Only for tensors of two dimensions and a dtype that is computed with.
  absl::StatusOr<Panels> GetPanels(bool transposed) const;

  absl::Status Read(int64_t offset, int64_t bytes, char* to) const override;

 private:
  struct Orientation {
    Panels panels;
    WeightBudget::Reservation reservation;
  };

  CpuTensor(HostTensor tensor, WeightBudget& budget)
      : DeviceTensor(std::move(tensor.type)), data_(std::move(tensor.data)), budget_(budget) {}

  // Which orientations Prepare packs, by `transposed`.
  static std::array<bool, 2> Wanted(const TensorType& type, const CpuTensor* predecessor);
  static Bytes PanelBytes(const TensorType& type, bool transposed);
  bool Has(bool transposed) const;
  // Packs, and keeps what it packed if there is room for it.
  absl::StatusOr<Panels> Pack(bool transposed, absl::StatusOr<WeightBudget::Reservation> room) const;

  const WeightBuffer data_;
  WeightBudget& budget_;
  mutable Mutex mu_;
  mutable std::array<Orientation, 2> orientations_ ABSL_GUARDED_BY(mu_);  // By `transposed`.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_CPU_TENSOR_H_
