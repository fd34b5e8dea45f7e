// FileHandle: an open file, closed with its owner.
#ifndef BWRT_RUNTIME_FILE_HANDLE_H_
#define BWRT_RUNTIME_FILE_HANDLE_H_

#include <unistd.h>

namespace bwrt::runtime {

class FileHandle {
 public:
  explicit FileHandle(int fd) : fd_(fd) {}
  ~FileHandle() { close(fd_); }
  FileHandle(const FileHandle&) = delete;
  FileHandle& operator=(const FileHandle&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_FILE_HANDLE_H_
