#include "kernels/epilogue.h"

#include <algorithm>
#include <array>

#include "kernels/isa.h"

namespace bwrt::kernels {
namespace {

// C is converted in pieces of this many elements, in a buffer on the stack.
constexpr int64_t kPiece = 256;

BWRT_INLINE_BODY void CombineBody(float alpha, float beta, const float* __restrict c, const float* __restrict bias,
                                  float* __restrict sums, int64_t n) {
  if (alpha != 1.0f) {
    for (int64_t j = 0; j < n; ++j) sums[j] *= alpha;
  }
  if (c != nullptr) {
    for (int64_t j = 0; j < n; ++j) sums[j] += beta * c[j];
  }
  if (bias != nullptr) {
    for (int64_t j = 0; j < n; ++j) sums[j] += bias[j];
  }
}

BWRT_TARGET_AVX2 void CombineAvx2(float alpha, float beta, const float* c, const float* bias, float* sums, int64_t n) {
  CombineBody(alpha, beta, c, bias, sums, n);
}

void Combine(float alpha, float beta, const float* c, const float* bias, float* sums, int64_t n) {
  HasAvx2() ? CombineAvx2(alpha, beta, c, bias, sums, n) : CombineBody(alpha, beta, c, bias, sums, n);
}

}  // namespace

void StoreRow(const Epilogue& epilogue, float* sums, int64_t n, const float* bias, DType dtype, void* c) {
  auto* out = static_cast<unsigned char*>(c);
  std::array<float, kPiece> before;
  for (int64_t begin = 0; begin < n; begin += kPiece) {
    const int64_t count = std::min(kPiece, n - begin);
    unsigned char* piece = out + begin * SizeOf(dtype);
    if (epilogue.beta != 0.0f) ToF32(dtype, piece, count, before.data());
    Combine(epilogue.alpha, epilogue.beta, epilogue.beta != 0.0f ? before.data() : nullptr,
            bias == nullptr ? nullptr : bias + begin, sums + begin, count);
    Activate(epilogue.activation, sums + begin, count);
    FromF32(dtype, sums + begin, count, piece);
  }
}

}  // namespace bwrt::kernels
