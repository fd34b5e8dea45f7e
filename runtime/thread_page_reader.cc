#include "runtime/thread_page_reader.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace bwrt::runtime {
namespace {

int64_t ReadAll(int fd, int64_t offset, std::byte* buffer, size_t size) {
  size_t got = 0;
  while (got < size) {
    const ssize_t n = pread(fd, buffer + got, size - got, static_cast<off_t>(offset + static_cast<int64_t>(got)));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    if (n == 0) break;
    got += static_cast<size_t>(n);
  }
  return static_cast<int64_t>(got);
}

}  // namespace

ThreadPageReader::ThreadPageReader() {
  for (int i = 0; i < kThreads; ++i) threads_.emplace_back([this] { Loop(); });
}

ThreadPageReader::~ThreadPageReader() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPageReader::Read(std::shared_ptr<const FileHandle> file, int64_t offset, std::byte* buffer, size_t size,
                            Done done) {
  {
    MutexLock lock(mu_);
    queue_.push_back({std::move(file), offset, buffer, size, std::move(done)});
  }
  changed_.NotifyOne();
}

void ThreadPageReader::Loop() {
  mu_.Lock();
  while (true) {
    if (!queue_.empty()) {
      Request request = std::move(queue_.front());
      queue_.pop_front();
      mu_.Unlock();
      const int64_t result = ReadAll(request.file->fd(), request.offset, request.buffer, request.size);
      request.file.reset();
      request.done(result);
      request.done = nullptr;
      mu_.Lock();
    } else if (stopping_) {
      break;
    } else {
      changed_.Wait(mu_);
    }
  }
  mu_.Unlock();
}

}  // namespace bwrt::runtime
