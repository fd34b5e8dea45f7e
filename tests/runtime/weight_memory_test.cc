#include "runtime/weight_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

WeightBuffer Allocate(WeightMemory& memory, size_t bytes) {
  auto buffer = memory.Allocate(bytes);
  EXPECT_TRUE(buffer.ok()) << buffer.status();
  return *std::move(buffer);
}

TEST(WeightMemoryTest, BuffersAreAlignedWritableAndAsLargeAsAsked) {
  WeightMemory memory(kNoLimit);
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{100}, kMiB - 1, kMiB, kMiB + 1, 2 * kMiB - 1, 2 * kMiB,
                             2 * kMiB + 1, 7 * kMiB + 5}) {
    WeightBuffer buffer = Allocate(memory, bytes);
    ASSERT_EQ(buffer.size(), bytes);
    ASSERT_NE(buffer.data(), nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u) << bytes;
    std::memset(buffer.data(), 'x', bytes);
    EXPECT_EQ(buffer.view(), absl::string_view(std::string(bytes, 'x')));
  }
}

TEST(WeightMemoryTest, WhatWasGivenBackIsUsedAgain) {
  WeightMemory memory(kNoLimit);
  const char* first = nullptr;
  {
    WeightBuffer buffer = Allocate(memory, 32 * kMiB);
    first = buffer.data();
    EXPECT_EQ(memory.kept(), 0u);
  }
  EXPECT_EQ(memory.kept(), 32 * kMiB);
  {
    // A little smaller: the waste is small.
    const WeightBuffer buffer = Allocate(memory, 30 * kMiB - 7);
    EXPECT_EQ(buffer.data(), first);
    EXPECT_EQ(buffer.size(), 30 * kMiB - 7);
    EXPECT_EQ(memory.kept(), 0u);
  }
  EXPECT_EQ(memory.kept(), 32 * kMiB) << "the whole mapping comes back";
}

TEST(WeightMemoryTest, SmallBuffersAreNotKept) {
  WeightMemory memory(kNoLimit);
  Allocate(memory, kMiB - 1);
  EXPECT_EQ(memory.kept(), 0u);
  Allocate(memory, kMiB);
  EXPECT_EQ(memory.kept(), kMiB);
}

TEST(WeightMemoryTest, KeepsNoMoreThanItsLimit) {
  WeightMemory memory(10 * kMiB);
  {
    const WeightBuffer a = Allocate(memory, 4 * kMiB);
    const WeightBuffer b = Allocate(memory, 4 * kMiB);
    const WeightBuffer c = Allocate(memory, 4 * kMiB);
    const WeightBuffer d = Allocate(memory, 2 * kMiB);
  }
  // In the reverse order: d, c and b fit exactly, a does not.
  EXPECT_EQ(memory.kept(), 10 * kMiB);

  WeightMemory none(0);
  Allocate(none, 4 * kMiB);
  EXPECT_EQ(none.kept(), 0u);
}

// Kept and in use together never exceed the most that was ever in use at once.
TEST(WeightMemoryTest, KeepingDoesNotMakeTheProcessLarger) {
  WeightMemory memory(kNoLimit);
  Allocate(memory, 16 * kMiB);
  ASSERT_EQ(memory.kept(), 16 * kMiB);
  {
    // Too different to be reused: as much as the new one takes is released first.
    const WeightBuffer small = Allocate(memory, 4 * kMiB);
    EXPECT_EQ(memory.kept(), 0u);
  }
  EXPECT_EQ(memory.kept(), 4 * kMiB);
  {
    const WeightBuffer large = Allocate(memory, 64 * kMiB);
    EXPECT_EQ(memory.kept(), 0u);
  }
  EXPECT_EQ(memory.kept(), 64 * kMiB);
}

TEST(WeightMemoryTest, ReleasesTheSmallestThatIsEnough) {
  WeightMemory memory(kNoLimit);
  {
    const WeightBuffer a = Allocate(memory, 64 * kMiB);
    const WeightBuffer b = Allocate(memory, 8 * kMiB);
    const WeightBuffer c = Allocate(memory, 2 * kMiB);
  }
  {
    const WeightBuffer new_size = Allocate(memory, 4 * kMiB);
    EXPECT_EQ(memory.kept(), 66 * kMiB) << "the 8 MiB went";
  }
  // Of 64, 4 and 2 MiB none is enough alone: the largest goes, and the smallest that covers the rest.
  const WeightBuffer larger = Allocate(memory, 66 * kMiB);
  EXPECT_EQ(memory.kept(), 4 * kMiB) << "64 and 2 MiB went";
}

