#include "runtime/joined_stage.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

absl::StatusOr<WeightBuffer> Allocate(size_t bytes) { return WeightBuffer(std::string(bytes, '.')); }

TEST(JoinedStageTest, PartsLieInTheirPlacesOfOnePiece) {
  JoinedStage stage(6, {});
  auto last = stage.Part(4, 2, Allocate);
  auto first = stage.Part(0, 4, Allocate);
  ASSERT_TRUE(last.ok() && first.ok());
  EXPECT_EQ(last->size(), 2u);
  std::copy_n("yz", 2, last->data());
  std::copy_n("abcd", 4, first->data());
  EXPECT_EQ(stage.whole().view(), "abcdyz");
}

TEST(JoinedStageTest, ThePieceIsChargedOnceAndForAsLongAsAnybodyHasIt) {
  WeightBudget budget(Bytes(10));
  WeightBuffer part;
  {
    JoinedStage stage(6, *budget.Reserve(Bytes(6), WeightBudget::Kind::kContent));
    part = *stage.Part(2, 2, Allocate);
    ASSERT_TRUE(stage.Part(0, 2, Allocate).ok());
    EXPECT_EQ(budget.reserved(WeightBudget::Kind::kContent), Bytes(6));
  }
  EXPECT_EQ(budget.reserved(WeightBudget::Kind::kContent), Bytes(6));
  part = WeightBuffer();
  EXPECT_EQ(budget.reserved(WeightBudget::Kind::kContent), Bytes(0));
}

TEST(JoinedStageTest, WithoutMemoryTheNextPartTriesAgain) {
  WeightBudget budget(Bytes(10));
  JoinedStage stage(6, *budget.Reserve(Bytes(6), WeightBudget::Kind::kContent));
  const auto none = [](size_t /*bytes*/) -> absl::StatusOr<WeightBuffer> {
    return MakeError(absl::StatusCode::kResourceExhausted, "WEIGHT_MEMORY", "none left");
  };
  EXPECT_EQ(GetReason(stage.Part(0, 3, none).status()), "WEIGHT_MEMORY");
  EXPECT_EQ(budget.reserved(WeightBudget::Kind::kContent), Bytes(6)) << "its room is kept";
  EXPECT_TRUE(stage.Part(0, 3, Allocate).ok());
}

TEST(JoinedStageTest, SeveralStreamsMayAskAtOnce) {
  JoinedStage stage(400, {});
  std::vector<std::thread> streams;
  for (size_t i = 0; i < 4; ++i) {
    streams.emplace_back([&stage, i] {
      auto part = stage.Part(100 * i, 100, Allocate);
      ASSERT_TRUE(part.ok());
      std::fill_n(part->data(), part->size(), static_cast<char>('0' + i));
    });
  }
  for (std::thread& stream : streams) stream.join();
  std::string expected;
  for (const char c : {'0', '1', '2', '3'}) expected.append(100, c);
  EXPECT_EQ(stage.whole().view(), expected);
}

}  // namespace
}  // namespace bwrt::runtime
