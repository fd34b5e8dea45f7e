// ThreadPageReader: a PageReader of a few threads that call pread. Works everywhere.
#ifndef BWRT_RUNTIME_THREAD_PAGE_READER_H_
#define BWRT_RUNTIME_THREAD_PAGE_READER_H_

#include <deque>
#include <thread>
#include <vector>

#include "runtime/mutex.h"
#include "runtime/page_reader.h"

namespace bwrt::runtime {

class ThreadPageReader final : public PageReader {
 public:
  static constexpr int kThreads = 4;

  ThreadPageReader();
  ~ThreadPageReader() override;
  void Read(std::shared_ptr<const FileHandle> file, int64_t offset, std::byte* buffer, size_t size, Done done) override;
  const char* name() const override { return "threads"; }

 private:
  struct Request {
    std::shared_ptr<const FileHandle> file;
    int64_t offset;
    std::byte* buffer;
    size_t size;
    Done done;
  };
  void Loop();

  Mutex mu_;
  CondVar changed_;
  std::deque<Request> queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;  // Last: they use all of the above.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_THREAD_PAGE_READER_H_
