#include "kernels/kernel_dtype.h"

#include <libxsmm.h>

namespace bwrt::kernels {
namespace {

// Newer CPUs are used as AVX512_BF16 ones: libxsmm 1.17's kernels for what came after it (tiles that
// need a set-up of their own) are not what this was tested with.
int TargetArch() {
  static const bool limited = [] {
    if (libxsmm_get_target_archid() > LIBXSMM_X86_AVX512_CPX) libxsmm_set_target_archid(LIBXSMM_X86_AVX512_CPX);
    return true;
  }();
  return limited ? libxsmm_get_target_archid() : 0;
}

}  // namespace

bool HaveKernels() { return TargetArch() >= LIBXSMM_X86_AVX2; }

DType KernelDType(DType dtype) {
  return dtype == DType::kBF16 && TargetArch() >= LIBXSMM_X86_AVX512_CPX ? DType::kBF16 : DType::kF32;
}

std::string_view KernelName(DType dtype) {
  if (!HaveKernels()) return "none";
  if (KernelDType(dtype) == DType::kBF16) return "libxsmm_bf16_avx512";
  return TargetArch() < LIBXSMM_X86_AVX512 ? "libxsmm_f32_avx2" : "libxsmm_f32_avx512";
}

}  // namespace bwrt::kernels
