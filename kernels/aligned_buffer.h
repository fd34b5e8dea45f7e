#ifndef BWRT_KERNELS_ALIGNED_BUFFER_H_
#define BWRT_KERNELS_ALIGNED_BUFFER_H_

// Owned memory on a cache-line boundary, for packed operands and accumulators.
//
// Move-only; the bytes are not initialised. Not synchronised: it is used like a plain array.
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

  // Holds nothing: size() is 0.
  AlignedBuffer() : data_(nullptr, Free{std::align_val_t{kAlignment}}) {}

  // Room for `bytes`; nullopt when that is negative or there is no memory.
  static std::optional<AlignedBuffer> Allocate(int64_t bytes);

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  float* floats() { return reinterpret_cast<float*>(data_.get()); }
  const float* floats() const { return reinterpret_cast<const float*>(data_.get()); }
  int64_t size() const { return size_; }

 private:
  struct Free {
    std::align_val_t alignment;  // What the memory was allocated with.
    void operator()(std::byte* memory) const { ::operator delete(memory, alignment); }
  };

  AlignedBuffer(std::byte* memory, std::align_val_t alignment, int64_t bytes)
      : data_(memory, Free{alignment}), size_(bytes) {}

  std::unique_ptr<std::byte[], Free> data_;
  int64_t size_ = 0;
};

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_ALIGNED_BUFFER_H_
