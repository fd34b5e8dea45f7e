#ifndef BWRT_KERNELS_ALIGNED_BUFFER_H_
#define BWRT_KERNELS_ALIGNED_BUFFER_H_

// An owned array of f32 on a cache-line boundary, for packed operands and accumulators.
//
// Move-only; the elements are not initialised. Not synchronised: it is used like a plain array.
//
// 1. `data()` is a multiple of kAlignment. A buffer that was moved from may only be destroyed or
//    assigned.
// 2. Allocate never throws: what cannot be had is nullopt.
// 3. From kHugeFrom bytes on, the memory is offered to the kernel for huge pages: first touch,
//    which dominates packing, and address translation both become cheaper.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>

namespace bwrt::kernels {

class AlignedBuffer {
 public:
  static constexpr int64_t kAlignment = 64;
  static constexpr int64_t kHugeFrom = int64_t{8} << 20;

  // Room for `count` values; nullopt when count is negative, its bytes do not fit in int64_t, or
  // there is no memory.
  static std::optional<AlignedBuffer> Allocate(int64_t count);

  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  int64_t size() const { return size_; }

 private:
  struct Free {
    std::align_val_t alignment;  // What the memory was allocated with.
    void operator()(float* memory) const { ::operator delete(memory, alignment); }
  };

  AlignedBuffer(float* memory, std::align_val_t alignment, int64_t count)
      : data_(memory, Free{alignment}), size_(count) {}

  std::unique_ptr<float[], Free> data_;
  int64_t size_;
};

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_ALIGNED_BUFFER_H_
