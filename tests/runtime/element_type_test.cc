#include "runtime/element_type.h"

#include <gtest/gtest.h>

#include <optional>

namespace bwrt::runtime {
namespace {

TEST(ElementType, KnowsTheWiresNumbersAndNoOthers) {
  EXPECT_EQ(ElementType::FromWire(0), std::nullopt);
  EXPECT_EQ(ElementType::FromWire(16), std::nullopt);
  EXPECT_EQ(ElementType::FromWire(-1), std::nullopt);
  for (int number = 1; number <= 15; ++number) {
    ASSERT_TRUE(ElementType::FromWire(number)) << number;
    EXPECT_EQ(ElementType::FromWire(number)->code(), number);
  }
}

TEST(ElementType, SizesAndNames) {
  struct Row {
    ElementType::Code code;
    int64_t size;
    const char* name;
  };
  for (const Row& row :
       {Row{ElementType::kF32, 4, "f32"}, Row{ElementType::kF16, 2, "f16"}, Row{ElementType::kBF16, 2, "bf16"},
        Row{ElementType::kF64, 8, "f64"}, Row{ElementType::kI8, 1, "i8"}, Row{ElementType::kU8, 1, "u8"},
        Row{ElementType::kI16, 2, "i16"}, Row{ElementType::kU16, 2, "u16"}, Row{ElementType::kI32, 4, "i32"},
        Row{ElementType::kU32, 4, "u32"}, Row{ElementType::kI64, 8, "i64"}, Row{ElementType::kU64, 8, "u64"},
        Row{ElementType::kBool, 1, "bool"}, Row{ElementType::kF8E4M3, 1, "f8_e4m3"},
        Row{ElementType::kF8E5M2, 1, "f8_e5m2"}}) {
    const ElementType type = *ElementType::FromWire(row.code);
    EXPECT_EQ(type.size(), row.size) << row.name;
    EXPECT_EQ(type.name(), row.name);
  }
}

TEST(ElementType, OnlyFiveAreComputedWith) {
  for (int number = 1; number <= 15; ++number) {
    const ElementType type = *ElementType::FromWire(number);
    ASSERT_EQ(type.computed().has_value(), number <= 3 || number >= ElementType::kF8E4M3) << type.name();
    if (type.computed()) {
      EXPECT_EQ(ElementType(*type.computed()), type);
      EXPECT_EQ(kernels::Name(*type.computed()), type.name());
    }
  }
}

}  // namespace
}  // namespace bwrt::runtime
