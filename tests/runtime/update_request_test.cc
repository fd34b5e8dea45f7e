#include "runtime/update_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/error_details.h"

namespace bwrt::runtime {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr int kF32 = ElementType::kF32;
constexpr int kNpy = 1;

BeginUpdateRequest Valid() {
  BeginUpdateRequest request;
  request.tensors.push_back({"w", kF32, {4, 5}, {{0, 80, "", 0}}});
  return request;
}

absl::Status Check(BeginUpdateRequest request) { return CheckBeginUpdate(std::move(request), Limits()).status(); }

TEST(UpdateRequestTest, DefaultsAreFilledIn) {
  BeginUpdateRequest request;
  request.tensors.push_back({"w", kF32, {4, 5}, {}});
  const auto plan = CheckBeginUpdate(request, Limits());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->model, "default");
  EXPECT_EQ(plan->ttl, std::chrono::minutes(10));
  EXPECT_FALSE(plan->prepared_ttl.has_value());
  EXPECT_FALSE(plan->open_manifest);
  ASSERT_EQ(plan->tensors[0].shards.size(), 1U);
  EXPECT_EQ(plan->tensors[0].shards[0].bytes, 80);
  EXPECT_FALSE(plan->tensors[0].shards[0].npy);
}

TEST(UpdateRequestTest, NoTensorsMeanAnOpenManifest) {
  const auto plan = CheckBeginUpdate({}, Limits());
  ASSERT_TRUE(plan.ok());
  EXPECT_TRUE(plan->open_manifest);
}

TEST(UpdateRequestTest, ShardsAreOrderedByRankAndMustFillTheTensor) {
  BeginUpdateRequest request;
  request.tensors.push_back({"w", kF32, {4, 5}, {{1, 20, "", 0}, {0, 60, "", 0}}});
  const auto plan = CheckBeginUpdate(request, Limits());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->tensors[0].shards[0].bytes, 60);
  EXPECT_EQ(plan->tensors[0].shards[1].bytes, 20);
  request.tensors[0].shards[0].bytes = 21;
  EXPECT_THAT(ViolationsOf(Check(request)), ElementsAre(Pair("tensors[0].shards", "TENSOR_SIZE")));
  request.tensors[0].shards[0] = {0, 20, "", 0};
  EXPECT_THAT(ViolationsOf(Check(request)), Contains(Pair("tensors[0].shards[1].rank", "SHARD_RANK")));
  request.tensors[0].shards[0] = {7, 20, "", 0};
  EXPECT_THAT(ViolationsOf(Check(request)), Contains(Pair("tensors[0].shards[0].rank", "SHARD_RANK")));
}

TEST(UpdateRequestTest, AnNpyShardMayLeaveTheTypeToItsHeader) {
  BeginUpdateRequest request;
  request.tensors.push_back({"w", 0, {}, {{0, 208, "", kNpy}}});
  const auto plan = CheckBeginUpdate(request, Limits());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_FALSE(plan->tensors[0].type.has_value());
  request.tensors[0].shards[0].encoding = 0;
  EXPECT_THAT(ViolationsOf(Check(request)), Contains(Pair("tensors[0].dtype", "UNKNOWN_DTYPE")));
  // With two there is nothing to say what they make together.
  request.tensors[0].shards = {{0, 208, "", kNpy}, {1, 208, "", kNpy}};
  EXPECT_THAT(ViolationsOf(Check(request)), Contains(Pair("tensors[0].dtype", "UNKNOWN_DTYPE")));
}

TEST(UpdateRequestTest, EveryViolationIsToldAtOnce) {
  BeginUpdateRequest request = Valid();
  request.model = "../etc";
  request.label = std::string(300, 'x');
  request.update_id = "a b";
  request.apply_mode = 7;
  request.ttl = milliseconds(1);
  request.prepared_ttl = hours(24 * 400);
  request.tensors.push_back({"w", kF32, {1}, {{0, 4, "md5:00", 5}}});
  request.tensors.push_back({"../x", 99, {}, {{0, 0, "", 0}}});
  request.removed = {"w", "old", "old"};
  const absl::Status status = Check(request);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(ViolationsOf(status),
              UnorderedElementsAre(
                  Pair("model", "MODEL_NAME"), Pair("label", "TOO_LONG"), Pair("update_id", "UPDATE_ID"),
                  Pair("apply_mode", "UNKNOWN_VALUE"), Pair("ttl", "OUT_OF_RANGE"),
                  Pair("prepared_ttl", "OUT_OF_RANGE"), Pair("tensors[1].name", "TENSOR_REPEATED"),
                  Pair("tensors[1].shards[0].digest", "DIGEST"), Pair("tensors[1].shards[0].encoding", "UNKNOWN_VALUE"),
                  Pair("tensors[2].name", "TENSOR_NAME"), Pair("tensors[2].dtype", "UNKNOWN_DTYPE"),
                  Pair("tensors[2].shape", "DIMS"), Pair("tensors[2].shards[0].bytes", "OUT_OF_RANGE"),
                  Pair("removed[0]", "TENSOR_REPEATED"), Pair("removed[2]", "TENSOR_REPEATED")));
}

TEST(UpdateRequestTest, CountsAreCapped) {
  BeginUpdateRequest request;
  request.removed.resize(100'001, "x");
  EXPECT_THAT(ViolationsOf(Check(request)), ElementsAre(Pair("removed", "TOO_MANY")));
  request = Valid();
  request.tensors[0].shards.resize(1025);
  EXPECT_THAT(ViolationsOf(Check(request)), Contains(Pair("tensors[0].shards", "TOO_MANY")));
  // Few bytes can announce many shards, each of which takes memory.
  request = BeginUpdateRequest();
  for (int i = 0; i < 98; ++i) {
    TensorManifestRequest tensor{absl::StrCat("t", i), ElementType::kU8, {1024}, {}};
    for (uint32_t rank = 0; rank < 1024; ++rank) tensor.shards.push_back({rank, 1, "", 0});
    request.tensors.push_back(std::move(tensor));
  }
  EXPECT_THAT(ViolationsOf(Check(request)), ElementsAre(Pair("tensors", "TOO_MANY_SHARDS")));
  request = Valid();
  request.tensors[0].shards[0].bytes = UINT64_MAX;
  EXPECT_THAT(ViolationsOf(Check(request)), Contains(Pair("tensors[0].shards[0].bytes", "OUT_OF_RANGE")));
}

}  // namespace
}  // namespace bwrt::runtime
