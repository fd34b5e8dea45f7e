#ifndef TESTS_KERNELS_TEST_MATRIX_H_
#define TESTS_KERNELS_TEST_MATRIX_H_

// A matrix that owns its memory: filled with poison, off any alignment, with gaps between rows. For
// tests, on one thread.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include "kernels/matrix.h"

namespace bwrt::kernels {

class TestMatrix {
 public:
  static constexpr std::byte kPoison{0xfd};  // Repeated, a NaN in bf16 and a huge number in f16 and f32.

  TestMatrix(DType dtype, int64_t rows, int64_t cols, int64_t gap = 0)
      : dtype_(dtype), rows_(rows), cols_(cols), stride_(cols + gap) {
    bytes_.assign(static_cast<std::size_t>(1 + rows * stride_ * SizeOf(dtype)), kPoison);
  }

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  DType dtype() const { return dtype_; }
  const std::vector<std::byte>& bytes() const { return bytes_; }

  ConstMatrix view() const { return {bytes_.data() + 1, rows_, cols_, stride_, dtype_}; }
  MutableMatrix mutable_view() { return {bytes_.data() + 1, rows_, cols_, stride_, dtype_}; }

  // Rounded to dtype.
  void Set(int64_t i, int64_t j, float value) { FromF32(dtype_, &value, 1, mutable_view().at(i, j)); }
  float Get(int64_t i, int64_t j) const {
    float value = 0;
    ToF32(dtype_, view().at(i, j), 1, &value);
    return value;
  }
  void Fill(const std::function<float()>& next) {
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = 0; j < cols_; ++j) Set(i, j, next());
    }
  }

  // Whether every byte outside rows [row0, row0 + rows) x columns [col0, col0 + cols) is as in
  // `before`.
  bool SameOutside(const TestMatrix& before, int64_t row0, int64_t col0, int64_t rows, int64_t cols) const {
    std::vector<std::byte> mine = bytes_;
    for (int64_t i = row0; i < row0 + rows; ++i) {
      const auto at = static_cast<std::size_t>(1 + (i * stride_ + col0) * SizeOf(dtype_));
      std::memcpy(&mine[at], &before.bytes_[at], static_cast<std::size_t>(cols * SizeOf(dtype_)));
    }
    return mine == before.bytes_;
  }

 private:
  DType dtype_;
  int64_t rows_;
  int64_t cols_;
  int64_t stride_;
  std::vector<std::byte> bytes_;
};

}  // namespace bwrt::kernels

#endif  // TESTS_KERNELS_TEST_MATRIX_H_
