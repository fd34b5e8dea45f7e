#include "runtime/set_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/error_details.h"

namespace bwrt::runtime {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr int kInWindow = static_cast<int>(SwapPolicy::kInWindow);
constexpr int kWaitForWindow = static_cast<int>(SwapPolicy::kWaitForWindow);
constexpr int kWhenIdle = static_cast<int>(SwapPolicy::kWhenIdle);

TensorRequest Tensor(std::string name) { return {std::move(name), DTypeWish::kF32, {2, 3}, std::string(24, 'x')}; }

SetWeightsRequest Valid() {
  SetWeightsRequest request;
  request.tensors.push_back(Tensor("w"));
  return request;
}

absl::Status Check(const SetWeightsRequest& request, const Limits& limits = {}) {
  return CheckSetWeights(request, limits).status();
}

// Whether a tensor of this name is accepted, and if not, that the name is all that is wrong.
bool NameAccepted(std::string name) {
  SetWeightsRequest request;
  request.tensors.push_back(Tensor(std::move(name)));
  const absl::Status status = Check(request);
  if (!status.ok()) {
    EXPECT_THAT(ViolationsOf(status), ElementsAre(Pair("tensors[0].name", "TENSOR_NAME")));
  }
  return status.ok();
}

TEST(SetWeightsTest, AcceptedRequestsKeepEverything) {
  SetWeightsRequest request;
  request.model = "team/llm";
  request.label = "step 12";
  request.swap.policy = kWaitForWindow;
  request.swap.wait_timeout = seconds(5);
  request.swap.hold_after = Duration(0);
  request.base_version = 7;
  request.tensors.push_back(Tensor("b"));
  request.tensors.push_back({"a", DTypeWish::kBF16, {4}, "12345678"});
  const auto change = CheckSetWeights(std::move(request), Limits{});
  ASSERT_TRUE(change.ok()) << change.status();
  EXPECT_EQ(change->model, "team/llm");
  EXPECT_EQ(change->label, "step 12");
  EXPECT_EQ(change->options.policy, SwapPolicy::kWaitForWindow);
  EXPECT_EQ(change->options.wait_timeout, seconds(5));
  EXPECT_EQ(change->options.hold_after, Duration(0));
  EXPECT_EQ(change->base_version, Version(7));
  ASSERT_EQ(change->tensors.size(), 2u);
  EXPECT_EQ(change->tensors[0].name, "b");
  EXPECT_EQ(change->tensors[1].name, "a");
  EXPECT_EQ(change->tensors[1].type, (TensorType{kernels::DType::kBF16, {4}}));
  EXPECT_EQ(change->tensors[1].data.view(), "12345678");
}

TEST(SetWeightsTest, Defaults) {
  const auto change = CheckSetWeights(Valid(), Limits{});
  ASSERT_TRUE(change.ok()) << change.status();
  EXPECT_EQ(change->model, "default");
  EXPECT_EQ(change->label, "");
  EXPECT_EQ(change->options.policy, SwapPolicy::kInWindow);
  EXPECT_EQ(change->options.wait_timeout, seconds(30));
  EXPECT_FALSE(change->options.hold_after.has_value());
  EXPECT_FALSE(change->base_version.has_value());
}

TEST(SetWeightsTest, EachViolationIsNamed) {
  using Violation = std::pair<std::string, std::string>;
  struct Case {
    const char* name;
    std::function<void(SetWeightsRequest&)> edit;
    Violation violation;
    const char* description;
  };
  const Case cases[] = {
      {"model name",
       [](auto& r) { r.model = "no spaces"; },
       {"model", "MODEL_NAME"},
       "model=\"no spaces\": use 1 to 128"},
      {"long label", [](auto& r) { r.label.assign(257, 'l'); }, {"label", "TOO_LONG"}, "label=257 bytes: at most 256"},
      {"no tensors", [](auto& r) { r.tensors.clear(); }, {"tensors", "MISSING"}, "give at least one"},
      {"unknown policy", [](auto& r) { r.swap.policy = 3; }, {"policy", "UNKNOWN_VALUE"}, "policy=3: use IN_WINDOW"},
      {"negative policy", [](auto& r) { r.swap.policy = -1; }, {"policy", "UNKNOWN_VALUE"}, "policy=-1"},
      {"repeated",
       [](auto& r) { r.tensors.push_back(Tensor("w")); },
       {"tensors[1].name", "TENSOR_REPEATED"},
       "tensors[1].name=\"w\": given before"},
      {"dtype missing",
       [](auto& r) { r.tensors[0].dtype = DTypeWish::kUnspecified; },
       {"tensors[0].dtype", "UNKNOWN_DTYPE"},
       "tensors[0].dtype=0: not a dtype this daemon knows"},
      {"dtype unknown",
       [](auto& r) { r.tensors[0].dtype = static_cast<DTypeWish>(16); },
       {"tensors[0].dtype", "UNKNOWN_DTYPE"},
       "tensors[0].dtype=16"},
      {"scalar", [](auto& r) { r.tensors[0].shape.clear(); }, {"tensors[0].shape", "DIMS"}, "0 dimensions: use 1 to 8"},
      {"nine dims",
       [](auto& r) { r.tensors[0].shape.assign(9, 1); },
       {"tensors[0].shape", "DIMS"},
       "9 dimensions: use 1 to 8"},
      {"zero dim",
       [](auto& r) {
         r.tensors[0].shape = {2, 0};
       },
       {"tensors[0].shape[1]", "DIM_OUT_OF_RANGE"},
       "tensors[0].shape[1]=0: must lie in [1, 16777216]"},
      {"negative dim",
       [](auto& r) {
         r.tensors[0].shape = {-6, 1};
       },
       {"tensors[0].shape[0]", "DIM_OUT_OF_RANGE"},
       "=-6:"},
      {"huge dim",
       [](auto& r) { r.tensors[0].shape = {(1 << 24) + 1}; },
       {"tensors[0].shape[0]", "DIM_OUT_OF_RANGE"},
       "=16777217:"},
      {"overflow",
       [](auto& r) {
         r.tensors[0].shape = {1 << 24, 1 << 24, 1 << 24};
       },
       {"tensors[0].shape", "TENSOR_SIZE"},
       "larger than any memory"},
      {"short data",
       [](auto& r) { r.tensors[0].data.pop_back(); },
       {"tensors[0].data", "TENSOR_SIZE"},
       "tensors[0].data=23 bytes: shape and dtype f32 need exactly 24"},
      {"long data", [](auto& r) { r.tensors[0].data += 'x'; }, {"tensors[0].data", "TENSOR_SIZE"}, "25 bytes"},
      {"no data", [](auto& r) { r.tensors[0].data.clear(); }, {"tensors[0].data", "TENSOR_SIZE"}, "0 bytes"},
  };
  for (const Case& c : cases) {
    SetWeightsRequest request = Valid();
    c.edit(request);
    const absl::Status status = Check(request);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.name;
    EXPECT_THAT(ViolationsOf(status), ElementsAre(c.violation)) << c.name;
    EXPECT_THAT(DescriptionOf(status, c.violation.first), HasSubstr(c.description)) << c.name;
  }
}

TEST(SetWeightsTest, EverythingWrongIsSaidAtOnce) {
  SetWeightsRequest request;
  request.model = "/";
  request.label.assign(300, 'l');
  request.swap.policy = 17;
  request.swap.wait_timeout = seconds(1);
  request.swap.hold_after = seconds(1);
  request.tensors.push_back({"../w", static_cast<DTypeWish>(-1), {0, 2, -1}, "x"});
  request.tensors.push_back({"", DTypeWish::kF32, {}, ""});
  request.tensors.push_back({"ok", DTypeWish::kF16, {3}, "12345"});
  EXPECT_THAT(
      ViolationsOf(Check(request)),
      ElementsAre(Pair("model", "MODEL_NAME"), Pair("label", "TOO_LONG"), Pair("policy", "UNKNOWN_VALUE"),
                  Pair("wait_timeout", "POLICY"), Pair("hold_after", "POLICY"), Pair("tensors[0].name", "TENSOR_NAME"),
                  Pair("tensors[0].dtype", "UNKNOWN_DTYPE"), Pair("tensors[0].shape[0]", "DIM_OUT_OF_RANGE"),
                  Pair("tensors[0].shape[2]", "DIM_OUT_OF_RANGE"), Pair("tensors[1].name", "TENSOR_NAME"),
                  Pair("tensors[1].shape", "DIMS"), Pair("tensors[2].data", "TENSOR_SIZE")));
}

TEST(SetWeightsTest, ProductsThatOverflowAreRefusedWhereverTheyDo) {
  // 2^24 * 2^24 * 2^13 * 4 bytes = 2^63: one more than fits.
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{1 << 24, 1 << 24, 1 << 13},
                                            {1 << 13, 1 << 24, 1 << 24},
                                            {1, 1 << 24, 1 << 24, 1 << 13},
                                            // 2^64 bytes, which would wrap to 0 and match empty data.
                                            {1 << 24, 1 << 24, 1 << 14},
                                            {1 << 24, 1 << 24, 1 << 24, 1 << 24, 1 << 24, 1 << 24, 1 << 24, 1 << 24}}) {
    SetWeightsRequest request;
    request.tensors.push_back({"w", DTypeWish::kF32, shape, ""});
    EXPECT_THAT(ViolationsOf(Check(request)), ElementsAre(Pair("tensors[0].shape", "TENSOR_SIZE")));
  }
  // The largest that fits is compared with the data instead.
  SetWeightsRequest request;
  request.tensors.push_back({"w", DTypeWish::kF32, {1 << 24, 1 << 24, 1 << 12}, ""});
  EXPECT_THAT(ViolationsOf(Check(request)), ElementsAre(Pair("tensors[0].data", "TENSOR_SIZE")));
}

