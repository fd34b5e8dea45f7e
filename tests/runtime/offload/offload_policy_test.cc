#include "runtime/offload/offload_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

namespace bwrt::runtime {
namespace {

using std::chrono::microseconds;
using ::testing::HasSubstr;
using Reason = Placement::Reason;

Placement::Prediction In(const char* device, std::optional<Duration> time, bool resident = true) {
  return {device, time, resident};
}

Choice Of(std::vector<Placement::Prediction> predictions) { return Choose(std::move(predictions), {}); }

TEST(OffloadPolicyTest, TheFasterDevice) {
  const Choice choice = Of({In("cpu", microseconds(1000)), In("cuda:0", microseconds(899))});
  EXPECT_EQ(choice.device, 1u);
  EXPECT_EQ(choice.placement.device, "cuda:0");
  EXPECT_EQ(choice.placement.reason, Reason::kFaster);
  EXPECT_EQ(choice.placement.threshold, microseconds(900));
  EXPECT_EQ(choice.placement.text, "predicted cuda:0 899 us, below 900 us (cpu 1000 us less a margin)");
  ASSERT_EQ(choice.placement.predictions.size(), 2u);
  EXPECT_EQ(*choice.placement.predictions[1].time, microseconds(899));
}

TEST(OffloadPolicyTest, AHairIsNotEnough) {
  const Choice choice = Of({In("cpu", microseconds(1000)), In("cuda:0", microseconds(900))});
  EXPECT_EQ(choice.device, 0u);
  EXPECT_EQ(choice.placement.reason, Reason::kNotFaster);
  EXPECT_EQ(choice.placement.device, "cpu");
}

TEST(OffloadPolicyTest, ASmallWaveStaysWhereverItWouldBeFaster) {
  const Choice choice = Of({In("cpu", microseconds(99)), In("cuda:0", microseconds(1))});
  EXPECT_EQ(choice.device, 0u);
  EXPECT_EQ(choice.placement.reason, Reason::kSmallWave);
  EXPECT_EQ(choice.placement.threshold, Duration(0));
  EXPECT_EQ(Of({In("cpu", microseconds(100)), In("cuda:0", microseconds(1))}).device, 1u);
}

TEST(OffloadPolicyTest, TheBestOfSeveral) {
  EXPECT_EQ(Of({In("cpu", microseconds(1000)), In("a", microseconds(500)), In("b", microseconds(400)),
                In("c", microseconds(450))})
                .device,
            2u);
  EXPECT_EQ(Of({In("cpu", microseconds(1000)), In("a", std::nullopt), In("b", microseconds(400))}).device, 2u);
}

TEST(OffloadPolicyTest, OutOfService) {
  const Choice choice = Of({In("cpu", microseconds(1000)), In("cuda:0", std::nullopt)});
  EXPECT_EQ(choice.device, 0u);
  EXPECT_EQ(choice.placement.reason, Reason::kOutOfService);
}

TEST(OffloadPolicyTest, SaysWhenWeightsAreCopied) {
  const Choice choice = Of({In("cpu", microseconds(1000)), In("cuda:0", microseconds(500), false)});
  EXPECT_EQ(choice.device, 1u);
  EXPECT_THAT(choice.placement.text, HasSubstr("cuda:0 500 us with its weights copied there"));
}

}  // namespace
}  // namespace bwrt::runtime
