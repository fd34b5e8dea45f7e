#include "runtime/state/posix_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/error.h"
#include "runtime/state/state_store.h"
#include "tests/runtime/state/state_script.h"

namespace bwrt::runtime {
namespace {

using testing::HasSubstr;
using testing::Not;

class PosixFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "/state_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    root_ = path;
    dir_ = path + "/state";
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  static int Mode(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return static_cast<int>(info.st_mode & 07777);
  }

  PosixFiles files_;
  std::string root_;
  std::string dir_;
};

TEST_F(PosixFilesTest, AFileIsWrittenAndRead) {
  auto directory = *files_.Open(dir_);
  ASSERT_TRUE(directory->MakeSubdirectory("sub").ok());
  auto file = *directory->Create("sub/a");
  ASSERT_TRUE(file->Append("hello ").ok());
  ASSERT_TRUE(file->Append("world").ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->Truncate(8).ok());
  ASSERT_TRUE(file->Append("!").ok());
  ASSERT_TRUE(directory->Rename("sub/a", "b").ok());
  ASSERT_TRUE(directory->Link("b", "sub/c").ok());
  ASSERT_TRUE(directory->Link("b", "sub/c").ok());
  ASSERT_TRUE(directory->Sync(".").ok());
  ASSERT_TRUE(directory->Sync("sub").ok());
  auto read = *directory->OpenForRead("b");
  EXPECT_EQ(*read->Size(), 9);
  std::string bytes(20, '\0');
  EXPECT_EQ(*read->Read(6, bytes.data(), 20), 3);
  EXPECT_EQ(bytes.substr(0, 3), "wo!");
  EXPECT_EQ(*read->Read(100, bytes.data(), 20), 0);
  ASSERT_EQ(directory->List("sub")->size(), 1u);
  EXPECT_EQ((*directory->List("sub"))[0].name, "c");
  EXPECT_EQ((*directory->List("sub"))[0].bytes, 9);
  EXPECT_EQ(directory->List(".")->size(), 1u);  // The subdirectory is no file.
  ASSERT_TRUE(directory->Unlink("b").ok());
  EXPECT_TRUE(absl::IsNotFound(directory->Unlink("b")));
  EXPECT_TRUE(absl::IsNotFound(directory->OpenForRead("b").status()));
}

TEST_F(PosixFilesTest, OnlyTheOwnerMayLook) {
  auto directory = *files_.Open(dir_);
  ASSERT_TRUE(directory->MakeSubdirectory("sub").ok());
  ASSERT_TRUE(directory->Create("a").ok());
  EXPECT_EQ(Mode(dir_), 0700);
  EXPECT_EQ(Mode(dir_ + "/sub"), 0700);
  EXPECT_EQ(Mode(dir_ + "/a"), 0600);
}

TEST_F(PosixFilesTest, LinksAreNotFollowed) {
  auto directory = *files_.Open(dir_);
  std::ofstream(root_ + "/outside") << "secret";
  ASSERT_EQ(symlink((root_ + "/outside").c_str(), (dir_ + "/link").c_str()), 0);
  ASSERT_EQ(symlink(root_.c_str(), (dir_ + "/sub").c_str()), 0);
  const absl::Status status = directory->OpenForRead("link").status();
  EXPECT_EQ(GetReason(status), "STATE_DIR_FAILED");
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr(root_)));
  EXPECT_EQ(GetReason(directory->MakeSubdirectory("sub")), "STATE_DIR_FAILED");
  // Creating replaces the link, not what it leads to.
  ASSERT_TRUE((*directory->Create("link"))->Append("x").ok());
  EXPECT_EQ(std::filesystem::file_size(root_ + "/outside"), 6u);
}

TEST_F(PosixFilesTest, AStoreHasItsDirectoryAlone) {
  auto store = StateStore::Open({dir_, 1, nullptr}, &files_);
  ASSERT_TRUE(store.ok()) << store.status();
  const absl::Status second = StateStore::Open({dir_, 1, nullptr}, &files_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(second));
  EXPECT_EQ(GetReason(second), "STATE_DIR_IN_USE");
  store->reset();
  EXPECT_TRUE(StateStore::Open({dir_, 1, nullptr}, &files_).ok());
}

TEST_F(PosixFilesTest, AWholeScriptOnRealFiles) {
  PosixFiles files;
  ExpectedState expected;
  const StateScript script = StateScript::Whole();
  {
    auto store = StateStore::Open({dir_, 1, nullptr}, &files);
    ASSERT_TRUE(store.ok()) << store.status();
    for (const StateScript::Step& step : script.steps()) {
      ASSERT_TRUE(step.run(**store).ok()) << step.name;
      step.expect(expected);
    }
  }
  auto store = StateStore::Open({dir_, 1, nullptr}, &files);
  ASSERT_TRUE(store.ok()) << store.status();
  const RecoveredState state = (*store)->TakeRecovered();
  ASSERT_EQ(state.models.size(), 1u);
  EXPECT_EQ(state.models[0].versions[0].number, Version(4));
  EXPECT_EQ(CheckVersion(**store, state.models[0].versions[0].manifest, "a", 4), "");
  EXPECT_EQ(state.outcomes.size(), expected.View().outcomes.size());
  (*store)->Collect();
  EXPECT_GT((*store)->bytes(), 0);
}

TEST_F(PosixFilesTest, AParentThatIsMissingIsNamed) {
  EXPECT_TRUE(absl::IsNotFound(files_.Open(root_ + "/no/such").status()));
}

}  // namespace
}  // namespace bwrt::runtime