// Tensors that no device computes with are kept as bytes, and their sizes are checked all the same.
TEST(SetWeightsTest, OpaqueTypesHaveSizesToo) {
  const std::pair<int, int64_t> sizes[] = {{4, 8}, {5, 1}, {8, 2}, {9, 4}, {12, 8}, {13, 1}, {14, 1}, {15, 1}};
  for (const auto& [type, size] : sizes) {
    SetWeightsRequest request;
    request.tensors.push_back(
        {"t", static_cast<DTypeWish>(type), {3, 5}, std::string(static_cast<size_t>(15 * size), 'x')});
    EXPECT_TRUE(Check(request).ok()) << type;
    request.tensors[0].data += 'x';
    EXPECT_THAT(ViolationsOf(Check(request)), ElementsAre(Pair("tensors[0].data", "TENSOR_SIZE"))) << type;
  }
}

TEST(SetWeightsTest, EightDimensionsAreAccepted) {
  SetWeightsRequest request;
  request.tensors.push_back({"w", DTypeWish::kF16, {1, 2, 1, 2, 1, 2, 1, 2}, std::string(32, 'x')});
  EXPECT_TRUE(Check(request).ok());
}

TEST(SetWeightsTest, NamesObeyTheRule) {
  EXPECT_TRUE(NameAccepted("layers.0.attn/q"));
  EXPECT_FALSE(NameAccepted("a/../b"));
  EXPECT_FALSE(NameAccepted(""));
  SetWeightsRequest request;
  request.tensors.push_back(Tensor("/w"));
  EXPECT_THAT(DescriptionOf(Check(request), "tensors[0].name"),
              HasSubstr("tensors[0].name=\"/w\": use 1 to 512 bytes without control characters"));
}

