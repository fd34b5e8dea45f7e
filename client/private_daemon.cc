#include "client/private_daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace bwrt::client {
namespace {

// Longer than any wave of ours takes to stop between two tiles.
constexpr absl::Duration kStopPatience = absl::Seconds(10);
constexpr size_t kLastWords = 2000;

int Milliseconds(absl::Duration left) {
  return static_cast<int>(std::max<int64_t>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1))), 0));
}

bool IsProgram(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && access(path.c_str(), X_OK) == 0;
}

// Closes what it holds.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

// Between fork and exec only what is safe in a signal handler may be called: another thread may have held any lock.
[[noreturn]] void BecomeDaemon(char* const* argv, int log_fd, pid_t parent) {
  // SIGTERM lets it remove its socket. A parent that died before this line will send nothing.
  if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent) _exit(127);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = open("/dev/null", O_RDWR);
  if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0) _exit(127);
  // Our own stderr belongs to the user; what a daemon that cannot start says is part of our error.
  if (dup2(log_fd, STDERR_FILENO) < 0) _exit(127);
  execv(argv[0], argv);
  constexpr char kCannot[] = "cannot be executed\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kCannot, sizeof kCannot - 1);
  _exit(127);
}

}  // namespace

absl::StatusOr<std::string> FindDaemon() {
  std::vector<std::string> candidates;
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    candidates.push_back((self.parent_path().parent_path() / "server" / "bwrtd").string());
    candidates.push_back((self.parent_path() / "bwrtd").string());
  }
  const char* path = std::getenv("PATH");
  for (const absl::string_view directory : absl::StrSplit(path == nullptr ? "" : path, ':', absl::SkipEmpty())) {
    candidates.push_back(absl::StrCat(directory, "/bwrtd"));
  }
  for (const std::string& candidate : candidates) {
    if (IsProgram(candidate)) return candidate;
  }
  return absl::UnavailableError(absl::StrCat(
      "no daemon was named, and there is no bwrtd to start: name one with --server or BWRT_SERVER, or put bwrtd on "
      "PATH (looked for ",
      absl::StrJoin(candidates, ", "), ")"));
}

absl::StatusOr<std::unique_ptr<PrivateDaemon>> PrivateDaemon::Start(Options options) {
  if (options.binary.empty()) {
    auto found = FindDaemon();
    if (!found.ok()) return found.status();
    options.binary = *std::move(found);
  }
  std::unique_ptr<PrivateDaemon> daemon(new PrivateDaemon);
  if (absl::Status status = daemon->MakeDirectory(); !status.ok()) return status;
  if (absl::Status status = daemon->Spawn(options.binary, options.flags); !status.ok()) return status;
  if (absl::Status status = daemon->WaitUntilReady(options.patience); !status.ok()) return status;
  return daemon;
}

absl::Status PrivateDaemon::MakeDirectory() {
  constexpr absl::string_view kPattern = "/bwrtctl-XXXXXX";
  constexpr size_t kRoom = 16;  // For the names in it.
  const char* wish = std::getenv("TMPDIR");
  std::string parent = wish == nullptr ? "" : wish;
  while (absl::EndsWith(parent, "/")) parent.pop_back();
  // A socket's path has a fixed room.
  if (parent.empty() || parent.size() + kPattern.size() + kRoom > sizeof(sockaddr_un::sun_path)) parent = "/tmp";
  std::string path = absl::StrCat(parent, kPattern);
  if (mkdtemp(path.data()) == nullptr) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot make a directory in ", parent));
  }
  directory_ = std::move(path);
  ready_file_ = absl::StrCat(directory_, "/ready");
  address_ = absl::StrCat("unix:", directory_, "/s");
  return absl::OkStatus();
}

absl::Status PrivateDaemon::Spawn(const std::string& binary, const std::vector<std::string>& flags) {
  std::vector<std::string> arguments = {binary, absl::StrCat("--listen=", address_),
                                        absl::StrCat("--ready-file=", ready_file_)};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  log_fd_ = memfd_create("bwrtd", MFD_CLOEXEC);
  if (log_fd_ < 0) return absl::ErrnoToStatus(errno, "memfd_create");
  // A write at the end, whoever moves the position.
  fcntl(log_fd_, F_SETFL, O_APPEND);
  const pid_t parent = getpid();
  const pid_t child = fork();  // Not posix_spawn: that cannot ask for the death signal.
  if (child < 0) return absl::ErrnoToStatus(errno, "fork");
  if (child == 0) BecomeDaemon(argv.data(), log_fd_, parent);
  pid_ = child;
  end_fd_ = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
  if (end_fd_ < 0) return absl::ErrnoToStatus(errno, "pidfd_open");
  return absl::OkStatus();
}

absl::Status PrivateDaemon::WaitUntilReady(absl::Duration patience) {
  const Fd watch(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  // The file appears by a rename, so it is whole once it is there.
  if (watch.get() < 0 || inotify_add_watch(watch.get(), directory_.c_str(), IN_MOVED_TO | IN_CREATE) < 0) {
    return absl::ErrnoToStatus(errno, "inotify");
  }
  const absl::Time end = absl::Now() + patience;
  // Looked for once more after every event, and first of all: it may have been there before the watch.
  while (access(ready_file_.c_str(), F_OK) != 0) {
    std::array<pollfd, 2> fds = {pollfd{.fd = watch.get(), .events = POLLIN, .revents = 0},
                                 pollfd{.fd = end_fd_, .events = POLLIN, .revents = 0}};
    const int ready = poll(fds.data(), fds.size(), Milliseconds(end - absl::Now()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return absl::ErrnoToStatus(errno, "poll");
    if (ready == 0) {
      return absl::DeadlineExceededError(
          absl::StrCat("the private bwrtd did not serve within ", absl::FormatDuration(patience), ": ", LastWords()));
    }
    if (fds[1].revents != 0) return absl::UnavailableError(absl::StrCat("the private bwrtd ended: ", LastWords()));
    std::array<char, 4096> events;
    while (read(watch.get(), events.data(), events.size()) > 0) {
    }
  }
  return absl::OkStatus();
}

bool PrivateDaemon::WaitForEnd(absl::Duration patience) const {
  const absl::Time end = absl::Now() + patience;
  pollfd ended{.fd = end_fd_, .events = POLLIN, .revents = 0};
  int ready = 0;
  do {
    ready = poll(&ended, 1, Milliseconds(end - absl::Now()));
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

std::string PrivateDaemon::LastWords() const {
  const off_t size = lseek(log_fd_, 0, SEEK_END);
  std::string text(std::min<size_t>(size < 0 ? 0 : static_cast<size_t>(size), kLastWords), '\0');
  const ssize_t count = pread(log_fd_, text.data(), text.size(), size - static_cast<off_t>(text.size()));
  text.resize(count < 0 ? 0 : static_cast<size_t>(count));
  absl::StripAsciiWhitespace(&text);
  return text.empty() ? "it said nothing" : text;
}

PrivateDaemon::~PrivateDaemon() {
  if (pid_ > 0) {
    kill(pid_, SIGTERM);
    // Without the means to wait, or one that does not listen: by force.
    if (end_fd_ < 0 || !WaitForEnd(kStopPatience)) kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  if (end_fd_ >= 0) close(end_fd_);
  if (log_fd_ >= 0) close(log_fd_);
  std::error_code ignored;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
}

}  // namespace bwrt::client
