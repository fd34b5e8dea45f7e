#include "tests/runtime/cuda/fake_kernels.h"

#include <algorithm>

#include "kernels/activation.h"
#include "kernels/dtype.h"
#include "runtime/cuda_plugin_abi.h"

namespace bwrt::cuda {
namespace {

kernels::DType TypeOf(int32_t dtype) {
  return dtype == BWRT_CUDA_F16    ? kernels::DType::kF16
         : dtype == BWRT_CUDA_BF16 ? kernels::DType::kBF16
                                   : kernels::DType::kF32;
}

float Load(const void* base, int64_t index, int32_t dtype) {
  float value = 0;
  const kernels::DType type = TypeOf(dtype);
  kernels::ToF32(type, static_cast<const std::byte*>(base) + index * kernels::SizeOf(type), 1, &value);
  return value;
}

void Store(void* base, int64_t index, int32_t dtype, float value) {
  const kernels::DType type = TypeOf(dtype);
  kernels::FromF32(type, &value, 1, static_cast<std::byte*>(base) + index * kernels::SizeOf(type));
}

float Activated(int32_t activation, float value) {
  // The numbers are the same: tests of CudaWave say so.
  kernels::Activate(static_cast<kernels::Activation>(activation), &value, 1);
  return value;
}

}  // namespace

void ComputePlain(const kernels::PlainGemm& g) {
  for (int64_t i = g.first; i < g.first + g.count; ++i) {
    const int64_t tile_m = g.tiles != nullptr ? g.tiles[i] >> 16 : i / g.grid_cols;
    const int64_t tile_n = g.tiles != nullptr ? g.tiles[i] & 0xffff : i % g.grid_cols;
    ++*g.ticket;
    for (int64_t row = tile_m * g.bm; row < std::min(g.m, (tile_m + 1) * g.bm); ++row) {
      for (int64_t col = tile_n * g.bn; col < std::min(g.n, (tile_n + 1) * g.bn); ++col) {
        float sum = 0;
        for (int64_t k = 0; k < g.k; ++k) {
          const int64_t at = g.w_transposed ? col * g.ldw + k : k * g.ldw + col;
          sum += Load(g.a, row * g.lda + k, g.dtype) * Load(g.w, at, g.dtype);
        }
        float value = g.alpha * sum;
        if (g.beta != 0) value += g.beta * Load(g.c, row * g.ldc + col, g.c_dtype);
        if (g.bias != nullptr) value += g.bias[col];
        Store(g.c, row * g.ldc + col, g.c_dtype, Activated(g.activation, value));
      }
    }
  }
}

void ComputeMatmul(const LtProblem& p, const LtArguments& x) {
  const int32_t activation = p.activation == LtActivation::kRelu   ? BWRT_CUDA_RELU
                             : p.activation == LtActivation::kGelu ? BWRT_CUDA_GELU_TANH
                                                                   : BWRT_CUDA_IDENTITY;
  for (int64_t j = 0; j < p.cols; ++j) {
    for (int64_t i = 0; i < p.rows; ++i) {
      float sum = 0;
      for (int64_t k = 0; k < p.k; ++k) {
        const int64_t at = p.a_transposed ? i * p.lda + k : k * p.lda + i;
        sum += Load(x.a, at, p.dtype) * Load(x.b, j * p.ldb + k, p.dtype);
      }
      float value = x.alpha * sum;
      if (x.beta != 0) value += x.beta * Load(x.c, j * p.ldc + i, p.c_dtype);
      if (p.bias) value += Load(x.bias, i, p.c_dtype);
      Store(x.c, j * p.ldc + i, p.c_dtype, Activated(activation, value));
    }
  }
}

}  // namespace bwrt::cuda
