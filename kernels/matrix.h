#ifndef BWRT_KERNELS_MATRIX_H_
#define BWRT_KERNELS_MATRIX_H_

// Views of row-major matrices in memory that somebody else owns.
//
// A view is a value: copying it copies no element. Two threads may use views of the same memory as
// far as they may use the memory. Nothing here checks bounds or lifetimes; functions that take a
// view say what they require of it.
//
// 1. Element (i, j) is at `data + (i * row_stride + j) * SizeOf(dtype)`, with 0 <= i < rows and 0
//    <= j < cols.
// 2. `row_stride` counts elements and is at least `cols`; what lies between `cols` and `row_stride`
//    (the gap) is not part of the matrix and is never touched.
// 3. `data` needs no alignment.

#include <cstddef>
#include <cstdint>

#include "kernels/dtype.h"

namespace bwrt::kernels {

struct ConstMatrix {
  const std::byte* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;  // Elements.
  DType dtype = DType::kF32;

  // Address of element (i, j).
  const std::byte* at(int64_t i, int64_t j) const { return data + (i * row_stride + j) * SizeOf(dtype); }
  const std::byte* row(int64_t i) const { return at(i, 0); }
};

struct MutableMatrix {
  std::byte* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;  // Elements.
  DType dtype = DType::kF32;

  // Address of element (i, j).
  std::byte* at(int64_t i, int64_t j) const { return data + (i * row_stride + j) * SizeOf(dtype); }
  std::byte* row(int64_t i) const { return at(i, 0); }

  operator ConstMatrix() const { return {data, rows, cols, row_stride, dtype}; }  // NOLINT: a view of less power.
};

// Whether the view can be used: positive dimensions, row_stride >= cols, data present, and an
// extent in bytes, of (rows - 1) * row_stride + cols elements, that fits in int64_t. Says nothing
// about the memory behind it.
inline bool IsValid(const ConstMatrix& m) {
  if (m.data == nullptr || m.rows <= 0 || m.cols <= 0 || m.row_stride < m.cols) return false;
  int64_t extent = 0;
  return !__builtin_mul_overflow(m.rows - 1, m.row_stride, &extent) &&
         !__builtin_add_overflow(extent, m.cols, &extent) && !__builtin_mul_overflow(extent, SizeOf(m.dtype), &extent);
}

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_MATRIX_H_
