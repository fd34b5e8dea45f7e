#ifndef BWRT_KERNELS_KERNEL_DTYPE_H_
#define BWRT_KERNELS_KERNEL_DTYPE_H_

// In which element type the CPU's micro-kernels read their operands. They accumulate in f32 always.
//
// Pure functions of the host, thread-safe; the answers are those of libxsmm's idea of the CPU, which
// its environment variable LIBXSMM_TARGET can limit.

#include <string_view>

#include "kernels/dtype.h"

namespace bwrt::kernels {

// Whether there are kernels at all: the CPU has AVX2 with FMA.
bool HaveKernels();

// What operands of type `dtype` are multiplied as: kBF16 for bf16 on a CPU that multiplies bf16 itself
// (AVX512_BF16), where subnormal products count as zero; else kF32, which represents all of them exactly.
DType KernelDType(DType dtype);

// Name of the kernels that multiply operands of type `dtype`: "libxsmm_bf16_avx512",
// "libxsmm_f32_avx512" or "libxsmm_f32_avx2"; "none" where HaveKernels() is false.
std::string_view KernelName(DType dtype);

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_KERNEL_DTYPE_H_
