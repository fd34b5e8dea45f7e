// The memory that updates may take, beside the versions they replace and in their place.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "client/status.h"
#include "tests/e2e/updates_fixture.h"
#include "tests/e2e/waves.h"

namespace bwrt::e2e {
namespace {

using absl::StatusCode;
using client::FormatError;
using WeightMemoryTest = UpdatesFixture;

TEST_F(WeightMemoryTest, RoomIsReservedFirstAndGivenBack) {
  constexpr int64_t kMost = 3 * 1024;  // Rows: 768 KiB.
  ASSERT_NO_FATAL_FAILURE(Start({"--weight-memory-limit=1M", kMetrics}));
  EXPECT_TRUE(Is(weights().Begin(BeginOf("big", {Vector("w", 8 * 1024)})).status(), StatusCode::kResourceExhausted,
                 "WEIGHT_MEMORY"));
  EXPECT_EQ(weights().List()->updates_size(), 0);
  ASSERT_TRUE(weights().Begin(BeginOf("one", {Vector("w", kMost)})).ok());
  EXPECT_TRUE(Is(weights().Begin(BeginOf("two", {Vector("w", kMost)})).status(), StatusCode::kResourceExhausted,
                 "WEIGHT_MEMORY"));
  EXPECT_EQ(GetMetrics().Sum("bwrt_weight_bytes"), kMost * static_cast<double>(kRowBytes));
  ASSERT_TRUE(weights().Stage({ChunkOf("one", "w", 0, Ramp(kMost))}).ok());
  ASSERT_TRUE(weights().Abort("one").ok());
  EXPECT_EQ(GetMetrics().Sum("bwrt_weight_bytes"), 0);
  for (int i = 0; i < 5; ++i) {  // Nothing leaks.
    const std::string id = absl::StrCat("again", i);
    ASSERT_NO_FATAL_FAILURE(PrepareAs(Vector("w", kMost), id, Ramp(kMost)));
    ASSERT_TRUE(weights().Abort(id).ok());
  }
  EXPECT_EQ(GetMetrics().Sum("bwrt_weight_bytes"), 0);
  ASSERT_NO_FATAL_FAILURE(PrepareAs(Vector("w", kMost), "last", Ramp(kMost)));
  EXPECT_TRUE(weights().Commit({"last"}).ok());
}

TEST_F(WeightMemoryTest, InPlaceNeedsAStateDirectory) {
  ASSERT_NO_FATAL_FAILURE(Start());
  v1::BeginUpdateRequest begin = BeginOf("u", {Matrix("w", 1)});
  begin.set_apply_mode(v1::IN_PLACE);
  EXPECT_TRUE(Is(weights().Begin(begin).status(), StatusCode::kFailedPrecondition, "NO_STATE_DIR"));
}

TEST_F(WeightMemoryTest, InPlaceWhereBothDoNotFit) {
  constexpr int64_t kMost = 3 * 1024;  // Rows: 768 KiB.
  const Directory state;
  ASSERT_NO_FATAL_FAILURE(Start({"--weight-memory-limit=1M", "--keep-versions=0", "--state-dir=" + state.path()}));
  ASSERT_NO_FATAL_FAILURE(PrepareAs(Vector("w", kMost), "first", Ramp(kMost)));
  ASSERT_TRUE(weights().Commit({"first"}).ok());
  EXPECT_TRUE(Is(weights().Begin(BeginOf("beside", {Vector("w", kMost)})).status(), StatusCode::kResourceExhausted,
                 "WEIGHT_MEMORY"));
  ASSERT_NO_FATAL_FAILURE(PrepareAs(Vector("w", kMost), "u", Rows(kMost, 5), "", v1::IN_PLACE));
  EXPECT_EQ(Content("w"), Ramp(kMost)) << "until the commit";
  const auto done = weights().Commit({"u"});
  ASSERT_TRUE(done.ok()) << FormatError(done.status());
  EXPECT_GT(done->pause_seconds(), 0);
  EXPECT_EQ(done->updates(0).version(), 2u);
  EXPECT_FALSE(Summary().loading());
  EXPECT_EQ(Content("w"), Rows(kMost, 5));
}

TEST_F(WeightMemoryTest, InPlaceWithoutRoomForLayouts) {
  constexpr int64_t kMost = 3 * 1024;  // Rows: 768 KiB, and as much again for the layout that waves want.
  const Directory state;
  ASSERT_NO_FATAL_FAILURE(Start({"--weight-memory-limit=1M", "--state-dir=" + state.path()}));
  ASSERT_NO_FATAL_FAILURE(Prepare("u", Rows(kMost, 5), "", v1::IN_PLACE));
  const auto done = weights().Commit({"u"});
  ASSERT_TRUE(done.ok()) << FormatError(done.status());
  EXPECT_EQ(Content("w"), Rows(kMost, 5));
}

TEST_F(WeightMemoryTest, WavesSeeWhatWasCopiedInPlace) {
  const Directory state;
  ASSERT_NO_FATAL_FAILURE(Start({"--state-dir=" + state.path()}));
  const v1::SubmitWaveRequest first = MakeWave(128, kColumns, 128, F32, 1);
  const v1::SubmitWaveRequest second = MakeWave(128, kColumns, 128, F32, 2);
  ASSERT_EQ(Update("first", first.w().inline_()), 1u);
  auto result = client().SubmitWave(WithStored(first, "w"));
  ASSERT_TRUE(result.ok()) << FormatError(result.status());
  EXPECT_TRUE(IsRight(first, *result));
  ASSERT_NO_FATAL_FAILURE(Prepare("second", second.w().inline_(), "", v1::IN_PLACE));
  ASSERT_TRUE(weights().Commit({"second"}).ok());
  result = client().SubmitWave(WithStored(second, "w"));
  ASSERT_TRUE(result.ok()) << FormatError(result.status());
  EXPECT_EQ(result->version(), 2u);
  EXPECT_TRUE(IsRight(second, *result));
}

}  // namespace
}  // namespace bwrt::e2e
