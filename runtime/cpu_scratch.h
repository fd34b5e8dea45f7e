// CpuScratch: the memory that waves on a processor compute with, kept from one to the next: to touch fresh memory costs
// more than what is done in it. Thread-safe.
#ifndef BWRT_RUNTIME_CPU_SCRATCH_H_
#define BWRT_RUNTIME_CPU_SCRATCH_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/aligned_buffer.h"
#include "kernels/tile_gemm.h"
#include "runtime/mutex.h"

namespace bwrt::runtime {

class CpuScratch {
 public:
  // Larger memory for rows of A is freed after its wave.
  static constexpr int64_t kKeptRowBytes = int64_t{64} << 20;

  // Something taken out; it goes back when this goes.
  template <typename T>
  class Loan {
   public:
    Loan(CpuScratch* owner, std::unique_ptr<T> item) : owner_(owner), item_(std::move(item)) {}
    Loan(Loan&&) noexcept = default;
    Loan& operator=(Loan&&) = delete;
    ~Loan() {
      if (item_ != nullptr) owner_->Return(std::move(item_));
    }
    explicit operator bool() const { return item_ != nullptr; }
    T& operator*() const { return *item_; }
    T* operator->() const { return item_.get(); }

   private:
    CpuScratch* owner_;
    std::unique_ptr<T> item_;
  };

  // For one thread, while it works on one wave; false where there is no memory.
  Loan<kernels::TileScratch> ForTiles();
  // For the packed rows of one wave; empty at first. False as above.
  Loan<kernels::AlignedBuffer> ForRows();

 private:
  void Return(std::unique_ptr<kernels::TileScratch> tiles);
  void Return(std::unique_ptr<kernels::AlignedBuffer> rows);

  Mutex mu_;
  std::vector<std::unique_ptr<kernels::TileScratch>> tiles_ ABSL_GUARDED_BY(mu_);
  std::vector<std::unique_ptr<kernels::AlignedBuffer>> rows_ ABSL_GUARDED_BY(mu_);
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_CPU_SCRATCH_H_
