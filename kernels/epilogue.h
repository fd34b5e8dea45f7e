#ifndef BWRT_KERNELS_EPILOGUE_H_
#define BWRT_KERNELS_EPILOGUE_H_

// What happens to a finished row of sums before it becomes a row of C.
//
// A pure function: thread-safe.

#include <cstdint>

#include "kernels/activation.h"
#include "kernels/dtype.h"

namespace bwrt::kernels {

struct Epilogue {
  float alpha = 1.0f;
  float beta = 0.0f;
  Activation activation = Activation::kIdentity;
};

// c[j] = activation(alpha * sums[j] + beta * c[j] + bias[j]) for 0 <= j < n, computed in f32 and
// converted to `dtype`. `bias` may be null. `c` is read only where beta != 0. `sums` is
// overwritten.
void StoreRow(const Epilogue& epilogue, float* sums, int64_t n, const float* bias, DType dtype, void* c);

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_EPILOGUE_H_
