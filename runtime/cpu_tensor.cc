#include "runtime/cpu_tensor.h"

#include "kernels/matrix.h"

namespace bwrt::runtime {

absl::StatusOr<std::shared_ptr<const CpuTensor>> CpuTensor::Create(HostTensor tensor, const CpuTensor* predecessor,
                                                                   WeightBudget& budget) {
  auto reservation = budget.Reserve(tensor.type.bytes(), WeightBudget::Kind::kContent);
  if (!reservation.ok()) return reservation.status();
  // What is no matrix, or opaque, is never a W: there is nothing to pack.
  const bool matrix = tensor.type.shape.size() == 2 && tensor.type.dtype.computed();
  auto created = std::shared_ptr<CpuTensor>(new CpuTensor(std::move(tensor), budget, std::move(*reservation)));
  if (!matrix) return created;

  const bool transposed = predecessor != nullptr && predecessor->Has(true);
  const bool as_stored = !transposed || predecessor->Has(false);
  for (const bool orientation : {false, true}) {
    if (!(orientation ? transposed : as_stored)) continue;
    if (auto panels = created->GetPanels(orientation); !panels.ok()) return panels.status();
    // Not kept for want of budget: refuse now rather than pack again for every wave.
    if (!created->Has(orientation)) {
      const int64_t k = created->type().shape[orientation ? 1 : 0];
      const int64_t n = created->type().shape[orientation ? 0 : 1];
      auto wanted = budget.Reserve(Bytes(kernels::PackedWeights::PackedBytes(k, n)), WeightBudget::Kind::kLayout);
      if (!wanted.ok()) return wanted.status();
    }
  }
  return created;
}

bool CpuTensor::Has(bool transposed) const {
  MutexLock lock(mu_);
  return orientations_[transposed ? 1 : 0].panels != nullptr;
}

absl::StatusOr<CpuTensor::Panels> CpuTensor::GetPanels(bool transposed) const {
  const size_t at = transposed ? 1 : 0;
  {
    MutexLock lock(mu_);
    if (orientations_[at].panels != nullptr) return orientations_[at].panels;
  }
  // Packed outside the lock: two waves may do it at once, and the first to finish is kept.
  const int64_t rows = type().shape[0];
  const int64_t cols = type().shape[1];
  auto reservation = budget_.Reserve(Bytes(transposed ? kernels::PackedWeights::PackedBytes(cols, rows)
                                                      : kernels::PackedWeights::PackedBytes(rows, cols)),
                                     WeightBudget::Kind::kLayout);
  auto packed = kernels::PackedWeights::Pack(
      {reinterpret_cast<const std::byte*>(data_.data()), rows, cols, cols, *type().dtype.computed()}, transposed);
  if (!packed.ok()) return packed.status();
  if (reservation.ok()) {
    MutexLock lock(mu_);
    if (orientations_[at].panels == nullptr) {
      orientations_[at].panels = *packed;
      orientations_[at].reservation = std::move(*reservation);
    }
  }
  return packed;
}

}  // namespace bwrt::runtime
