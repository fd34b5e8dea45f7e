#include "runtime/state/posix_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

// As errno says it, of `what` done to `path`.
absl::Status Failed(absl::string_view what, absl::string_view path) {
  const int error = errno;
  const std::string text = absl::StrCat("state directory: ", what, " ", path, ": ", std::strerror(error));
  if (error == ENOENT) return MakeError(absl::StatusCode::kNotFound, "STATE_DIR_DAMAGED", text);
  if (error == ENOSPC || error == EDQUOT) {
    return MakeError(absl::StatusCode::kResourceExhausted, "STATE_DIR_FULL",
                     absl::StrCat(text, "; free some space and try again"));
  }
  return MakeError(absl::StatusCode::kUnavailable, "STATE_DIR_FAILED", text);
}

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

class PosixFile final : public File {
 public:
  PosixFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  absl::Status Append(absl::string_view bytes) override {
    while (!bytes.empty()) {
      // The kernel takes at most 2 GiB at a time anyway.
      const ssize_t n = write(fd_.get(), bytes.data(), std::min(bytes.size(), size_t{1} << 30));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Failed("write", path_);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    // Not even after EINTR once more: the first call may have taken note of an error.
    return fsync(fd_.get()) == 0 ? absl::OkStatus() : Failed("fsync", path_);
  }

  absl::Status Truncate(int64_t size) override {
    while (ftruncate(fd_.get(), size) != 0) {
      if (errno != EINTR) return Failed("truncate", path_);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> Read(int64_t offset, char* to, int64_t size) const override {
    int64_t done = 0;
    while (done < size) {
      const auto count = static_cast<size_t>(std::min(size - done, int64_t{1} << 30));
      const ssize_t n = pread(fd_.get(), to + done, count, offset + done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Failed("read", path_);
      if (n == 0) break;
      done += n;
    }
    return done;
  }

  absl::StatusOr<int64_t> Size() const override {
    struct stat info;
    if (fstat(fd_.get(), &info) != 0) return Failed("stat", path_);
    return info.st_size;
  }

 private:
  const Fd fd_;
  const std::string path_;  // Within the directory, for errors.
};

class PosixDirectory final : public Directory {
 public:
  explicit PosixDirectory(Fd root) : root_(std::move(root)) {}

  absl::StatusOr<std::unique_ptr<File>> OpenForRead(const std::string& path) override {
    return OpenFile(path, O_RDONLY | O_NONBLOCK);  // Not to hang on a pipe that was put there.
  }
  absl::StatusOr<std::unique_ptr<File>> Create(const std::string& path) override {
    const Place place = Find(path);
    if (unlinkat(place.directory, place.name, 0) != 0 && errno != ENOENT) return Failed("unlink", path);
    return OpenFile(path, O_RDWR | O_APPEND | O_CREAT | O_EXCL);
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    const Place source = Find(from);
    const Place target = Find(to);
    const int rc = renameat(source.directory, source.name, target.directory, target.name);
    return rc == 0 ? absl::OkStatus() : Failed("rename", from);
  }

  absl::Status Link(const std::string& from, const std::string& to) override {
    const Place source = Find(from);
    const Place target = Find(to);
    const int rc = linkat(source.directory, source.name, target.directory, target.name, 0);
    return rc == 0 || errno == EEXIST ? absl::OkStatus() : Failed("link", from);
  }

  absl::Status Unlink(const std::string& path) override {
    const Place place = Find(path);
    return unlinkat(place.directory, place.name, 0) == 0 ? absl::OkStatus() : Failed("unlink", path);
  }

  absl::StatusOr<std::vector<Entry>> List(const std::string& path) override {
    // A new description, so that reading it moves nobody else's position.
    const int fd = openat(DirectoryFd(path), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* dir = fd < 0 ? nullptr : fdopendir(fd);
    if (dir == nullptr) {
      absl::Status failed = Failed("list", path);
      if (fd >= 0) close(fd);
      return failed;
    }
    std::vector<Entry> entries;
    absl::Status status;
    for (;;) {
      errno = 0;
      const dirent* entry = readdir(dir);  // NOLINT(concurrency-mt-unsafe): this stream is ours alone.
      if (entry == nullptr) {
        if (errno != 0) status = Failed("list", path);
        break;
      }
      struct stat info;
      if (fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) continue;
        status = Failed("stat", entry->d_name);
        break;
      }
      if (S_ISREG(info.st_mode)) entries.push_back({entry->d_name, info.st_size});
    }
    closedir(dir);
    if (!status.ok()) return status;
    return entries;
  }

  absl::Status MakeSubdirectory(const std::string& name) override {
    if (mkdirat(root_.get(), name.c_str(), 0700) != 0 && errno != EEXIST) return Failed("mkdir", name);
    Fd fd(openat(root_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (fd.get() < 0) return Failed("open", name);
    subdirectories_.emplace(name, std::move(fd));
    return absl::OkStatus();
  }

  absl::Status Sync(const std::string& path) override {
    return fsync(DirectoryFd(path)) == 0 ? absl::OkStatus() : Failed("fsync of directory", path);
  }

  absl::StatusOr<bool> Lock(const std::string& path) override {
    const Place place = Find(path);
    auto lock = std::make_unique<Fd>(
        openat(place.directory, place.name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    if (lock->get() < 0) return Failed("open", path);
    while (flock(lock->get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return false;
      if (errno != EINTR) return Failed("lock", path);
    }
    lock_ = std::move(lock);
    return true;
  }

 private:
  struct Place {
    int directory;
    const char* name;  // Within `path`.
  };

  int DirectoryFd(const std::string& path) const {
    if (path == ".") return root_.get();
    const auto it = subdirectories_.find(path);
    return it == subdirectories_.end() ? -1 : it->second.get();
  }

  Place Find(const std::string& path) const {
    const size_t slash = path.find('/');
    if (slash == std::string::npos) return {root_.get(), path.c_str()};
    return {DirectoryFd(path.substr(0, slash)), path.c_str() + slash + 1};
  }

  absl::StatusOr<std::unique_ptr<File>> OpenFile(const std::string& path, int flags) const {
    const Place place = Find(path);
    Fd fd(openat(place.directory, place.name, flags | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (fd.get() < 0) return Failed("open", path);
    return std::make_unique<PosixFile>(std::move(fd), path);
  }

  const Fd root_;
  std::map<std::string, Fd> subdirectories_;
  std::unique_ptr<Fd> lock_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Directory>> PosixFiles::Open(const std::string& dir) {
  const bool made = mkdir(dir.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) return Failed("mkdir", ".");
  // The operator's own path: links in it, and at its end, are meant.
  Fd root(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (root.get() < 0) return Failed("open", ".");
  // Always: it may have been made by a process that died before this. A parent that can't be read matters only when
  // new.
  const Fd parent(openat(root.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const bool durable = parent.get() >= 0 && fsync(parent.get()) == 0;
  if (made && !durable) return Failed("fsync of directory", "..");
  return std::make_unique<PosixDirectory>(std::move(root));
}

}  // namespace bwrt::runtime
