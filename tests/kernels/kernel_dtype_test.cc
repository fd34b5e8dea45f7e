#include "kernels/kernel_dtype.h"

#include <gtest/gtest.h>
#include <libxsmm.h>

namespace bwrt::kernels {
namespace {

// As if this CPU were an older one; back to what it is afterwards.
class KernelDTypeTest : public testing::Test {
 protected:
  KernelDTypeTest() { HaveKernels(); }  // Has limited what is too new.
  ~KernelDTypeTest() override { libxsmm_set_target_archid(arch_); }

  const int arch_ = libxsmm_get_target_archid();
};

TEST_F(KernelDTypeTest, FollowsTheCpu) {
  libxsmm_set_target_archid(LIBXSMM_X86_AVX512_CPX);
  EXPECT_TRUE(HaveKernels());
  EXPECT_EQ(KernelDType(DType::kBF16), DType::kBF16);
  EXPECT_EQ(KernelDType(DType::kF16), DType::kF32);
  EXPECT_EQ(KernelDType(DType::kF32), DType::kF32);
  EXPECT_EQ(KernelName(DType::kBF16), "libxsmm_bf16_avx512");
  EXPECT_EQ(KernelName(DType::kF32), "libxsmm_f32_avx512");

  libxsmm_set_target_archid(LIBXSMM_X86_AVX512_CORE);
  EXPECT_EQ(KernelDType(DType::kBF16), DType::kF32);
  EXPECT_EQ(KernelName(DType::kBF16), "libxsmm_f32_avx512");

  libxsmm_set_target_archid(LIBXSMM_X86_AVX2);
  EXPECT_TRUE(HaveKernels());
  EXPECT_EQ(KernelName(DType::kF16), "libxsmm_f32_avx2");

  libxsmm_set_target_archid(LIBXSMM_X86_SSE4);
  EXPECT_FALSE(HaveKernels());
  EXPECT_EQ(KernelName(DType::kF32), "none");
}

TEST_F(KernelDTypeTest, NothingBeyondWhatWasTestedIsUsed) { EXPECT_LE(arch_, LIBXSMM_X86_AVX512_CPX); }

}  // namespace
}  // namespace bwrt::kernels