TEST(SetWeightsTest, CountsTensorsAndDoesNotLookAtTooMany) {
  Limits limits;
  limits.max_tensors = 3;
  SetWeightsRequest request;
  for (int i = 0; i < 3; ++i) request.tensors.push_back(Tensor(absl::StrCat("t", i)));
  EXPECT_TRUE(Check(request, limits).ok());
  request.tensors.push_back({});
  EXPECT_THAT(ViolationsOf(Check(request, limits)), ElementsAre(Pair("tensors", "TOO_MANY")));
}

TEST(SetWeightsTest, WaitingNeedsThePolicyThatWaits) {
  for (const int policy : {kInWindow, kWhenIdle}) {
    SetWeightsRequest request = Valid();
    request.swap.policy = policy;
    request.swap.wait_timeout = seconds(1);
    request.swap.hold_after = seconds(0);
    const absl::Status status = Check(request);
    EXPECT_THAT(ViolationsOf(status), ElementsAre(Pair("wait_timeout", "POLICY"), Pair("hold_after", "POLICY")));
    EXPECT_THAT(DescriptionOf(status, "wait_timeout"), HasSubstr("wait_timeout=1s: only WAIT_FOR_WINDOW waits"));
  }
}

TEST(SetWeightsTest, WaitingHasBounds) {
  const auto check = [](std::optional<Duration> wait, std::optional<Duration> hold) {
    SetWeightsRequest request = Valid();
    request.swap.policy = kWaitForWindow;
    request.swap.wait_timeout = wait;
    request.swap.hold_after = hold;
    return ViolationsOf(Check(request));
  };
  EXPECT_THAT(check(Duration(1), Duration(0)), IsEmpty());
  EXPECT_THAT(check(hours(1), hours(1)), IsEmpty());
  EXPECT_THAT(check(Duration(0), {}), ElementsAre(Pair("wait_timeout", "OUT_OF_RANGE"))) << "0 s waits for nothing";
  EXPECT_THAT(check(Duration(-1), {}), ElementsAre(Pair("wait_timeout", "OUT_OF_RANGE")));
  EXPECT_THAT(check(hours(1) + Duration(1), {}), ElementsAre(Pair("wait_timeout", "OUT_OF_RANGE")));
  EXPECT_THAT(check(Duration::max(), {}), ElementsAre(Pair("wait_timeout", "OUT_OF_RANGE")));
  EXPECT_THAT(check({}, Duration(-1)), ElementsAre(Pair("hold_after", "OUT_OF_RANGE")));
  EXPECT_THAT(check({}, Duration::min()), ElementsAre(Pair("hold_after", "OUT_OF_RANGE")));
  EXPECT_THAT(check({}, hours(2)), ElementsAre(Pair("hold_after", "OUT_OF_RANGE")));
}

}  // namespace
}  // namespace bwrt::runtime
