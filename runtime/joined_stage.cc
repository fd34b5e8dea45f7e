#include "runtime/joined_stage.h"

namespace bwrt::runtime {

absl::StatusOr<WeightBuffer> JoinedStage::Part(size_t offset, size_t bytes,
                                               const std::function<absl::StatusOr<WeightBuffer>(size_t)>& allocate) {
  MutexLock lock(mu_);
  if (whole_.size() == 0) {
    auto whole = allocate(bytes_);
    if (!whole.ok()) return whole.status();
    whole_ = *std::move(whole);
    if (reserved_.bytes() > Bytes(0)) whole_.Charge(std::move(reserved_));
  }
  return whole_.Part(offset, bytes);
}

WeightBuffer JoinedStage::whole() const {
  MutexLock lock(mu_);
  return whole_;
}

}  // namespace bwrt::runtime
