#include "tests/runtime/cuda/fake_kernels.h"

#include <algorithm>
#include <vector>

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
  if (dtype == BWRT_CUDA_F8_E4M3) return kernels::FromF8E4M3(static_cast<const uint8_t*>(base)[index]);
  if (dtype == BWRT_CUDA_F8_E5M2) return kernels::FromF8E5M2(static_cast<const uint8_t*>(base)[index]);
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

namespace {

// `rows` lines of `cols` elements, as floats.
std::vector<float> Widen(const void* base, int64_t rows, int64_t cols, int64_t ld, int32_t dtype) {
  std::vector<float> values(static_cast<size_t>(rows * cols));
  const bool bulk = dtype == BWRT_CUDA_F32 || dtype == BWRT_CUDA_F16 || dtype == BWRT_CUDA_BF16;
  const kernels::DType type = TypeOf(dtype);
  for (int64_t row = 0; row < rows; ++row) {
    if (bulk) {
      kernels::ToF32(type, static_cast<const std::byte*>(base) + row * ld * kernels::SizeOf(type), cols,
                     values.data() + row * cols);
      continue;
    }
    for (int64_t col = 0; col < cols; ++col) {
      values[static_cast<size_t>(row * cols + col)] = Load(base, row * ld + col, dtype);
    }
  }
  return values;
}

}  // namespace

void ComputePlain(const kernels::PlainGemm& g) {
  const std::vector<float> a = Widen(g.a, g.m, g.k, g.lda, g.dtype);
  std::vector<float> w = g.w_transposed ? Widen(g.w, g.n, g.k, g.ldw, g.dtype) : Widen(g.w, g.k, g.n, g.ldw, g.dtype);
  if (g.w_transposed) {
    std::vector<float> turned(w.size());
    for (int64_t col = 0; col < g.n; ++col) {
      for (int64_t k = 0; k < g.k; ++k)
        turned[static_cast<size_t>(k * g.n + col)] = w[static_cast<size_t>(col * g.k + k)];
    }
    w.swap(turned);
  }
  std::vector<float> sums(static_cast<size_t>(g.bn < g.n ? g.bn : g.n));
  for (int64_t i = g.first; i < g.first + g.count; ++i) {
    const int64_t tile_m = g.tiles != nullptr ? g.tiles[i] >> 16 : i / g.grid_cols;
    const int64_t tile_n = g.tiles != nullptr ? g.tiles[i] & 0xffff : i % g.grid_cols;
    if (g.ticket != nullptr) ++*g.ticket;
    const int64_t begin = tile_n * g.bn;
    const int64_t end = std::min(g.n, begin + g.bn);
    for (int64_t row = tile_m * g.bm; row < std::min(g.m, (tile_m + 1) * g.bm); ++row) {
      std::fill(sums.begin(), sums.end(), 0.0f);
      for (int64_t k = 0; k < g.k; ++k) {
        const float x = a[static_cast<size_t>(row * g.k + k)];
        const float* const line = w.data() + k * g.n + begin;
        for (int64_t col = 0; col < end - begin; ++col) sums[static_cast<size_t>(col)] += x * line[col];
      }
      for (int64_t col = begin; col < end; ++col) {
        float value = g.alpha * sums[static_cast<size_t>(col - begin)];
        if (g.beta != 0) value += g.beta * Load(g.c, row * g.ldc + col, g.c_dtype);
        if (g.bias != nullptr) value += g.bias[col];
        Store(g.c, row * g.ldc + col, g.c_dtype, Activated(g.activation, value));
      }
    }
  }
}

void ComputeWgmma(const kernels::WgmmaGemm& g) {
  kernels::PlainGemm plain;
  plain.m = g.m;
  plain.n = g.n;
  plain.k = g.k;
  plain.a = g.a;
  plain.lda = g.lda;
  plain.w = g.w;
  plain.ldw = g.ldw;
  plain.w_transposed = g.kernel.w_transposed;
  plain.c = g.c;
  plain.ldc = g.ldc;
  plain.dtype = g.kernel.dtype;
  plain.c_dtype = g.kernel.c_dtype;
  plain.activation = g.activation;
  plain.alpha = g.alpha;
  plain.beta = g.beta;
  plain.bias = g.bias;
  plain.bm = g.bm;
  plain.bn = g.bn;
  plain.tiles = g.tiles;
  plain.grid_cols = g.grid_cols;
  plain.first = g.first;
  plain.count = g.count;
  ComputePlain(plain);
  if (g.splits > 1) {
    for (int64_t i = 0; i < kernels::SlotsOf(g); ++i) g.slots[i] += static_cast<uint32_t>(g.splits);
  }
  // The first block did half of all it could, with a full ring.
  if (g.counts != nullptr) *g.counts = {1000, 1, static_cast<uint64_t>(g.stages), 250};
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
