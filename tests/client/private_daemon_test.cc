#include "client/private_daemon.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "client/file.h"

namespace bwrt::client {
namespace {

// Stands for bwrtd: says that it serves, then waits to be ended.
constexpr char kServes[] = R"(#!/bin/sh
for argument; do
  case $argument in --ready-file=*) ready=${argument#--ready-file=} ;; esac
done
echo "{}" >"$ready.tmp" && mv "$ready.tmp" "$ready"
exec sleep 60
)";

std::string Script(const std::string& name, absl::string_view text) {
  std::string path = testing::TempDir() + name;
  EXPECT_TRUE(WriteFile(path, text).ok());
  EXPECT_EQ(chmod(path.c_str(), 0755), 0);
  return path;
}

bool Exists(pid_t pid) { return kill(pid, 0) == 0 || errno != ESRCH; }

TEST(PrivateDaemon, ServesInADirectoryOfItsOwnAndLeavesNothing) {
  auto daemon = PrivateDaemon::Start({.binary = Script("serves", kServes)});
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  absl::string_view path = (*daemon)->address();
  ASSERT_TRUE(absl::ConsumePrefix(&path, "unix:"));
  const std::filesystem::path directory = std::filesystem::path(std::string(path)).parent_path();
  EXPECT_TRUE(std::filesystem::is_directory(directory));
  EXPECT_EQ(std::filesystem::status(directory).permissions(), std::filesystem::perms::owner_all);
  const pid_t pid = (*daemon)->pid();
  EXPECT_TRUE(Exists(pid));
  daemon->reset();
  EXPECT_FALSE(Exists(pid));
  EXPECT_FALSE(std::filesystem::exists(directory));
}

TEST(PrivateDaemon, GetsItsFlags) {
  const auto daemon = PrivateDaemon::Start(
      {.binary = Script("tells", "#!/bin/sh\necho \"$@\" >&2\nexit 1\n"), .flags = {"--shape-check=lenient"}});
  EXPECT_TRUE(absl::StrContains(daemon.status().message(), "--listen=unix:/")) << daemon.status();
  EXPECT_TRUE(absl::StrContains(daemon.status().message(), "--shape-check=lenient")) << daemon.status();
}

TEST(PrivateDaemon, OneThatEndsSaysWhy) {
  const auto daemon = PrivateDaemon::Start({.binary = Script("ends", "#!/bin/sh\necho no flag >&2\nexit 2\n")});
  EXPECT_EQ(daemon.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(daemon.status().message(), "the private bwrtd ended: no flag");
}

TEST(PrivateDaemon, OneThatIsNoProgram) {
  const auto daemon = PrivateDaemon::Start({.binary = testing::TempDir() + "none"});
  EXPECT_EQ(daemon.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(daemon.status().message(), "cannot be executed")) << daemon.status();
}

TEST(PrivateDaemon, OneThatNeverServes) {
  const auto daemon = PrivateDaemon::Start(
      {.binary = Script("hangs", "#!/bin/sh\nexec sleep 60\n"), .flags = {}, .patience = absl::Milliseconds(50)});
  EXPECT_EQ(daemon.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(PrivateDaemon, DiesWithItsParent) {
  const std::string binary = Script("serves", kServes);
  // Short enough for a socket; takes in what the killed parent cannot remove.
  std::string scratch = "/tmp/bwrtctl-test-XXXXXX";
  ASSERT_NE(mkdtemp(scratch.data()), nullptr);
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  const pid_t parent = fork();
  ASSERT_GE(parent, 0);
  if (parent == 0) {
    setenv("TMPDIR", scratch.c_str(), 1);
    auto daemon = PrivateDaemon::Start({.binary = binary});
    const pid_t pid = daemon.ok() ? (*daemon)->pid() : -1;
    [[maybe_unused]] const ssize_t written = write(pipe_fds[1], &pid, sizeof pid);
    // Until the test has hold of the daemon.
    pause();
    _exit(0);
  }
  pid_t pid = -1;
  ASSERT_EQ(read(pipe_fds[0], &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
  ASSERT_GT(pid, 0);
  pollfd ended{.fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0)), .events = POLLIN, .revents = 0};
  ASSERT_GE(ended.fd, 0);
  // No destructor runs.
  ASSERT_EQ(kill(parent, SIGKILL), 0);
  EXPECT_EQ(poll(&ended, 1, 10'000), 1);
  waitpid(parent, nullptr, 0);
  close(ended.fd);
  close(pipe_fds[0]);
  close(pipe_fds[1]);
  std::filesystem::remove_all(scratch);
}

TEST(FindDaemon, OnPath) {
  const std::string directory = testing::TempDir() + "found";
  std::filesystem::create_directory(directory);
  Script("found/bwrtd", kServes);
  setenv("PATH", ("/nonsense:" + directory).c_str(), 1);
  auto found = FindDaemon();
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, directory + "/bwrtd");
  // What is there but cannot be executed is no daemon.
  ASSERT_EQ(chmod(found->c_str(), 0644), 0);
  found = FindDaemon();
  EXPECT_EQ(found.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(found.status().message(), "--server")) << found.status();
}

}  // namespace
}  // namespace bwrt::client
