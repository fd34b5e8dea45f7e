#include "runtime/weight_budget.h"

#include "absl/strings/str_cat.h"
#include "runtime/error.h"

namespace bwrt::runtime {

WeightBudget::Reservation::~Reservation() {
  if (budget_ == nullptr) return;
  budget_->by_kind_[static_cast<size_t>(kind_)].fetch_sub(bytes_.value(), std::memory_order_relaxed);
  budget_->reserved_.fetch_sub(bytes_.value(), std::memory_order_relaxed);
}

absl::StatusOr<WeightBudget::Reservation> WeightBudget::Reserve(Bytes bytes, Kind kind) {
  int64_t held = reserved_.load(std::memory_order_relaxed);
  do {
    if (bytes.value() > limit_.value() - held) {
      return MakeError(absl::StatusCode::kResourceExhausted, "WEIGHT_MEMORY",
                       absl::StrCat("weights: ", bytes.value(), " more bytes do not fit: ", held, " of ",
                                    limit_.value(), " are in use; retire versions or raise --weight-memory-limit"));
    }
  } while (!reserved_.compare_exchange_weak(held, held + bytes.value(), std::memory_order_relaxed));
  by_kind_[static_cast<size_t>(kind)].fetch_add(bytes.value(), std::memory_order_relaxed);
  return Reservation(this, bytes, static_cast<int>(kind));
}

}  // namespace bwrt::runtime
