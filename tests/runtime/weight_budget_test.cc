#include "runtime/weight_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

using Kind = WeightBudget::Kind;

TEST(WeightBudgetTest, CountsEachKind) {
  WeightBudget budget(Bytes(100));
  auto content = budget.Reserve(Bytes(30), Kind::kContent);
  auto layout = budget.Reserve(Bytes(50), Kind::kLayout);
  ASSERT_TRUE(content.ok() && layout.ok());
  EXPECT_EQ(content->bytes(), Bytes(30));
  EXPECT_EQ(budget.reserved(Kind::kContent), Bytes(30));
  EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(50));
  EXPECT_EQ(budget.limit(), Bytes(100));
}

TEST(WeightBudgetTest, BothKindsShareTheLimit) {
  WeightBudget budget(Bytes(100));
  const auto layout = budget.Reserve(Bytes(60), Kind::kLayout);
  ASSERT_TRUE(layout.ok());
  EXPECT_FALSE(budget.Reserve(Bytes(41), Kind::kContent).ok());
  EXPECT_TRUE(budget.Reserve(Bytes(40), Kind::kContent).ok());
}

TEST(WeightBudgetTest, TheLimitItselfFits) {
  WeightBudget budget(Bytes(100));
  EXPECT_TRUE(budget.Reserve(Bytes(100), Kind::kContent).ok());
  EXPECT_FALSE(budget.Reserve(Bytes(101), Kind::kContent).ok());
}

TEST(WeightBudgetTest, RefusalNamesTheNumbers) {
  WeightBudget budget(Bytes(100));
  const auto held = budget.Reserve(Bytes(70), Kind::kContent);
  const auto refused = budget.Reserve(Bytes(31), Kind::kContent);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetReason(refused.status()), "WEIGHT_MEMORY");
  EXPECT_THAT(std::string(refused.status().message()), ::testing::HasSubstr("31 more bytes do not fit: 70 of 100"));
  EXPECT_EQ(budget.reserved(Kind::kContent), Bytes(70)) << "a refusal reserves nothing";
}

TEST(WeightBudgetTest, HugeRequestsDoNotOverflow) {
  WeightBudget budget(Bytes(100));
  const auto held = budget.Reserve(Bytes(1), Kind::kContent);
  EXPECT_FALSE(budget.Reserve(Bytes(std::numeric_limits<int64_t>::max()), Kind::kContent).ok());
  EXPECT_EQ(budget.reserved(Kind::kContent), Bytes(1));
}

TEST(WeightBudgetTest, ReservationsGiveBack) {
  WeightBudget budget(Bytes(100));
  {
    const auto a = budget.Reserve(Bytes(100), Kind::kContent);
    ASSERT_TRUE(a.ok());
  }
  EXPECT_EQ(budget.reserved(Kind::kContent), Bytes(0));
  EXPECT_TRUE(budget.Reserve(Bytes(100), Kind::kLayout).ok());
}

TEST(WeightBudgetTest, MovedReservationsGiveBackOnce) {
  WeightBudget budget(Bytes(100));
  auto a = budget.Reserve(Bytes(40), Kind::kContent);
  ASSERT_TRUE(a.ok());
  {
    WeightBudget::Reservation b = *std::move(a);
    EXPECT_EQ(budget.reserved(Kind::kContent), Bytes(40));
    WeightBudget::Reservation c;
    c = std::move(b);
    EXPECT_EQ(c.bytes(), Bytes(40));
    EXPECT_EQ(budget.reserved(Kind::kContent), Bytes(40));
  }
  EXPECT_EQ(budget.reserved(Kind::kContent), Bytes(0));
}

TEST(WeightBudgetTest, AnEmptyReservationHoldsNothing) {
  const WeightBudget::Reservation none;
  EXPECT_EQ(none.bytes(), Bytes(0));
}

TEST(WeightBudgetTest, RoomThatWasReservedBeforeIsTakenFirst) {
  WeightBudget budget(Bytes(100));
  auto room = budget.Reserve(Bytes(60), Kind::kLayout);
  ASSERT_TRUE(room.ok());
  const auto inside = budget.Reserve(Bytes(50), Kind::kContent, *room);
  ASSERT_TRUE(inside.ok()) << inside.status();
  EXPECT_EQ(inside->bytes(), Bytes(50));
  EXPECT_EQ(room->bytes(), Bytes(10));
  EXPECT_EQ(budget.reserved(Kind::kContent), Bytes(50));
  EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(10));
  EXPECT_FALSE(budget.Reserve(Bytes(51), Kind::kLayout, *room).ok());
  EXPECT_EQ(room->bytes(), Bytes(10)) << "a refusal takes nothing";
  const auto beyond = budget.Reserve(Bytes(50), Kind::kLayout, *room);
  ASSERT_TRUE(beyond.ok()) << "10 of the room and the 40 that are left";
  EXPECT_EQ(room->bytes(), Bytes(0));
  EXPECT_TRUE(budget.Reserve(Bytes(0), Kind::kLayout, *room).ok());
  EXPECT_FALSE(budget.Reserve(Bytes(1), Kind::kLayout).ok());
}

TEST(WeightBudgetTest, WhatIsReservedAheadKeepsOthersOutUntilRoomIsGivenBack) {
  WeightBudget budget(Bytes(100));
  auto old = budget.Reserve(Bytes(80), Kind::kContent);
  ASSERT_TRUE(old.ok());
  auto ahead = budget.ReserveAhead(Bytes(80), Kind::kContent);
  EXPECT_EQ(ahead.bytes(), Bytes(80));
  EXPECT_FALSE(budget.Reserve(Bytes(1), Kind::kContent).ok());
  EXPECT_TRUE(budget.Reserve(Bytes(80), Kind::kContent, ahead).ok()) << "what is ours is ours";
  ahead = budget.ReserveAhead(Bytes(80), Kind::kContent);
  *old = WeightBudget::Reservation();
  EXPECT_FALSE(budget.Reserve(Bytes(21), Kind::kContent).ok());
  EXPECT_TRUE(budget.Reserve(Bytes(20), Kind::kContent).ok());
}

TEST(WeightBudgetTest, ReservationsAddUp) {
  WeightBudget budget(Bytes(100));
  {
    WeightBudget::Reservation room;
    room.Add(*budget.Reserve(Bytes(30), Kind::kLayout));
    room.Add(*budget.Reserve(Bytes(40), Kind::kLayout));
    EXPECT_EQ(room.bytes(), Bytes(70));
    EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(70));
  }
  EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(0));
  EXPECT_TRUE(budget.Reserve(Bytes(100), Kind::kContent).ok());
}

TEST(WeightBudgetTest, ThreadsNeverPassTheLimitTogether) {
  WeightBudget budget(Bytes(10));
  std::atomic<int64_t> held{0};
  std::atomic<bool> passed{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const Kind kind = t % 2 == 0 ? Kind::kContent : Kind::kLayout;
      for (int i = 0; i < 2000; ++i) {
        auto r = budget.Reserve(Bytes(3 + t), kind);
        if (!r.ok()) continue;
        if (held.fetch_add(3 + t) + 3 + t > 10) passed = true;
        held.fetch_sub(3 + t);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(passed);
  EXPECT_EQ(budget.reserved(Kind::kContent), Bytes(0));
  EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(0));
}

}  // namespace
}  // namespace bwrt::runtime
