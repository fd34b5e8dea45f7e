// Reading tensors of models and updates, and deleting models.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "client/status.h"
#include "tests/e2e/updates_fixture.h"

namespace bwrt::e2e {
namespace {

using absl::StatusCode;
using client::FormatError;
using testing::ElementsAre;
using ReadDeleteTest = UpdatesFixture;

TEST_F(ReadDeleteTest, ReadingSlices) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const std::string bytes = Ramp(4);
  ASSERT_EQ(Update("u", bytes, "m"), 1u);
  v1::ReadTensorRequest read = ReadOf("w", "m");
  read.set_offset(100);
  read.set_bytes(300);
  const auto slice = weights().Read(read);
  ASSERT_TRUE(slice.ok()) << FormatError(slice.status());
  EXPECT_EQ(slice->data(), bytes.substr(100, 300));
  EXPECT_EQ(slice->version(), 1u);
  EXPECT_EQ(slice->dtype(), F32);
  EXPECT_THAT(slice->shape(), ElementsAre(4, 64));
  EXPECT_EQ(slice->total_bytes(), bytes.size());
  EXPECT_EQ(slice->offset(), 100u);
  read.set_offset(bytes.size() - 10);
  EXPECT_EQ(weights().Read(read)->data(), bytes.substr(bytes.size() - 10)) << "fewer at the end";
  read.set_offset(bytes.size());
  EXPECT_EQ(weights().Read(read)->data(), "");
  for (const uint64_t beyond : {uint64_t{bytes.size() + 1}, uint64_t{1} << 63, ~uint64_t{0}}) {
    read.set_offset(beyond);
    EXPECT_EQ(weights().Read(read).status().code(), StatusCode::kInvalidArgument) << beyond;
  }
  read.set_offset(0);
  read.set_bytes((16 << 20) + 1);
  EXPECT_EQ(weights().Read(read).status().code(), StatusCode::kInvalidArgument);
  read.set_bytes(0);
  read.set_update_id("u");
  EXPECT_EQ(weights().Read(read).status().code(), StatusCode::kInvalidArgument) << "model and update";
  EXPECT_EQ(weights().Read(ReadOf("none", "m")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(weights().Read(ReadOf("w", "none")).status().code(), StatusCode::kNotFound);
}

TEST_F(ReadDeleteTest, ReadingUpdates) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const std::string bytes = Ramp(4);
  ASSERT_TRUE(weights().Begin(BeginOf("u", {Matrix("w", 4)})).ok());
  ASSERT_TRUE(weights().Stage({ChunkOf("u", "w", kRowBytes, bytes.substr(kRowBytes))}).ok());
  v1::ReadTensorRequest read = ReadOf("w");
  read.set_update_id("u");
  EXPECT_TRUE(Is(weights().Read(read).status(), StatusCode::kFailedPrecondition, "UPDATE_INCOMPLETE"));
  ASSERT_TRUE(weights().Stage({ChunkOf("u", "w", 0, bytes.substr(0, kRowBytes))}).ok());
  EXPECT_EQ(weights().Read(read)->data(), bytes);
  EXPECT_EQ(weights().Read(read)->version(), 0u);
  read.set_tensor("none");
  EXPECT_EQ(weights().Read(read).status().code(), StatusCode::kNotFound);
  read.set_tensor("w");
  read.set_rank(7);
  EXPECT_EQ(weights().Read(read).status().code(), StatusCode::kNotFound);
  read.clear_rank();
  ASSERT_TRUE(weights().Precommit("u").ok());
  read.set_offset(10);
  read.set_bytes(20);
  EXPECT_EQ(weights().Read(read)->data(), bytes.substr(10, 20));
  read.set_tensor("none");
  EXPECT_EQ(weights().Read(read).status().code(), StatusCode::kNotFound);
  read.set_update_id("never");
  EXPECT_TRUE(Is(weights().Read(read).status(), StatusCode::kNotFound, "UPDATE_NOT_FOUND"));
}

TEST_F(ReadDeleteTest, DeletingModels) {
  const Directory state;
  const std::vector<std::string> flags = {"--state-dir=" + state.path()};
  ASSERT_NO_FATAL_FAILURE(Start(flags));
  ASSERT_EQ(Update("u", Ramp(4), "m"), 1u);
  ASSERT_NO_FATAL_FAILURE(Prepare("next", Ramp(2), "m"));
  v1::DeleteModelRequest request;
  EXPECT_EQ(weights().DeleteModel(request).status().code(), StatusCode::kInvalidArgument);
  request.set_model("default");
  EXPECT_EQ(weights().DeleteModel(request).status().code(), StatusCode::kInvalidArgument);
  request.set_model("none");
  EXPECT_EQ(weights().DeleteModel(request).status().code(), StatusCode::kNotFound);
  request.set_model("m");
  request.set_version(7);
  EXPECT_TRUE(Is(weights().DeleteModel(request).status(), StatusCode::kFailedPrecondition, "VERSION_MISMATCH"));
  EXPECT_EQ(Summary("m").version(), 1u) << "still there";
  request.set_version(1);
  const auto deleted = weights().DeleteModel(request);
  ASSERT_TRUE(deleted.ok()) << FormatError(deleted.status());
  EXPECT_EQ(deleted->freed_bytes(), Ramp(4).size());
  EXPECT_EQ(weights().GetModel("m").status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(WaitUntil([&] { return State("next") == v1::ABORTED; }));
  Stop();
  ASSERT_NO_FATAL_FAILURE(Start(flags));
  EXPECT_EQ(weights().GetModel("m").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(weights().Get("next").status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace bwrt::e2e
