#include "client/gnuplot.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace bwrt::client {
namespace {

// The largest picture is some hundred kilobytes; this only bounds what a program that is no gnuplot can make us hold.
constexpr off_t kMaxOutput = off_t{64} << 20;
constexpr size_t kMaxWords = 500;

// A file without a name, closed at the end.
class Scratch {
 public:
  Scratch() : fd_(memfd_create("gnuplot", MFD_CLOEXEC)) {}
  ~Scratch() {
    if (fd_ >= 0) close(fd_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  int fd() const { return fd_; }

  // Also makes the next reader begin at its start.
  bool Write(absl::string_view text) {
    while (!text.empty()) {
      const ssize_t count = write(fd_, text.data(), text.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return false;
      text.remove_prefix(static_cast<size_t>(count));
    }
    return lseek(fd_, 0, SEEK_SET) == 0;
  }

  std::string Read() const {
    const off_t size = std::min(lseek(fd_, 0, SEEK_END), kMaxOutput);
    std::string text(size < 0 ? 0 : static_cast<size_t>(size), '\0');
    size_t done = 0;
    while (done < text.size()) {
      const ssize_t count = pread(fd_, text.data() + done, text.size() - done, static_cast<off_t>(done));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) break;
      done += static_cast<size_t>(count);
    }
    text.resize(done);
    return text;
  }

 private:
  const int fd_;
};

absl::Status NotInstalled(const std::string& program) {
  return absl::NotFoundError(
      absl::StrCat("cannot draw: there is no ", program,
                   " on this machine; install Debian's package gnuplot-nox (apt-get install gnuplot-nox), or do "
                   "without pictures: the table and --json need none"));
}

// What it said, short enough for an error.
std::string Words(const Scratch& errors) {
  std::string words = errors.Read().substr(0, kMaxWords);
  absl::RemoveExtraAsciiWhitespace(&words);
  return words.empty() ? "it said nothing" : words;
}

// Waits for the end of `child` and returns its wait status; after `patience` it is killed.
absl::StatusOr<int> WaitFor(pid_t child, const GnuplotOptions& options) {
  // Readable once the child has ended.
  const int end_fd = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
  const absl::Time deadline = absl::Now() + options.patience;
  int ready = 0;
  do {
    pollfd ended{.fd = end_fd, .events = POLLIN, .revents = 0};
    const int64_t left = absl::ToInt64Milliseconds(absl::Ceil(deadline - absl::Now(), absl::Milliseconds(1)));
    ready = poll(&ended, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 1'000'000)));
  } while (ready < 0 && errno == EINTR);
  if (end_fd >= 0) close(end_fd);
  if (ready <= 0) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (ready > 0) return status;
  return absl::DeadlineExceededError(
      absl::StrCat(options.program, " drew nothing within ", absl::FormatDuration(options.patience)));
}

}  // namespace

absl::StatusOr<std::string> RunGnuplot(absl::string_view script, const GnuplotOptions& options) {
  Scratch input, output, errors;
  if (input.fd() < 0 || output.fd() < 0 || errors.fd() < 0 || !input.Write(script)) {
    return absl::ErrnoToStatus(errno, "cannot hand a script to gnuplot");
  }
  std::string program = options.program, defaults = "-d", from_stdin = "-";
  std::array<char*, 4> argv = {program.data(), defaults.data(), from_stdin.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input.fd(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output.fd(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors.fd(), STDERR_FILENO);
  pid_t child = -1;
  const int error = posix_spawnp(&child, program.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT) return NotInstalled(options.program);
  if (error != 0) return absl::ErrnoToStatus(error, absl::StrCat("cannot start ", options.program));
  const auto status = WaitFor(child, options);
  if (!status.ok()) return status.status();
  std::string picture = output.Read();
  if (!WIFEXITED(*status) || WEXITSTATUS(*status) != 0 || picture.empty()) {
    return absl::InternalError(absl::StrCat(options.program, " drew nothing: ", Words(errors)));
  }
  return picture;
}

}  // namespace bwrt::client
