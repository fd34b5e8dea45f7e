// OpenStreams: the long-lived streams of one method, bounded in number, so that a drain can end them.
//
// Thread-safe. Holds no stream alive.
#ifndef BWRT_SERVER_SERVICES_OPEN_STREAMS_H_
#define BWRT_SERVER_SERVICES_OPEN_STREAMS_H_

#include <cstddef>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "runtime/error.h"
#include "runtime/mutex.h"
#include "runtime/not_serving.h"

namespace bwrt::server {

template <typename Stream>
class OpenStreams {
 public:
  explicit OpenStreams(size_t limit) : limit_(limit) {}

  // RESOURCE_EXHAUSTED, reason TOO_MANY_STREAMS, or UNAVAILABLE once closed.
  absl::Status Add(const std::shared_ptr<Stream>& stream) {
    runtime::MutexLock lock(mu_);
    if (closed_) return runtime::DrainingError();
    if (streams_.size() >= limit_) {
      runtime::ErrorDetails details;
      details.reason = "TOO_MANY_STREAMS";
      details.retry_after = std::chrono::seconds(5);
      return runtime::MakeError(absl::StatusCode::kResourceExhausted,
                                absl::StrCat(streams_.size(),
                                             " such streams are open, which is the limit; close one "
                                             "or retry later"),
                                details);
    }
    streams_.emplace(stream.get(), stream);
    return absl::OkStatus();
  }

  void Remove(const Stream* stream) {
    runtime::MutexLock lock(mu_);
    streams_.erase(stream);
  }

  // Refuses new streams and returns those that are open.
  std::vector<std::shared_ptr<Stream>> Close() {
    std::vector<std::shared_ptr<Stream>> open;
    runtime::MutexLock lock(mu_);
    closed_ = true;
    for (const auto& [key, weak] : streams_) {
      if (auto stream = weak.lock()) open.push_back(std::move(stream));
    }
    streams_.clear();
    return open;
  }

 private:
  const size_t limit_;
  runtime::Mutex mu_;
  std::map<const Stream*, std::weak_ptr<Stream>> streams_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_SERVICES_OPEN_STREAMS_H_
