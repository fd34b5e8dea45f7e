#include "runtime/root_directory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class RootDirectoryTest : public testing::Test {
 protected:
  RootDirectoryTest()
      : top_(fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(top_);
    fs::create_directories(top_ / "root" / "sub");
    Write("root/sub/file", "inside");
    Write("secret", "outside");
    root_ = *RootDirectory::Open((top_ / "root").string());
  }
  ~RootDirectoryTest() override { fs::remove_all(top_); }

  void Write(const std::string& file, const std::string& bytes) {
    std::ofstream(top_ / file, std::ios::binary) << bytes;
  }

  void ExpectRefused(const std::string& path, absl::StatusCode code, const std::string& reason) {
    const absl::Status status = root_->OpenFile(path).status();
    EXPECT_EQ(status.code(), code) << path;
    EXPECT_EQ(GetReason(status), reason) << path;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr(top_.string())));
    EXPECT_LT(status.message().size(), 2048u);
  }
  void ExpectUnreadable(const std::string& path) {
    ExpectRefused(path, absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE");
  }

  const fs::path top_;
  std::unique_ptr<RootDirectory> root_;
};

TEST_F(RootDirectoryTest, OpensAFileAndKnowsItsSize) {
  const auto file = root_->OpenFile("sub/file");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->bytes, 6);
  char bytes[6];
  ASSERT_EQ(pread(file->handle->fd(), bytes, sizeof(bytes), 0), 6);
  EXPECT_EQ(std::string(bytes, 6), "inside");
}

TEST_F(RootDirectoryTest, WhatItOpenedOutlivesIt) {
  const auto file = root_->OpenFile("sub/file");
  root_.reset();
  char byte = 0;
  EXPECT_EQ(pread(file->handle->fd(), &byte, 1, 0), 1);
}

TEST_F(RootDirectoryTest, ClosesWithTheLastReference) {
  auto file = root_->OpenFile("sub/file");
  const int fd = file->handle->fd();
  EXPECT_NE(fcntl(fd, F_GETFD), -1);
  file->handle.reset();
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
}

TEST_F(RootDirectoryTest, MissingFiles) {
  for (const char* path : {"nothing", "sub/nothing", "nothing/file", "sub/file/below"}) {
    ExpectRefused(path, absl::StatusCode::kNotFound, "FILE_MISSING");
  }
  EXPECT_EQ(root_->OpenFile("sub/nothing").status().message(), "sub/nothing does not exist");
}

TEST_F(RootDirectoryTest, PathsThatLeadOutAreRefusedUnopened) {
  for (const std::string& path :
       {std::string(), std::string("."), std::string(".."), std::string("../secret"), std::string("sub/../../secret"),
        std::string("sub/../sub/file"), (top_ / "secret").string(), std::string("/etc/passwd"),
        std::string("sub//file"), std::string("sub/"), std::string("./sub/file"), std::string("sub/file\0.x", 11),
        std::string("a\nb"), std::string(256, 'n'), std::string(100'000, '/'), std::string(1025, 'n')}) {
    const absl::Status status = root_->OpenFile(path).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << path.substr(0, 80);
    EXPECT_EQ(GetReason(status), "FILE_PATH") << path.substr(0, 80);
    EXPECT_LT(status.message().size(), 1024u);
  }
}

TEST_F(RootDirectoryTest, SymbolicLinksAreNotFollowed) {
  fs::create_symlink(top_ / "secret", top_ / "root" / "out");
  fs::create_symlink(top_, top_ / "root" / "up");
  fs::create_symlink("sub/file", top_ / "root" / "within");
  fs::create_symlink("/proc/self/fd/0", top_ / "root" / "magic");
  for (const char* path : {"out", "up/secret", "within", "magic"}) ExpectUnreadable(path);
  EXPECT_THAT(std::string(root_->OpenFile("out").status().message()),
              HasSubstr("out is, or lies behind, a symbolic link"));
}

TEST_F(RootDirectoryTest, OnlyRegularFiles) {
  ASSERT_EQ(mkfifo((top_ / "root" / "pipe").c_str(), 0600), 0);
  ExpectUnreadable("pipe");  // And does not wait for somebody to write into it.
  ExpectUnreadable("sub");
  auto dev = RootDirectory::Open("/dev");
  ASSERT_TRUE(dev.ok()) << dev.status();
  const absl::Status null = (*dev)->OpenFile("null").status();
  EXPECT_EQ(GetReason(null), "FILE_UNREADABLE");
  EXPECT_EQ(null.message(), "null is not a regular file");
}

TEST_F(RootDirectoryTest, TheRootMustBeADirectory) {
  EXPECT_EQ(RootDirectory::Open((top_ / "missing").string()).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(RootDirectory::Open((top_ / "secret").string()).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace bwrt::runtime
