// Counts allocations while tiles run: there are none.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include "kernels/tile_gemm.h"
#include "tests/kernels/test_matrix.h"

namespace {

std::atomic<int> allocations{0};

void* Count(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  return std::aligned_alloc(alignment, (bytes + alignment) / alignment * alignment);
}

}  // namespace

void* operator new(std::size_t bytes) {
  void* memory = Count(bytes, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
  if (memory == nullptr) std::abort();
  return memory;
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return Count(bytes, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return Count(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }

namespace bwrt::kernels {
namespace {

TEST(TileGemmAllocationTest, RunAllocatesNothing) {
  if (TileGemm::kernel_name() == "none") GTEST_SKIP() << "this CPU has no AVX2";
  TestMatrix a(DType::kBF16, 200, 700);
  TestMatrix w(DType::kBF16, 700, 300);
  TestMatrix c(DType::kBF16, 200, 300);
  for (TestMatrix* matrix : {&a, &w, &c}) matrix->Fill([] { return 0.5f; });
  const std::vector<float> bias(300, 1.0f);
  auto gemm = TileGemm::Create({.m = 200,
                                .n = 300,
                                .k = 700,
                                .a = a.view(),
                                .w = *PackedWeights::Pack(w.view(), false),
                                .c = c.mutable_view(),
                                .beta = 1,
                                .bias = bias,
                                .activation = Activation::kGeluErf},
                               96, 96);
  ASSERT_TRUE(gemm.ok());
  const int before = allocations;
  for (int64_t col0 : {0, 96, 192}) {
    for (int64_t row0 : {0, 96}) (*gemm)->Run({row0, col0, 96, 96});
  }
  (*gemm)->Run({192, 288, 8, 12});
  EXPECT_EQ(allocations, before);
  EXPECT_GT(before, 0);
}

}  // namespace
}  // namespace bwrt::kernels
