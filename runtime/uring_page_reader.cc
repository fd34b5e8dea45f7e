#include "runtime/uring_page_reader.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace bwrt::runtime {

std::unique_ptr<UringPageReader> UringPageReader::Create() {
  io_uring ring;
  if (io_uring_queue_init(kEntries, &ring, 0) != 0) return nullptr;
  return std::unique_ptr<UringPageReader>(new UringPageReader(ring));
}

UringPageReader::UringPageReader(const io_uring& ring) : ring_(ring), thread_([this] { Loop(); }) {}

UringPageReader::~UringPageReader() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    // Wakes the thread when nothing else will: a completion without a request. With the submission queue drained by
    // every SubmitLocked there is always a free entry.
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    io_uring_prep_nop(sqe);
    io_uring_sqe_set_data(sqe, nullptr);
    io_uring_submit(&ring_);
  }
  thread_.join();
  io_uring_queue_exit(&ring_);
}

void UringPageReader::Read(std::shared_ptr<const FileHandle> file, int64_t offset, std::byte* buffer, size_t size,
                           Done done) {
  auto request = std::make_unique<Request>();
  request->file = std::move(file);
  request->offset = offset;
  request->buffer = buffer;
  request->size = size;
  request->done = std::move(done);
  MutexLock lock(mu_);
  waiting_.push_back(std::move(request));
  SubmitLocked();
}

void UringPageReader::SubmitLocked() {
  // The kernel may have at most kEntries of ours, so that neither queue can overflow.
  while (!waiting_.empty() && in_kernel_ < kEntries - 1) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    if (sqe == nullptr) break;
    Request* request = waiting_.front().release();
    waiting_.pop_front();
    constexpr size_t kMaxRead = size_t{1} << 30;
    io_uring_prep_read(sqe, request->file->fd(), request->buffer + request->got,
                       static_cast<unsigned>(std::min(request->size - request->got, kMaxRead)),
                       static_cast<uint64_t>(request->offset + static_cast<int64_t>(request->got)));
    io_uring_sqe_set_data(sqe, request);
    ++in_kernel_;
  }
  io_uring_submit(&ring_);
}

void UringPageReader::Loop() {
  while (true) {
    {
      MutexLock lock(mu_);
      if (stopping_ && in_kernel_ == 0 && waiting_.empty()) return;
    }
    io_uring_cqe* cqe = nullptr;
    if (io_uring_wait_cqe(&ring_, &cqe) != 0) continue;  // Interrupted by a signal.
    std::unique_ptr<Request> request(static_cast<Request*>(io_uring_cqe_get_data(cqe)));
    const int result = cqe->res;
    io_uring_cqe_seen(&ring_, cqe);
    if (request == nullptr) continue;  // The destructor's wake-up.

    int64_t outcome = result;
    Done done;
    {
      // The lock also orders this thread after the one that submitted, which nothing else shows to a race detector.
      MutexLock lock(mu_);
      bool finished = true;
      if (result == -EINTR || result == -EAGAIN) {
        finished = false;
      } else if (result >= 0) {
        request->got += static_cast<size_t>(result);
        finished = result == 0 || request->got == request->size;
        outcome = static_cast<int64_t>(request->got);
      }
      --in_kernel_;
      if (finished) {
        done = std::move(request->done);
        request.reset();
      } else {
        waiting_.push_front(std::move(request));
      }
      SubmitLocked();
    }
    if (done) done(outcome);
  }
}

}  // namespace bwrt::runtime
