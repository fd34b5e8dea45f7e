// RootDirectory: opens files beneath one directory, and no others: neither ".." nor a symbolic link leads out of it.
//
// Thread-safe. What it opened outlives it.
#ifndef BWRT_RUNTIME_ROOT_DIRECTORY_H_
#define BWRT_RUNTIME_ROOT_DIRECTORY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/file_handle.h"

namespace bwrt::runtime {

class RootDirectory {
 public:
  // NOT_FOUND when `root` can't be opened. The only error here that names the root: it is for the operator.
  static absl::StatusOr<std::unique_ptr<RootDirectory>> Open(const std::string& root);

  // A regular file, open for reading.
  struct File {
    std::shared_ptr<const FileHandle> handle;
    int64_t bytes = 0;  // When it was opened.
  };

  // `path` is relative to the root; each part of it must be a plain name (IsPlainName), and it at most 1024
  // bytes. INVALID_ARGUMENT FILE_PATH; NOT_FOUND FILE_MISSING; FAILED_PRECONDITION FILE_UNREADABLE for symbolic links
  // on the way, directories, pipes, devices and what the daemon may not read. The texts begin with `path`, and hold no
  // other.
  absl::StatusOr<File> OpenFile(absl::string_view path) const;

 private:
  explicit RootDirectory(int fd) : directory_(fd) {}

  const FileHandle directory_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_ROOT_DIRECTORY_H_
