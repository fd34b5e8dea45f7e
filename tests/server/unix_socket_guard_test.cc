#include "server/unix_socket_guard.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

namespace bwrt::server {
namespace {

namespace fs = std::filesystem;

class UnixSocketGuardTest : public testing::Test {
 protected:
  UnixSocketGuardTest() {
    // The test's own directory can be too long for a socket's path.
    std::string pattern = std::filesystem::temp_directory_path() / "bwrtXXXXXX";
    directory_ = mkdtemp(pattern.data());
    path_ = directory_ + "/s";
  }
  ~UnixSocketGuardTest() override { fs::remove_all(directory_); }

  static ListenAddress Address(const std::string& path) { return *ListenAddress::Parse("unix:" + path); }

  // As a server would.
  int Bind(const std::string& path) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path.copy(name.sun_path, sizeof(name.sun_path) - 1);
    EXPECT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
    EXPECT_EQ(listen(fd, 1), 0);
    return fd;
  }

  std::string directory_;
  std::string path_;
};

TEST_F(UnixSocketGuardTest, SocketsAreForOwnerAndGroup) {
  const mode_t before = umask(022);
  {
    auto guard = UnixSocketGuard::Create({Address(path_), *ListenAddress::Parse("127.0.0.1:0")});
    ASSERT_TRUE(guard.ok()) << guard.status();
    close(Bind(path_));
  }
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660u);
  EXPECT_EQ(umask(before), 022u);
}

TEST_F(UnixSocketGuardTest, ReplacesAStaleSocket) {
  close(Bind(path_));
  ASSERT_TRUE(fs::exists(path_));
  auto guard = UnixSocketGuard::Create({Address(path_)});
  EXPECT_TRUE(guard.ok()) << guard.status();
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(UnixSocketGuardTest, DoesNotStealALiveSocket) {
  const int fd = Bind(path_);
  auto guard = UnixSocketGuard::Create({Address(path_)});
  EXPECT_EQ(guard.status().code(), absl::StatusCode::kAlreadyExists) << guard.status();
  EXPECT_TRUE(fs::exists(path_));
  // The same with a backlog so full that connecting would wait.
  int clients[4];
  for (int& client : clients) {
    client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path_.copy(name.sun_path, sizeof(name.sun_path) - 1);
    EXPECT_TRUE(connect(client, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0 || errno == EAGAIN);
  }
  guard = UnixSocketGuard::Create({Address(path_)});
  EXPECT_EQ(guard.status().code(), absl::StatusCode::kAlreadyExists) << guard.status();
  for (const int client : clients) close(client);
  close(fd);
}

TEST_F(UnixSocketGuardTest, LeavesOtherFilesAlone) {
  std::ofstream(path_) << "precious";
  auto guard = UnixSocketGuard::Create({Address(path_)});
  EXPECT_EQ(guard.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_NE(guard.status().message().find("is not a socket"), absl::string_view::npos);
  EXPECT_EQ(fs::file_size(path_), 8u);
}

TEST_F(UnixSocketGuardTest, MissingDirectory) {
  auto guard = UnixSocketGuard::Create({Address(directory_ + "/none/s")});
  EXPECT_EQ(guard.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(guard.status().message().find("does not exist; create it first"), absl::string_view::npos)
      << guard.status();
  std::ofstream(path_) << "file";
  guard = UnixSocketGuard::Create({Address(path_ + "/s")});
  EXPECT_EQ(guard.status().code(), absl::StatusCode::kNotFound);
}

TEST_F(UnixSocketGuardTest, OneDirectoryUnderTwoNames) {
  auto guard =
      UnixSocketGuard::Create({Address(directory_ + "/a"), Address(directory_ + "/b"), Address(directory_ + "//c")});
  EXPECT_TRUE(guard.ok()) << guard.status();
}

}  // namespace
}  // namespace bwrt::server
