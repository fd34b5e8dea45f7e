// UringPageReader: a PageReader on io_uring. Submits from any thread, completes on one of its own.
#ifndef BWRT_RUNTIME_URING_PAGE_READER_H_
#define BWRT_RUNTIME_URING_PAGE_READER_H_

#include <liburing.h>

#include <deque>
#include <memory>
#include <thread>

#include "runtime/mutex.h"
#include "runtime/page_reader.h"

namespace bwrt::runtime {

class UringPageReader final : public PageReader {
 public:
  static constexpr unsigned kEntries = 256;

  // Null where the kernel refuses io_uring.
  static std::unique_ptr<UringPageReader> Create();
  ~UringPageReader() override;
  void Read(std::shared_ptr<const FileHandle> file, int64_t offset, std::byte* buffer, size_t size, Done done) override;
  const char* name() const override { return "io_uring"; }

 private:
  struct Request {
    std::shared_ptr<const FileHandle> file;
    int64_t offset;
    std::byte* buffer;
    size_t size;
    size_t got = 0;
    Done done;
  };

  explicit UringPageReader(const io_uring& ring);
  // Hands requests to the kernel while the ring has room for their completions.
  void SubmitLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Loop();

  // The submission side is guarded by mu_; the completion side belongs to thread_.
  io_uring ring_;
  Mutex mu_;
  std::deque<std::unique_ptr<Request>> waiting_ ABSL_GUARDED_BY(mu_);
  unsigned in_kernel_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_URING_PAGE_READER_H_
