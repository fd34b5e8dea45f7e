#include "tests/e2e/daemon_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

extern char** environ;

namespace bwrt::e2e {
namespace {

constexpr char kDaemonPath[] = "server/bwrtd";  // Among the test's data.

bool Names(const std::vector<std::string>& flags, absl::string_view flag) {
  return std::any_of(flags.begin(), flags.end(),
                     [&](const std::string& f) { return absl::StartsWith(f, absl::StrCat(flag, "=")); });
}

std::string FirstOf(const std::vector<std::string>& addresses, bool is_unix) {
  for (const std::string& address : addresses) {
    if (absl::StartsWith(address, "unix:") == is_unix) return address;
  }
  return "";
}

int Milliseconds(absl::Duration left) {
  return static_cast<int>(std::max<int64_t>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1))), 0));
}

}  // namespace

Directory::Directory() {
  constexpr absl::string_view kPattern = "/bwrt-XXXXXX";
  constexpr size_t kRoom = 32;  // For the names in it.
  std::string parent = testing::TempDir();
  while (absl::EndsWith(parent, "/")) parent.pop_back();
  if (parent.size() + kPattern.size() + kRoom > sizeof(sockaddr_un::sun_path)) parent = "/tmp";
  path_ = absl::StrCat(parent, kPattern);
  if (mkdtemp(path_.data()) == nullptr) path_.clear();
}

Directory::~Directory() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void WriteAll(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

absl::StatusOr<std::unique_ptr<Process>> Process::Start(const std::vector<std::string>& argv) {
  std::unique_ptr<Process> process(new Process);
  std::vector<char*> args;
  args.reserve(argv.size() + 1);
  for (const std::string& arg : argv) args.push_back(const_cast<char*>(arg.c_str()));
  args.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  constexpr int kWrite = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, (process->directory_ / "out").c_str(), kWrite, 0644);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, (process->directory_ / "err").c_str(), kWrite, 0644);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, args[0], &files, nullptr, args.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return absl::ErrnoToStatus(error, absl::StrCat("cannot start ", argv[0]));
  process->pid_ = pid;
  process->end_fd_ = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (process->end_fd_ < 0) return absl::ErrnoToStatus(errno, "pidfd_open");
  return process;
}

Process::~Process() {
  if (pid_ > 0 && !status_) {
    Signal(SIGKILL);
    Wait();
  }
  if (end_fd_ >= 0) close(end_fd_);
}

void Process::Signal(int signal) const {
  if (!status_) kill(pid_, signal);
}

std::optional<int> Process::Wait(absl::Duration timeout) {
  if (status_) return status_;
  const absl::Time end = absl::Now() + timeout;
  pollfd ended{.fd = end_fd_, .events = POLLIN, .revents = 0};
  int ready = 0;
  do {
    ready = poll(&ended, 1, Milliseconds(end - absl::Now()));
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0) return std::nullopt;
  int status = 0;
  if (waitpid(pid_, &status, 0) != pid_) return std::nullopt;
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return status_;
}

Ended RunDaemon(const std::vector<std::string>& flags) {
  std::vector<std::string> argv = {kDaemonPath};
  argv.insert(argv.end(), flags.begin(), flags.end());
  auto process = Process::Start(argv);
  if (!process.ok()) return {.status = std::nullopt, .out = "", .err = process.status().ToString()};
  const auto status = (*process)->Wait();
  return {status, (*process)->out(), (*process)->err()};
}

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(std::vector<std::string> flags, std::string program) {
  std::unique_ptr<Daemon> daemon(new Daemon);
  daemon->ready_file_ = daemon->directory_ / "ready";
  if (!Names(flags, "--listen")) {
    flags.push_back(absl::StrCat("--listen=unix:", daemon->directory_ / "s"));
    flags.emplace_back("--listen=127.0.0.1:0");
  }
  // Also where there is a GPU, unless a test asks for one.
  if (!Names(flags, "--device")) flags.emplace_back("--device=cpu");
  flags.push_back(absl::StrCat("--ready-file=", daemon->ready_file_));
  flags.insert(flags.begin(), program.empty() ? kDaemonPath : std::move(program));
  auto process = Process::Start(flags);
  if (!process.ok()) return process.status();
  daemon->process_ = *std::move(process);
  if (absl::Status status = daemon->WaitUntilReady(); !status.ok()) return status;
  const auto ready = nlohmann::json::parse(daemon->ready_text_, nullptr, /*allow_exceptions=*/false);
  if (!ready.is_object() || !ready.contains("listen")) {
    return absl::DataLossError(absl::StrCat("ready file: ", daemon->ready_text_));
  }
  daemon->addresses_ = ready["listen"].get<std::vector<std::string>>();
  daemon->metrics_ = ready.value("metrics", "");
  return daemon;
}

absl::Status Daemon::WaitUntilReady() {
  const int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (watch < 0) return absl::ErrnoToStatus(errno, "inotify_init1");
  // It appears by a rename, so it is complete once it is there.
  inotify_add_watch(watch, directory_.path().c_str(), IN_MOVED_TO | IN_CLOSE_WRITE);
  const absl::Time end = absl::Now() + kPatience;
  absl::Status status = absl::DeadlineExceededError("bwrtd is not ready");
  while (true) {
    ready_text_ = ReadAll(ready_file_);
    if (!ready_text_.empty()) {
      status = absl::OkStatus();
      break;
    }
    std::array<pollfd, 2> fds = {pollfd{.fd = watch, .events = POLLIN, .revents = 0},
                                 pollfd{.fd = process_->end_fd(), .events = POLLIN, .revents = 0}};
    const int ready = poll(fds.data(), fds.size(), Milliseconds(end - absl::Now()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) break;
    if (fds[1].revents != 0) {
      status = absl::UnavailableError(
          absl::StrCat("bwrtd ended with status ", process_->Wait().value_or(-1), ": ", process_->err()));
      break;
    }
    std::array<char, 4096> events;
    while (read(watch, events.data(), events.size()) > 0) {
    }
  }
  close(watch);
  return status;
}

std::string Daemon::unix_address() const { return FirstOf(addresses_, true); }
std::string Daemon::tcp_address() const { return FirstOf(addresses_, false); }

std::optional<int> Daemon::Stop() {
  Signal(SIGTERM);
  return Wait();
}

int64_t Daemon::PeakMemory() const {
  for (const absl::string_view line : absl::StrSplit(ReadAll(absl::StrCat("/proc/", pid(), "/status")), '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    int64_t kilobytes = 0;
    if (words.size() == 3 && words[0] == "VmHWM:" && absl::SimpleAtoi(words[1], &kilobytes)) return kilobytes * 1024;
  }
  return 0;
}

}  // namespace bwrt::e2e
