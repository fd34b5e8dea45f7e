#include "kernels/matrix.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <limits>

namespace bwrt::kernels {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST(MatrixTest, AddressesCountTheStrideInElements) {
  std::byte data[64] = {};
  const MutableMatrix matrix{data, 3, 4, 5, DType::kBF16};
  EXPECT_EQ(matrix.at(2, 3), data + (2 * 5 + 3) * 2);
  EXPECT_EQ(matrix.row(1), data + 10);
  const ConstMatrix view = matrix;
  EXPECT_EQ(view.at(2, 3), matrix.at(2, 3));
  EXPECT_EQ(view.dtype, DType::kBF16);
  EXPECT_EQ(view.rows, 3);
  EXPECT_EQ(view.cols, 4);
}

TEST(MatrixTest, ValidityCoversShapeDataAndExtent) {
  std::byte data[64] = {};
  EXPECT_TRUE(IsValid({data, 3, 4, 4, DType::kF32}));
  EXPECT_TRUE(IsValid({data, 1, 4, kMax, DType::kF32}));  // One row has no use for its stride.
  EXPECT_FALSE(IsValid({nullptr, 3, 4, 4, DType::kF32}));
  EXPECT_FALSE(IsValid({data, 0, 4, 4, DType::kF32}));
  EXPECT_FALSE(IsValid({data, 3, -1, 4, DType::kF32}));
  EXPECT_FALSE(IsValid({data, 3, 4, 3, DType::kF32}));
  EXPECT_FALSE(IsValid({data, 3, 4, kMax, DType::kF32}));
  EXPECT_FALSE(IsValid({data, kMax, 1, 1, DType::kF16}));
  EXPECT_FALSE(IsValid({data, 2, kMax - 1, kMax - 1, DType::kF16}));
}

}  // namespace
}  // namespace bwrt::kernels
