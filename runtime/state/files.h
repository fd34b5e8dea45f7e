// Files: the file-system calls that a state directory needs, and no others. Injected, so that tests can lose what was
// not fsynced and make any call fail.
//
// Errors: NOT_FOUND, reason STATE_DIR_DAMAGED, for a file that does not exist; RESOURCE_EXHAUSTED, reason
// STATE_DIR_FULL, for a full disk; UNAVAILABLE, reason STATE_DIR_FAILED, for everything else. All calls block.
#ifndef BWRT_RUNTIME_STATE_FILES_H_
#define BWRT_RUNTIME_STATE_FILES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bwrt::runtime {

// An open file; closed by destruction. Used by one thread at a time, but for Read.
class File {
 public:
  virtual ~File() = default;
  // Writes all of it at the end. On an error some of it may be there.
  virtual absl::Status Append(absl::string_view bytes) = 0;
  // fsync. An error is final: what was written before may be lost, whatever a later call says.
  virtual absl::Status Sync() = 0;
  virtual absl::Status Truncate(int64_t size) = 0;
  // Fewer bytes than asked for only at the end of the file.
  virtual absl::StatusOr<int64_t> Read(int64_t offset, char* to, int64_t size) const = 0;
  virtual absl::StatusOr<int64_t> Size() const = 0;
};

// A directory and its subdirectories, one level deep. Paths are "name" or "subdirectory/name"; "." is the directory
// itself, for List and Sync. Thread-safe once the subdirectories have been made.
class Directory {
 public:
  struct Entry {
    std::string name;
    int64_t bytes = 0;
  };

  virtual ~Directory() = default;
  virtual absl::StatusOr<std::unique_ptr<File>> OpenForRead(const std::string& path) = 0;
  // Empty, readable and writable; what was there under this name is gone.
  virtual absl::StatusOr<std::unique_ptr<File>> Create(const std::string& path) = 0;
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  // A second name for a file; OK when `to` is there already.
  virtual absl::Status Link(const std::string& from, const std::string& to) = 0;
  virtual absl::Status Unlink(const std::string& path) = 0;
  // The regular files in a directory, in no order.
  virtual absl::StatusOr<std::vector<Entry>> List(const std::string& path) = 0;
  // Makes a subdirectory or takes the one that is there. To be called before a path names it.
  virtual absl::Status MakeSubdirectory(const std::string& name) = 0;
  // Makes what was created, renamed and unlinked in the directory durable. An error is final, as in File::Sync.
  virtual absl::Status Sync(const std::string& path) = 0;
  // Locks a file against every other user, until destruction. False when another has it.
  virtual absl::StatusOr<bool> Lock(const std::string& path) = 0;
};

// Thread-safe.
class Files {
 public:
  virtual ~Files() = default;
  // Makes the directory, durably and for its owner alone, or opens the one that is there.
  virtual absl::StatusOr<std::unique_ptr<Directory>> Open(const std::string& dir) = 0;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STATE_FILES_H_
