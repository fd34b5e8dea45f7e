#include "runtime/weight_budget.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"

namespace bwrt::runtime {

WeightBudget::Reservation::~Reservation() {
  if (budget_ == nullptr) return;
  budget_->by_kind_[static_cast<size_t>(kind_)].fetch_sub(bytes_.value(), std::memory_order_relaxed);
  budget_->reserved_.fetch_sub(bytes_.value(), std::memory_order_relaxed);
}

void WeightBudget::Reservation::Add(Reservation other) {
  if (budget_ == nullptr) {
    *this = std::move(other);
  } else {
    bytes_ = Bytes(bytes_.value() + std::exchange(other.bytes_, Bytes(0)).value());
  }
}

void WeightBudget::Reservation::Shrink(Bytes bytes) {
  if (budget_ == nullptr || bytes >= bytes_) return;
  const Reservation rest(budget_, Bytes(bytes_.value() - bytes.value()), kind_);
  bytes_ = bytes;
}

bool WeightBudget::TryReserve(int64_t bytes) {
  int64_t held = reserved_.load(std::memory_order_relaxed);
  do {
    if (bytes > 0 && bytes > limit_.value() - held) return false;
  } while (!reserved_.compare_exchange_weak(held, held + bytes, std::memory_order_relaxed));
  return true;
}

absl::StatusOr<WeightBudget::Reservation> WeightBudget::Reserve(Bytes bytes, Kind kind) {
  while (!TryReserve(bytes.value())) {
    if (bytes <= limit_ && pressure_ && pressure_()) continue;
    return MakeError(
        absl::StatusCode::kResourceExhausted, "WEIGHT_MEMORY",
        absl::StrCat("weights: ", bytes.value(), " more bytes do not fit: ", reserved_.load(std::memory_order_relaxed),
                     " of ", limit_.value(), " are in use; retire versions or raise --weight-memory-limit"));
  }
  by_kind_[static_cast<size_t>(kind)].fetch_add(bytes.value(), std::memory_order_relaxed);
  return Reservation(this, bytes, static_cast<int>(kind));
}

WeightBudget::Reservation WeightBudget::ReserveAhead(Bytes bytes, Kind kind) {
  reserved_.fetch_add(bytes.value(), std::memory_order_relaxed);
  by_kind_[static_cast<size_t>(kind)].fetch_add(bytes.value(), std::memory_order_relaxed);
  return Reservation(this, bytes, static_cast<int>(kind));
}

absl::StatusOr<WeightBudget::Reservation> WeightBudget::Reserve(Bytes bytes, Kind kind, Reservation& room) {
  const int64_t taken = std::min(bytes, room.bytes_).value();
  auto reserved = Reserve(Bytes(bytes.value() - taken), kind);
  if (!reserved.ok()) return reserved;
  by_kind_[static_cast<size_t>(room.kind_)].fetch_sub(taken, std::memory_order_relaxed);
  by_kind_[static_cast<size_t>(kind)].fetch_add(taken, std::memory_order_relaxed);
  room.bytes_ = Bytes(room.bytes_.value() - taken);
  reserved->bytes_ = bytes;
  return reserved;
}

}  // namespace bwrt::runtime
