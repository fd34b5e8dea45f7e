#include "kernels/aligned_buffer.h"

#include <sys/mman.h>

namespace bwrt::kernels {

std::optional<AlignedBuffer> AlignedBuffer::Allocate(int64_t bytes) {
  constexpr int64_t kHugePage = int64_t{2} << 20;
  if (bytes < 0) return std::nullopt;
  const bool huge = bytes >= kHugeFrom;
  const std::align_val_t alignment{static_cast<std::size_t>(huge ? kHugePage : kAlignment)};
  void* memory = ::operator new(static_cast<std::size_t>(bytes), alignment, std::nothrow);
  if (memory == nullptr) return std::nullopt;
  // Only whole huge pages of ours, since the heap's neighbours are none of our business. Advice: a
  // refusal costs speed only.
  if (huge) madvise(memory, static_cast<std::size_t>(bytes / kHugePage * kHugePage), MADV_HUGEPAGE);
  return AlignedBuffer(static_cast<std::byte*>(memory), alignment, bytes);
}

}  // namespace bwrt::kernels
