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

  // Charges the bytes to `budget` and, for a matrix, packs it in the orientations `predecessor` (may be null)
  // was used in: as stored, unless it is known otherwise.
  static absl::StatusOr<std::shared_ptr<const CpuTensor>> Create(HostTensor tensor, const CpuTensor* predecessor,
                                                                 WeightBudget& budget);

  // The matrix in panels. The first wave that wants an orientation nobody foresaw packs it; it is kept for the
  // next one while the budget allows. Only for tensors of two dimensions and a dtype that is computed with.
  absl::StatusOr<Panels> GetPanels(bool transposed) const;

 private:
  struct Orientation {
    Panels panels;
    WeightBudget::Reservation reservation;
  };

  CpuTensor(HostTensor tensor, WeightBudget& budget, WeightBudget::Reservation reservation)
      : DeviceTensor(std::move(tensor.type)),
        data_(std::move(tensor.data)),
        budget_(budget),
        reservation_(std::move(reservation)) {}

  bool Has(bool transposed) const;

  const std::string data_;
  WeightBudget& budget_;
  const WeightBudget::Reservation reservation_;
  mutable Mutex mu_;
  mutable std::array<Orientation, 2> orientations_ ABSL_GUARDED_BY(mu_);  // By `transposed`.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_CPU_TENSOR_H_
