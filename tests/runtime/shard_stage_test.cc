#include "runtime/shard_stage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/cord.h"
#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ShardStageTest : public ::testing::Test {
 protected:
  ShardStage Stage(int64_t bytes, std::optional<Digest> expected = std::nullopt) {
    return ShardStage(bytes, expected, *budget_.Reserve(Bytes(bytes), WeightBudget::Kind::kContent));
  }
  absl::Status Write(ShardStage& stage, int64_t offset, absl::string_view data) {
    return Write(stage, offset, absl::Cord(data));
  }
  absl::Status Write(ShardStage& stage, int64_t offset, const absl::Cord& data) {
    return stage.Write("w shard 0", offset, data, [this](size_t bytes) {
      ++allocations_;
      return memory_.Allocate(bytes);
    });
  }
  static std::string Bytes64(size_t size) {
    std::string bytes(size, '\0');
    std::mt19937 random(7);
    for (char& c : bytes) c = static_cast<char>(random());
    return bytes;
  }

  WeightBudget budget_{Bytes(1 << 24)};
  WeightMemory memory_{0};
  int allocations_ = 0;
};

TEST_F(ShardStageTest, ChunksInAnyOrderGiveTheBytesAndTheDigest) {
  const std::string bytes = Bytes64(10'000);
  for (const Digest::Kind kind : {Digest::Kind::kSha256, Digest::Kind::kXxh3}) {
    ShardStage stage = Stage(10'000, Digest::Of(kind, bytes));
    std::vector<size_t> offsets;
    for (size_t at = 0; at < bytes.size(); at += 700) offsets.push_back(at);
    std::shuffle(offsets.begin(), offsets.end(), std::mt19937(3));
    for (const size_t at : offsets) {
      ASSERT_TRUE(Write(stage, static_cast<int64_t>(at), absl::string_view(bytes).substr(at, 700)).ok());
    }
    EXPECT_EQ(stage.received(), 10'000);
    EXPECT_FALSE(stage.Check().has_value());
    EXPECT_FALSE(stage.Check().has_value()) << "asking again changes nothing";
    EXPECT_EQ(stage.content().view(), bytes);
  }
}

TEST_F(ShardStageTest, AChunkMayComeAgainButNotWithOtherBytes) {
  ShardStage stage = Stage(10);
  ASSERT_TRUE(Write(stage, 2, "abcd").ok());
  EXPECT_TRUE(Write(stage, 0, "xyabcdz").ok());
  EXPECT_EQ(stage.received(), 7);
  const absl::Status conflict = Write(stage, 3, "bXdzz");
  EXPECT_EQ(GetReason(conflict), "CHUNK_CONFLICT");
  EXPECT_THAT(std::string(conflict.message()), HasSubstr("[3, 7)"));
  EXPECT_EQ(stage.received(), 7) << "nothing of the refused chunk was taken";
  std::string read(7, '\0');
  ASSERT_TRUE(stage.Read("w", 0, 7, read.data()).ok());
  EXPECT_EQ(read, "xyabcdz");
}

TEST_F(ShardStageTest, AChunkMayLieInPieces) {
  const std::string bytes = Bytes64(100'000);
  std::mt19937 random(5);
  for (const bool in_order : {true, false}) {
    ShardStage stage = Stage(100'000, Digest::Of(Digest::Kind::kXxh3, bytes));
    absl::Cord front;
    absl::Cord back;
    for (size_t at = 0; at < bytes.size();) {
      const size_t size = std::min<size_t>(1 + random() % 40'000, bytes.size() - at);
      absl::Cord& half = at < 50'000 ? front : back;
      half.Append(absl::MakeCordFromExternal(absl::string_view(bytes).substr(at, size), [] {}));
      at += size;
    }
    const auto middle = static_cast<int64_t>(front.size());
    ASSERT_TRUE((in_order ? Write(stage, 0, front) : Write(stage, middle, back)).ok());
    absl::Cord other = front;
    other.RemoveSuffix(1);
    other.Append(bytes[front.size() - 1] == 'x' ? "y" : "x");
    if (in_order) {
      EXPECT_EQ(GetReason(Write(stage, 0, other)), "CHUNK_CONFLICT");
    }
    ASSERT_TRUE((in_order ? Write(stage, middle, back) : Write(stage, 0, front)).ok());
    EXPECT_FALSE(stage.Check().has_value());
    EXPECT_EQ(stage.content().view(), bytes);
  }
}

TEST_F(ShardStageTest, BytesBeyondTheEndAreRefused) {
  ShardStage stage = Stage(10);
  for (const auto& [offset, size] : std::vector<std::pair<int64_t, size_t>>{
           {10, 1}, {9, 2}, {11, 0}, {-1, 1}, {INT64_MAX, 1}, {INT64_MAX - 1, 8}, {0, 11}}) {
    EXPECT_EQ(GetReason(Write(stage, offset, std::string(size, 'x'))), "CHUNK_OUT_OF_RANGE") << offset;
  }
  EXPECT_TRUE(Write(stage, 10, "").ok());
  EXPECT_EQ(allocations_, 0) << "nothing was written, so nothing was allocated";
}

TEST_F(ShardStageTest, MissingAndShortAreTold) {
  ShardStage stage = Stage(10);
  EXPECT_EQ(stage.Check()->reason, "SHARD_MISSING");
  ASSERT_TRUE(Write(stage, 4, "abc").ok());
  EXPECT_EQ(stage.Check()->reason, "SHARD_SHORT");
  EXPECT_THAT(stage.Check()->why, HasSubstr("[0, 4)"));
  EXPECT_THAT(stage.Missing(9), ElementsAre(ByteRange{0, 4}, ByteRange{7, 10}));
  std::string read(3, '\0');
  EXPECT_TRUE(stage.Read("w", 4, 3, read.data()).ok());
  EXPECT_EQ(GetReason(stage.Read("w", 3, 3, read.data())), "UPDATE_INCOMPLETE");
}

TEST_F(ShardStageTest, AWrongDigestDropsTheBytesAndTheShardCanBeStagedAgain) {
  ShardStage stage = Stage(4, Digest::Of(Digest::Kind::kSha256, "good"));
  ASSERT_TRUE(Write(stage, 0, "evil").ok());
  const auto fault = stage.Check();
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->reason, "DIGEST_MISMATCH");
  EXPECT_THAT(fault->why, HasSubstr(Digest::Of(Digest::Kind::kSha256, "evil").ToString()));
  EXPECT_EQ(stage.received(), 0);
  ASSERT_TRUE(Write(stage, 0, "good").ok());
  EXPECT_FALSE(stage.Check().has_value());
}

TEST_F(ShardStageTest, OneByteAtATimeIsRefusedBeforeItCostsMuch) {
  ShardStage stage = Stage(1 << 20);
  absl::Status status;
  int64_t offset = 0;
  for (; status.ok() && offset < (1 << 20); offset += 2) status = Write(stage, offset, "x");
  EXPECT_EQ(GetReason(status), "TOO_FRAGMENTED");
}

TEST_F(ShardStageTest, RoomIsGivenBackWithTheBytes) {
  {
    ShardStage stage = Stage(1 << 20);
    EXPECT_EQ(budget_.reserved(WeightBudget::Kind::kContent), Bytes(1 << 20));
    ASSERT_TRUE(Write(stage, 0, "x").ok());
    const WeightBuffer content = stage.content();
    EXPECT_TRUE(content.charged());
    { const ShardStage gone = Stage(5); }
    EXPECT_EQ(budget_.reserved(WeightBudget::Kind::kContent), Bytes(1 << 20));
  }
  EXPECT_EQ(budget_.reserved(WeightBudget::Kind::kContent), Bytes(0));
}

TEST_F(ShardStageTest, ManyThreadsMayWriteOneShard) {
  constexpr size_t kSize = 1 << 20;
  const std::string bytes = Bytes64(kSize);
  ShardStage stage = Stage(kSize, Digest::Of(Digest::Kind::kXxh3, bytes));
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      // Each writes three quarters of it, so that most pieces come several times.
      for (size_t at = t * 4096; at < kSize; at += 4096) {
        if ((at / 4096) % 4 == (t + 1) % 4) continue;
        EXPECT_TRUE(Write(stage, static_cast<int64_t>(at), absl::string_view(bytes).substr(at, 4096)).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(stage.received(), static_cast<int64_t>(kSize));
  EXPECT_FALSE(stage.Check().has_value());
  EXPECT_EQ(allocations_, 1);
}

}  // namespace
}  // namespace bwrt::runtime
