#include "runtime/root_directory.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/error.h"
#include "runtime/plain_name.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

constexpr size_t kMaxPathBytes = 1024;

// As open, for reading, but nothing in `path` leads out of `directory`: no "..", no symbolic link, no mount trick.
int OpenBeneath(int directory, const std::string& path) {
  open_how how = {};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;  // Not to hang on a pipe that was put there.
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(syscall(SYS_openat2, directory, path.c_str(), &how, sizeof(how)));
}

absl::Status Unreadable(absl::string_view path, absl::string_view why) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE", absl::StrCat(path, " ", why));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RootDirectory>> RootDirectory::Open(const std::string& root) {
  const int fd = open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return absl::NotFoundError(absl::StrCat("root=", root, ": ", std::strerror(errno)));
  return std::unique_ptr<RootDirectory>(new RootDirectory(fd));
}

absl::StatusOr<RootDirectory::File> RootDirectory::OpenFile(absl::string_view path) const {
  const std::vector<absl::string_view> parts = absl::StrSplit(path.substr(0, kMaxPathBytes), '/');
  if (path.size() > kMaxPathBytes || !std::all_of(parts.begin(), parts.end(), IsPlainName)) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "FILE_PATH",
        absl::StrCat(Quoted(path),
                     " is no path of a file; use plain names with '/' between them, relative to the root, without '.' "
                     "or '..' parts, of at most ",
                     kMaxPathBytes, " bytes together"));
  }
  const int fd = OpenBeneath(directory_.fd(), std::string(path));
  if (fd < 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return MakeError(absl::StatusCode::kNotFound, "FILE_MISSING", absl::StrCat(path, " does not exist"));
    }
    if (errno == ELOOP) {
      return Unreadable(path, "is, or lies behind, a symbolic link, which is not followed; put the file itself there");
    }
    return Unreadable(path, absl::StrCat("can't be opened: ", std::strerror(errno)));
  }
  auto handle = std::make_shared<const FileHandle>(fd);
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return Unreadable(path, "is not a regular file");
  return File{std::move(handle), info.st_size};
}

}  // namespace bwrt::runtime
