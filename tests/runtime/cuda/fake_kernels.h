// What the fake GPU's kernels compute, as loops over host memory.
#ifndef BWRT_TESTS_RUNTIME_CUDA_FAKE_KERNELS_H_
#define BWRT_TESTS_RUNTIME_CUDA_FAKE_KERNELS_H_

#include "kernels/cuda/plain_gemm_cuda.h"
#include "kernels/cuda/wgmma_gemm_cuda.h"
#include "runtime/cuda/cublaslt_matmul.h"

namespace bwrt::cuda {

// As PlainGemm says.
void ComputePlain(const kernels::PlainGemm& gemm);

// As WgmmaGemm says.
void ComputeWgmma(const kernels::WgmmaGemm& gemm);

// As LtMatmul says, column by column as cuBLASLt counts them.
void ComputeMatmul(const LtProblem& problem, const LtArguments& arguments);

}  // namespace bwrt::cuda

#endif  // BWRT_TESTS_RUNTIME_CUDA_FAKE_KERNELS_H_
