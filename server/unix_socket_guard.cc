#include "server/unix_socket_guard.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"

namespace bwrt::server {
namespace {

// Another daemon holds the lock only while it binds.
constexpr auto kLockTimeout = std::chrono::seconds(5);
constexpr auto kLockPoll = std::chrono::milliseconds(20);

// True when a process accepts connections at `path`.
absl::StatusOr<bool> IsAnswered(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "cannot create a socket");
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path.c_str(), path.size() + 1);  // Parse has checked the length.
  const int rc = connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name));
  const int error = errno;
  close(fd);
  if (rc == 0 || error == EAGAIN) return true;  // EAGAIN: it listens, and its backlog is full.
  if (error == ECONNREFUSED || error == ENOENT) return false;
  return absl::ErrnoToStatus(error, absl::StrCat("cannot tell whether unix:", path, " is in use"));
}

absl::Status CheckFree(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot use unix:", path));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::AlreadyExistsError(
        absl::StrCat(path, " exists and is not a socket; remove it or choose another path"));
  }
  const absl::StatusOr<bool> answered = IsAnswered(path);
  if (!answered.ok()) return answered.status();
  if (*answered) {
    return absl::AlreadyExistsError(
        absl::StrCat("another process is listening on unix:", path, "; stop it or choose another path"));
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot remove the stale socket ", path));
  }
  return absl::OkStatus();
}

}  // namespace

UnixSocketGuard::UnixSocketGuard() : old_umask_(umask(0117)) {}

UnixSocketGuard::~UnixSocketGuard() {
  for (const int fd : locks_) close(fd);  // Drops the lock.
  umask(old_umask_);
}

absl::Status UnixSocketGuard::Lock(const std::string& directory) {
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return absl::NotFoundError(
          absl::StrCat("the socket's directory ", directory, " does not exist; create it first"));
    }
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot open the socket's directory ", directory));
  }
  locks_.push_back(fd);
  // The same directory under another name ("/tmp//") would wait for ourselves.
  struct stat info;
  if (fstat(fd, &info) == 0 && !locked_.emplace(info.st_dev, info.st_ino).second) return absl::OkStatus();
  const auto give_up = std::chrono::steady_clock::now() + kLockTimeout;
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return absl::ErrnoToStatus(errno, absl::StrCat("cannot lock the directory ", directory));
    }
    if (std::chrono::steady_clock::now() > give_up) {
      return absl::UnavailableError(absl::StrCat("another process keeps a lock on ", directory));
    }
    std::this_thread::sleep_for(kLockPoll);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<UnixSocketGuard>> UnixSocketGuard::Create(const std::vector<ListenAddress>& addresses) {
  std::unique_ptr<UnixSocketGuard> guard(new UnixSocketGuard);
  // Sorted and once each, so that two daemons with the same directories cannot wait for each other.
  std::set<std::string> directories;
  for (const ListenAddress& address : addresses) {
    if (address.kind == ListenAddress::Kind::kUnix) directories.insert(address.Directory());
  }
  for (const std::string& directory : directories) {
    if (absl::Status status = guard->Lock(directory); !status.ok()) return status;
  }
  for (const ListenAddress& address : addresses) {
    if (address.kind != ListenAddress::Kind::kUnix) continue;
    if (absl::Status status = CheckFree(address.path); !status.ok()) return status;
  }
  return guard;
}

}  // namespace bwrt::server
