#include "runtime/cpu_tensor.h"

#include <algorithm>

#include "kernels/matrix.h"

namespace bwrt::runtime {

absl::StatusOr<std::shared_ptr<const CpuTensor>> CpuTensor::Create(HostTensor tensor, WeightBudget& budget) {
  if (!tensor.data.charged()) {
    auto reservation = budget.Reserve(tensor.type.bytes(), WeightBudget::Kind::kContent);
    if (!reservation.ok()) return reservation.status();
    tensor.data.Charge(std::move(*reservation));
  }
  return std::shared_ptr<CpuTensor>(new CpuTensor(std::move(tensor), budget));
}

absl::Status CpuTensor::Prepare(const CpuTensor* predecessor) const {
  // What is no matrix, or opaque, is never a W: there is nothing to pack.
  if (type().shape.size() != 2 || !type().dtype.computed()) return absl::OkStatus();
  const bool transposed = predecessor != nullptr && predecessor->Has(true);
  const bool as_stored = !transposed || predecessor->Has(false);
  for (const bool orientation : {false, true}) {
    if (!(orientation ? transposed : as_stored)) continue;
    if (auto panels = GetPanels(orientation); !panels.ok()) return panels.status();
    // Not kept for want of budget: refuse now rather than pack again for every wave.
    if (!Has(orientation)) {
      const int64_t k = type().shape[orientation ? 1 : 0];
      const int64_t n = type().shape[orientation ? 0 : 1];
      auto wanted = budget_.Reserve(Bytes(kernels::PackedWeights::PackedBytes(k, n, *type().dtype.computed())),
                                    WeightBudget::Kind::kLayout);
      if (!wanted.ok()) return wanted.status();
    }
  }
  return absl::OkStatus();
}

absl::Status CpuTensor::Read(int64_t offset, int64_t bytes, char* to) const {
  std::copy_n(data_.data() + offset, bytes, to);
  return absl::OkStatus();
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
  const kernels::DType dtype = *type().dtype.computed();
  auto reservation = budget_.Reserve(Bytes(transposed ? kernels::PackedWeights::PackedBytes(cols, rows, dtype)
                                                      : kernels::PackedWeights::PackedBytes(rows, cols, dtype)),
                                     WeightBudget::Kind::kLayout);
  auto packed = kernels::PackedWeights::Pack(
      {reinterpret_cast<const std::byte*>(data_.data()), rows, cols, cols, dtype}, transposed);
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