TEST(WeightMemoryTest, MoreThanAnyMachineHasIsRefused) {
  WeightMemory memory(kNoLimit);
  for (const size_t bytes :
       {std::numeric_limits<size_t>::max(), std::numeric_limits<size_t>::max() - 2 * kMiB, size_t{1} << 62}) {
    const auto buffer = memory.Allocate(bytes);
    ASSERT_FALSE(buffer.ok());
    EXPECT_EQ(buffer.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(GetReason(buffer.status()), "WEIGHT_MEMORY");
  }
  EXPECT_EQ(Allocate(memory, 2 * kMiB).size(), 2 * kMiB);
}

TEST(WeightBufferTest, EmptyUntilItIsGivenSomething) {
  const WeightBuffer buffer;
  EXPECT_EQ(buffer.size(), 0u);
  EXPECT_EQ(buffer.view(), "");
}

TEST(WeightBufferTest, AdoptsAStringWithoutCopyingIt) {
  std::string bytes(1000, 'a');
  const char* where = bytes.data();
  WeightBuffer buffer(std::move(bytes));
  EXPECT_EQ(buffer.data(), where);
  EXPECT_EQ(buffer.size(), 1000u);
  buffer.data()[999] = 'z';
  EXPECT_EQ(buffer.view(), std::string(999, 'a') + "z");
}

TEST(WeightBufferTest, ShortStringsSurviveMoves) {
  WeightBuffer first(std::string("short"));  // Lies within the string object, which moves.
  first.SkipPrefix(1);
  WeightBuffer second(std::move(first));
  EXPECT_EQ(second.view(), "hort");
  WeightBuffer third;
  third = std::move(second);
  EXPECT_EQ(third.view(), "hort");
}

TEST(WeightBufferTest, SkipsAPrefix) {
  WeightMemory memory(kNoLimit);
  {
    WeightBuffer buffer = Allocate(memory, 2 * kMiB);
    const char* begin = buffer.data();
    std::memcpy(buffer.data(), "header:data", 11);
    buffer.SkipPrefix(3);
    buffer.SkipPrefix(4);
    EXPECT_EQ(buffer.data(), begin + 7);
    EXPECT_EQ(buffer.size(), 2 * kMiB - 7);
    EXPECT_EQ(buffer.view().substr(0, 4), "data");
    buffer.SkipPrefix(3 * kMiB);
    EXPECT_EQ(buffer.size(), 0u);
    EXPECT_EQ(buffer.data(), begin + 2 * kMiB);
  }
  EXPECT_EQ(memory.kept(), 2 * kMiB) << "the whole of it comes back";
}

TEST(WeightBufferTest, AMoveHandsItOverOnce) {
  WeightMemory memory(kNoLimit);
  {
    WeightBuffer first = Allocate(memory, 2 * kMiB);
    const char* data = first.data();
    WeightBuffer second(std::move(first));
    EXPECT_EQ(second.data(), data);
    EXPECT_EQ(second.size(), 2 * kMiB);
    EXPECT_EQ(memory.kept(), 0u);
  }
  EXPECT_EQ(memory.kept(), 2 * kMiB);
}

TEST(WeightBufferTest, AssignmentGivesBackWhatWasHeld) {
  WeightMemory memory(kNoLimit);
  WeightBuffer held = Allocate(memory, 4 * kMiB);
  WeightBuffer other = Allocate(memory, 2 * kMiB);
  const char* data = other.data();
  held = std::move(other);
  EXPECT_EQ(memory.kept(), 4 * kMiB) << "while the source of the move is still alive";
  EXPECT_EQ(held.data(), data);
  WeightBuffer& itself = held;
  held = std::move(itself);
  EXPECT_EQ(held.data(), data);
  EXPECT_EQ(held.size(), 2 * kMiB);
  held = WeightBuffer();
  EXPECT_EQ(memory.kept(), 6 * kMiB);
  held = WeightBuffer(std::string("adopted"));
  EXPECT_EQ(held.view(), "adopted");
}

}  // namespace
}  // namespace bwrt::runtime
