#include "kernels/aligned_buffer.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

// A refused allocation is part of the contract: have the sanitizers' allocators return null too.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace bwrt::kernels {
namespace {

TEST(AlignedBufferTest, IsAlignedAndWritable) {
  for (const int64_t count : {int64_t{1}, int64_t{1000}, AlignedBuffer::kHugeFrom, AlignedBuffer::kHugeFrom + 1}) {
    std::optional<AlignedBuffer> buffer = AlignedBuffer::Allocate(count);
    ASSERT_TRUE(buffer);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % AlignedBuffer::kAlignment, 0u);
    EXPECT_EQ(buffer->size(), count);
    buffer->data()[0] = std::byte{1};
    buffer->data()[count - 1] = std::byte{2};
    const AlignedBuffer moved = *std::move(buffer);
    EXPECT_EQ(moved.data()[count - 1], std::byte{2});
  }
}

TEST(AlignedBufferTest, HoldsNothingAtFirst) {
  const AlignedBuffer buffer;
  EXPECT_EQ(buffer.size(), 0);
}

TEST(AlignedBufferTest, RefusesWhatCannotBeHad) {
  EXPECT_FALSE(AlignedBuffer::Allocate(-1));
  EXPECT_FALSE(AlignedBuffer::Allocate(std::numeric_limits<int64_t>::max()));
  EXPECT_FALSE(AlignedBuffer::Allocate(int64_t{1} << 50));
}

}  // namespace
}  // namespace bwrt::kernels
