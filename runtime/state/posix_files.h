// PosixFiles: the kernel's file system. Every path is resolved beneath the directory, without following links; new
// files are 0600, new directories 0700. Thread-safe.
#ifndef BWRT_RUNTIME_STATE_POSIX_FILES_H_
#define BWRT_RUNTIME_STATE_POSIX_FILES_H_

#include "runtime/state/files.h"

namespace bwrt::runtime {

class PosixFiles final : public Files {
 public:
  absl::StatusOr<std::unique_ptr<Directory>> Open(const std::string& dir) override;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STATE_POSIX_FILES_H_
