// PageReader: reads pieces of files asynchronously.
#ifndef BWRT_RUNTIME_PAGE_READER_H_
#define BWRT_RUNTIME_PAGE_READER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "runtime/file_handle.h"

namespace bwrt::runtime {

// Thread-safe.
class PageReader {
 public:
  // Bytes read, short only at the end of the file, or -errno.
  using Done = std::function<void(int64_t result)>;

  // Reads that have begun are finished and reported before it returns.
  virtual ~PageReader() = default;

  // Reads `size` bytes at `offset` into `buffer`, which must live until `done` has been called: once, on a thread of
  // the reader's, never inside this call. `done` must not block and must not destroy the reader.
  virtual void Read(std::shared_ptr<const FileHandle> file, int64_t offset, std::byte* buffer, size_t size,
                    Done done) = 0;

  virtual const char* name() const = 0;  // "io_uring" or "threads".
};

// Through io_uring, or, where the kernel refuses that (old, or locked down in a container), through threads.
std::unique_ptr<PageReader> MakePageReader();

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_PAGE_READER_H_
