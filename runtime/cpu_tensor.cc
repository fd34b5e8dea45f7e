#include "runtime/cpu_tensor.h"

#include <algorithm>
#include <limits>

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

std::array<bool, 2> CpuTensor::Wanted(const TensorType& type, const CpuTensor* predecessor) {
  // What is no matrix, or opaque, is never a W: there is nothing to pack.
  if (type.shape.size() != 2 || !type.dtype.computed()) return {false, false};
  const bool transposed = predecessor != nullptr && predecessor->Has(true);
  // Of 8-bit elements a layout has four times the bytes: only where waves have asked for one.
  if (kernels::IsF8(*type.dtype.computed())) return {predecessor != nullptr && predecessor->Has(false), transposed};
  return {!transposed || predecessor->Has(false), transposed};
}

Bytes CpuTensor::PanelBytes(const TensorType& type, bool transposed) {
  const int64_t k = type.shape[transposed ? 1 : 0];
  const int64_t n = type.shape[transposed ? 0 : 1];
  return Bytes(kernels::PackedWeights::PackedBytes(k, n, *type.dtype.computed()));
}

Bytes CpuTensor::LayoutBytes(const TensorType& type, const CpuTensor* predecessor) {
  const auto wanted = Wanted(type, predecessor);
  int64_t sum = 0;
  for (const bool transposed : {false, true}) {
    if (!wanted[transposed ? 1 : 0]) continue;
    if (__builtin_add_overflow(sum, PanelBytes(type, transposed).value(), &sum)) {
      return Bytes(std::numeric_limits<int64_t>::max());
    }
  }
  return Bytes(sum);
}

absl::Status CpuTensor::Prepare(const CpuTensor* predecessor, WeightBudget::Reservation room) const {
  const auto wanted = Wanted(type(), predecessor);
  absl::Status left_out;
  for (const bool transposed : {false, true}) {
    if (!wanted[transposed ? 1 : 0] || Has(transposed)) continue;
    auto reserved = budget_.Reserve(PanelBytes(type(), transposed), WeightBudget::Kind::kLayout, room);
    if (!reserved.ok()) {
      left_out.Update(reserved.status());
      continue;
    }
    if (auto panels = Pack(transposed, std::move(reserved)); !panels.ok()) return panels.status();
  }
  return left_out;
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
  {
    MutexLock lock(mu_);
    if (const Panels& panels = orientations_[transposed ? 1 : 0].panels; panels != nullptr) return panels;
  }
  return Pack(transposed, budget_.Reserve(PanelBytes(type(), transposed), WeightBudget::Kind::kLayout));
}

// Outside the lock: two waves may do it at once, and the first to finish is kept.
absl::StatusOr<CpuTensor::Panels> CpuTensor::Pack(bool transposed,
                                                  absl::StatusOr<WeightBudget::Reservation> room) const {
  const int64_t rows = type().shape[0];
  const int64_t cols = type().shape[1];
  auto packed = kernels::PackedWeights::Pack(
      {reinterpret_cast<const std::byte*>(data_.data()), rows, cols, cols, *type().dtype.computed()}, transposed);
  if (packed.ok() && room.ok()) {
    MutexLock lock(mu_);
    Orientation& orientation = orientations_[transposed ? 1 : 0];
    if (orientation.panels == nullptr) {
      orientation.panels = *packed;
      orientation.reservation = *std::move(room);
    }
  }
  return packed;
}

}  // namespace bwrt::runtime
