// Counts allocations while tiles run: there are none.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <optional>
#include <vector>

#include "kernels/kernel_dtype.h"
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
  if (!HaveKernels()) GTEST_SKIP() << "this CPU has no AVX2";
  TestMatrix a(DType::kF16, 200, 700);
  TestMatrix w(DType::kF16, 700, 300);
  TestMatrix c(DType::kBF16, 200, 300);
  for (TestMatrix* matrix : {&a, &w, &c}) matrix->Fill([] { return 0.5f; });
  const std::vector<float> bias(300, 1.0f);
  GemmProblem problem;
  problem.m = 200;
  problem.n = 300;
  problem.k = 700;
  problem.a = a.view();
  problem.w = *PackedWeights::Pack(w.view(), false);
  problem.c = c.mutable_view();
  problem.beta = 1;
  problem.bias = bias;
  problem.activation = Activation::kGeluErf;
  AlignedBuffer memory;
  auto gemm = TileGemm::Create(problem, 96, memory);
  ASSERT_TRUE(gemm.ok());
  std::optional<TileScratch> scratch = TileScratch::Create();
  ASSERT_TRUE(scratch);
  const int before = allocations;
  for (int64_t col0 : {0, 96, 192}) {
    for (int64_t row0 : {0, 96}) (*gemm)->Run({row0, col0, 96, 96}, *scratch);
  }
  (*gemm)->Run({192, 288, 8, 12}, *scratch);
  EXPECT_EQ(allocations, before);
  EXPECT_GT(before, 0);
}

}  // namespace
}  // namespace bwrt::kernels
