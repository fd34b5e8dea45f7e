#include "runtime/cuda/cuda_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "runtime/cuda/cuda_rows.h"
#include "runtime/cuda/cuda_transfer.h"
#include "tests/runtime/cuda/fake_cuda_driver.h"

namespace bwrt::cuda {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int64_t kMiB = int64_t{1} << 20;

class CudaPoolTest : public ::testing::Test {
 protected:
  ~CudaPoolTest() override {
    pool_.reset();
    EXPECT_EQ(gpu_.leftovers(), "");
    EXPECT_THAT(gpu_.violations(), IsEmpty());
  }
  DevicePtr Allocate(int64_t bytes) {
    DevicePtr memory = nullptr;
    const CudaStatus status = pool_->Allocate(bytes, &memory);
    EXPECT_TRUE(status.ok()) << status.text();
    return memory;
  }
  FakeGpu gpu_;
  FakeCudaDriver driver_{&gpu_};
  std::unique_ptr<CudaPool> pool_ = std::make_unique<CudaPool>(&driver_, 16 * kMiB);
};

TEST_F(CudaPoolTest, HandsOutAgainWhatWasGivenBack) {
  const DevicePtr first = Allocate(3 * kMiB);
  EXPECT_EQ(pool_->used(), 4 * kMiB) << "in units of 2 MiB";
  pool_->Free(first, 3 * kMiB);
  EXPECT_EQ(pool_->used(), 0);
  EXPECT_EQ(pool_->kept(), 4 * kMiB);
  gpu_.ClearLog();
  const DevicePtr second = Allocate(4 * kMiB);
  EXPECT_EQ(second, first);
  EXPECT_THAT(gpu_.log(), IsEmpty());
  pool_->Free(second, 4 * kMiB);
}

TEST_F(CudaPoolTest, WhatIsKeptMakesRoomForOtherSizes) {
  pool_->Free(Allocate(8 * kMiB), 8 * kMiB);
  pool_->Free(Allocate(2 * kMiB), 2 * kMiB);
  const DevicePtr large = Allocate(12 * kMiB);
  EXPECT_EQ(pool_->used(), 12 * kMiB);
  EXPECT_EQ(pool_->kept(), 2 * kMiB) << "the larger one went";
  EXPECT_EQ(gpu_.memory_in_use(), 14 * kMiB);
  pool_->Free(large, 12 * kMiB);
}

TEST_F(CudaPoolTest, RefusesBeyondTheLimitBeforeTheDeviceIsAsked) {
  const DevicePtr most = Allocate(10 * kMiB);
  gpu_.ClearLog();
  DevicePtr more = nullptr;
  for (const int64_t bytes : {8 * kMiB, 17 * kMiB, std::numeric_limits<int64_t>::max()}) {
    EXPECT_EQ(pool_->Allocate(bytes, &more).code(), BWRT_CUDA_OUT_OF_DEVICE_MEMORY);
  }
  EXPECT_THAT(gpu_.log(), IsEmpty());
  EXPECT_EQ(pool_->used(), 10 * kMiB);
  pool_->Free(most, 10 * kMiB);
}

TEST_F(CudaPoolTest, TriesAgainWithoutWhatIsKeptWhenTheDeviceIsFull) {
  gpu_.memory = 8 * kMiB;
  pool_->Free(Allocate(6 * kMiB), 6 * kMiB);
  const DevicePtr other = Allocate(4 * kMiB);
  EXPECT_EQ(pool_->kept(), 0);
  DevicePtr more = nullptr;
  EXPECT_EQ(pool_->Allocate(6 * kMiB, &more).code(), BWRT_CUDA_OUT_OF_DEVICE_MEMORY);
  pool_->Free(other, 4 * kMiB);
}

TEST_F(CudaPoolTest, ForgetsWhatWentWithTheContext) {
  Allocate(kMiB);
  pool_->Free(Allocate(3 * kMiB), 3 * kMiB);
  pool_->Forget();
  ASSERT_TRUE(driver_.Reset().ok());
  EXPECT_EQ(pool_->used() + pool_->kept(), 0);
}

// ---- transfers

class CudaTransferTest : public ::testing::Test {
 protected:
  CudaTransferTest() {
    EXPECT_TRUE(driver_.CreateStream(false, &stream_).ok());
    EXPECT_TRUE(driver_.Allocate(4096, &memory_).ok());
    EXPECT_TRUE(CudaTransfer::Create(&driver_, 64, &transfer_).ok());
  }
  ~CudaTransferTest() override {
    transfer_.reset();
    EXPECT_TRUE(driver_.Free(memory_).ok());
    EXPECT_TRUE(driver_.DestroyStream(stream_).ok());
    EXPECT_EQ(gpu_.leftovers(), "");
    EXPECT_THAT(gpu_.violations(), IsEmpty());
  }
  FakeGpu gpu_;
  FakeCudaDriver driver_{&gpu_};
  Stream stream_ = nullptr;
  DevicePtr memory_ = nullptr;
  std::unique_ptr<CudaTransfer> transfer_;
};

TEST_F(CudaTransferTest, ThereAndBackInPieces) {
  for (const int64_t bytes : {1, 63, 64, 65, 128, 1000}) {
    SCOPED_TRACE(bytes);
    const auto fill = [](int64_t offset, int64_t count, std::byte* to) {
      for (int64_t i = 0; i < count; ++i) to[i] = static_cast<std::byte>((offset + i) * 7);
    };
    ASSERT_TRUE(transfer_->ToDevice(memory_, bytes, fill, stream_).ok());
    std::vector<std::byte> back(static_cast<size_t>(bytes));
    int64_t expected = 0;
    const auto take = [&](int64_t offset, int64_t count, const std::byte* from) {
      EXPECT_EQ(offset, expected) << "in order";
      expected += count;
      std::copy_n(from, count, back.begin() + offset);
    };
    ASSERT_TRUE(transfer_->ToHost(memory_, bytes, take, stream_).ok());
    EXPECT_EQ(expected, bytes);
    for (int64_t i = 0; i < bytes; ++i) ASSERT_EQ(back[static_cast<size_t>(i)], static_cast<std::byte>(i * 7)) << i;
    EXPECT_FALSE(gpu_.busy());
  }
}

TEST_F(CudaTransferTest, TheHostWaitsOnlyForThePieceItWants) {
  const auto fill = [](int64_t, int64_t count, std::byte* to) { std::fill_n(to, count, std::byte{1}); };
  gpu_.ClearLog();
  ASSERT_TRUE(transfer_->ToDevice(memory_, 128, fill, stream_).ok());
  EXPECT_THAT(gpu_.log(), Not(Contains("Synchronize"))) << "two pieces fit without waiting";
  EXPECT_TRUE(gpu_.busy());
  ASSERT_TRUE(transfer_->ToDevice(memory_, 64, fill, stream_).ok());
  EXPECT_THAT(gpu_.log(), Contains("Synchronize"));
  ASSERT_TRUE(driver_.SynchronizeStream(stream_).ok());
}

// ---- rows

TEST(CudaRowsTest, GathersAndScattersRowsWithGapsInAnotherOrder) {
  // Three rows of 3 bytes, 5 apart in host memory, 4 apart on the device, the last first.
  std::vector<std::byte> host(13);
  for (size_t i = 0; i < host.size(); ++i) host[i] = static_cast<std::byte>(i);
  const int64_t order[] = {2, 0, 1};
  const CudaRows rows{host.data(), 3, 3, 4, 5, order};
  ASSERT_EQ(rows.bytes(), 12);
  for (int64_t piece = 1; piece <= 12; ++piece) {
    std::vector<std::byte> device(12, std::byte{0xff});
    for (int64_t at = 0; at < 12; at += piece) rows.Gather(at, std::min<int64_t>(piece, 12 - at), device.data() + at);
    const int expected[] = {10, 11, 12, 255, 0, 1, 2, 255, 5, 6, 7, 255};
    for (size_t i = 0; i < 12; ++i) ASSERT_EQ(static_cast<int>(device[i]), expected[i]) << piece << " " << i;

    std::vector<std::byte> result(13, std::byte{0xee});
    const CudaRows to{result.data(), 3, 3, 4, 5, order};
    for (int64_t at = 0; at < 12; at += piece) to.Scatter(at, std::min<int64_t>(piece, 12 - at), device.data() + at);
    for (size_t i = 0; i < 13; ++i) {
      const bool gap = i % 5 >= 3;
      ASSERT_EQ(static_cast<int>(result[i]), gap ? 0xee : static_cast<int>(i)) << piece << " " << i;
    }
  }
}

}  // namespace
}  // namespace bwrt::cuda
