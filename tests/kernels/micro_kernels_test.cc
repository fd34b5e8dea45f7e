#include "kernels/micro_kernels.h"

#include <gtest/gtest.h>
#include <libxsmm.h>

#include <random>
#include <vector>

namespace bwrt::kernels {
namespace {

TEST(MicroKernelsTest, MultipliesEveryChunk) {
  if (MicroKernels::name() == "none") GTEST_SKIP() << "this CPU has no AVX2";
  std::mt19937 random(3);
  std::uniform_int_distribution<int> digit(-3, 3);  // Small integers: sums are exact in any order.
  for (const int64_t k : {8, 64, 72, 512, 520, 1024, 1032}) {
    const KChunks chunks(k);
    const auto kernels = MicroKernels::Create(chunks, {5, 64});
    ASSERT_TRUE(kernels.ok()) << kernels.status();
    for (int64_t chunk = 0; chunk < chunks.count(); ++chunk) {
      const int64_t length = chunks.length(chunk);
      const int64_t stride = KChunks::RowStride(length);
      std::vector<float> a(static_cast<std::size_t>(64 * stride));
      std::vector<float> w(static_cast<std::size_t>(length * 64));
      for (float& value : a) value = static_cast<float>(digit(random));
      for (float& value : w) value = static_cast<float>(digit(random));
      for (const int64_t rows : {1, 5, 6, 64}) {
        std::vector<float> sums(static_cast<std::size_t>((64 + 1) * 64), 777.0f);
        kernels->Run(rows, chunk, a.data(), w.data(), sums.data());
        for (int64_t i = 0; i < kernels->PaddedRows(rows); ++i) {
          for (int64_t j = 0; j < 64; ++j) {
            float want = 0;
            for (int64_t x = 0; x < length; ++x) want += a[i * stride + x] * w[x * 64 + j];
            ASSERT_EQ(sums[i * 64 + j], want) << "k " << k << " chunk " << chunk << " at " << i << ", " << j;
          }
        }
        ASSERT_EQ(sums[kernels->PaddedRows(rows) * 64], 777.0f);
      }
    }
  }
}

TEST(MicroKernelsTest, PadsToTheNextKernel) {
  if (MicroKernels::name() == "none") GTEST_SKIP() << "this CPU has no AVX2";
  const auto kernels = MicroKernels::Create(KChunks(16), {36, 64, 7});
  ASSERT_TRUE(kernels.ok());
  EXPECT_EQ(kernels->PaddedRows(1), 7);
  EXPECT_EQ(kernels->PaddedRows(7), 7);
  EXPECT_EQ(kernels->PaddedRows(8), 36);
  EXPECT_EQ(kernels->PaddedRows(36), 36);
  EXPECT_EQ(kernels->PaddedRows(37), 64);
  EXPECT_EQ(kernels->PaddedRows(64), 64);
}

TEST(MicroKernelsTest, RefusesRowCountsOutOfRange) {
  if (MicroKernels::name() == "none") GTEST_SKIP() << "this CPU has no AVX2";
  EXPECT_EQ(MicroKernels::Create(KChunks(8), {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MicroKernels::Create(KChunks(8), {0}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MicroKernels::Create(KChunks(8), {65}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(MicroKernelsTest, AnOldCpuIsUnavailable) {
  const int arch = libxsmm_get_target_archid();
  libxsmm_set_target_arch("snb");
  EXPECT_EQ(MicroKernels::name(), "none");
  const absl::Status status = MicroKernels::Create(KChunks(8), {1}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  libxsmm_set_target_archid(arch);
}

}  // namespace
}  // namespace bwrt::kernels
