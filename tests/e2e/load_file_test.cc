// Safetensors files that the daemon reads itself, hostile ones among them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/status.h"
#include "tests/e2e/updates_fixture.h"

namespace bwrt::e2e {
namespace {

using absl::StatusCode;
using client::FormatError;
using testing::HasSubstr;
using LoadFileTest = UpdatesFixture;

std::string Safetensors(const std::string& header, const std::string& data) {
  std::string length(8, '\0');
  const uint64_t size = header.size();
  std::memcpy(length.data(), &size, sizeof(size));
  return length + header + data;
}

TEST_F(LoadFileTest, FilesBeneathTheRoot) {
  const Directory root;
  std::filesystem::create_directory(root / "m");
  WriteAll(root / "m/model.safetensors",
           Safetensors(absl::StrCat(R"({"x":{"dtype":"F32","shape":[2,64],"data_offsets":[0,512]},)",
                                    R"("y":{"dtype":"F32","shape":[1,64],"data_offsets":[512,768]}})"),
                       Rows(2, 7) + Rows(1, 8)));
  ASSERT_NO_FATAL_FAILURE(Start({"--weights-root=" + root.path()}));
  ASSERT_TRUE(weights().Begin(BeginOf("u", {})).ok());
  v1::LoadFileRequest load;
  load.set_update_id("u");
  load.set_path("m");
  load.set_name_prefix("layer0/");
  const auto progress = weights().Load(load);
  ASSERT_TRUE(progress.ok()) << FormatError(progress.status());
  EXPECT_TRUE(progress->back().done());
  EXPECT_EQ(progress->back().tensors(), 2u);
  EXPECT_EQ(progress->back().bytes(), 768u);
  EXPECT_EQ(progress->back().total_bytes(), 768u);
  load.set_path("m/model.safetensors");
  load.set_name_prefix("");
  load.add_tensors("y");
  ASSERT_TRUE(weights().Load(load).ok());
  load.set_tensors(0, "z");
  EXPECT_TRUE(Is(weights().Load(load).status(), StatusCode::kInvalidArgument, "UNKNOWN_TENSOR"));
  ASSERT_TRUE(weights().Precommit("u").ok());
  ASSERT_TRUE(weights().Commit({"u"}).ok());
  EXPECT_EQ(Content("layer0/x"), Rows(2, 7));
  EXPECT_EQ(Content("layer0/y"), Rows(1, 8));
  EXPECT_EQ(Content("y"), Rows(1, 8));
  EXPECT_EQ(Summary().tensors(), 3u);
}

TEST_F(LoadFileTest, NoFileBeyondTheRoot) {
  const Directory outside;
  WriteAll(outside / "secret.safetensors", Safetensors("{}", ""));
  const Directory root;
  std::filesystem::create_symlink(outside / "secret.safetensors", root / "link.safetensors");
  std::filesystem::create_directory_symlink(outside.path(), root / "dir");
  ASSERT_NO_FATAL_FAILURE(Start({"--weights-root=" + root.path()}));
  ASSERT_TRUE(weights().Begin(BeginOf("u", {})).ok());
  v1::LoadFileRequest load;
  load.set_update_id("u");
  const std::string name = std::filesystem::path(outside.path()).filename();
  for (const std::string& path :
       {std::string("../secret.safetensors"), absl::StrCat("../", name, "/secret.safetensors"),
        outside / "secret.safetensors", std::string("/etc/passwd"), std::string("m/../../secret.safetensors"),
        std::string("./../x.safetensors"), std::string(".."), std::string("a\0b.safetensors", 15), std::string("//")}) {
    load.set_path(path);
    EXPECT_EQ(weights().Load(load).status().code(), StatusCode::kInvalidArgument) << path;
  }
  for (const char* path : {"link.safetensors", "dir/secret.safetensors", "dir"}) {
    load.set_path(path);
    const absl::Status refused = weights().Load(load).status();
    EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition) << path;
    EXPECT_THAT(std::string(refused.message()), testing::Not(HasSubstr(outside.path())));
  }
  load.set_path("none.safetensors");
  EXPECT_EQ(weights().Load(load).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(weights().Get("u")->info().tensors(), 0u);
}

TEST_F(LoadFileTest, HostileSafetensors) {
  const Directory root;
  std::string length(8, '\0');
  length[7] = 0x10;  // 2^60.
  WriteAll(root / "huge.safetensors", length + "{}");
  WriteAll(root / "short.safetensors", "abc");
  WriteAll(root / "beyond.safetensors",
           Safetensors(R"({"x":{"dtype":"F32","shape":[2,64],"data_offsets":[0,512]}})", Rows(1, 7)));
  WriteAll(root / "deep.safetensors", Safetensors(std::string(1 << 20, '['), ""));
  ASSERT_NO_FATAL_FAILURE(Start({"--weights-root=" + root.path()}));
  ASSERT_TRUE(weights().Begin(BeginOf("u", {})).ok());
  const int64_t before = daemon().PeakMemory();
  v1::LoadFileRequest load;
  load.set_update_id("u");
  for (const char* path : {"huge", "short", "beyond", "deep"}) {
    load.set_path(absl::StrCat(path, ".safetensors"));
    EXPECT_TRUE(Is(weights().Load(load).status(), StatusCode::kInvalidArgument, "SAFETENSORS_HEADER")) << path;
  }
  EXPECT_LT(daemon().PeakMemory() - before, 64 << 20);
  EXPECT_EQ(State("u"), v1::OPEN);
}

TEST_F(LoadFileTest, NoFilesWithoutARoot) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_TRUE(weights().Begin(BeginOf("u", {})).ok());
  v1::LoadFileRequest load;
  load.set_update_id("u");
  load.set_path("x.safetensors");
  EXPECT_TRUE(Is(weights().Load(load).status(), StatusCode::kFailedPrecondition, "NO_WEIGHTS_ROOT"));
}

}  // namespace
}  // namespace bwrt::e2e
