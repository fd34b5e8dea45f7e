// Readiness: whether health says SERVING: the daemon has started, its device works, and no drain has begun.
//
// Thread-safe: what changes is told by different threads, and `publish` is called under a lock, with the newest state,
// each time that it changes. Before Start nothing is published.
#ifndef BWRT_SERVER_READINESS_H_
#define BWRT_SERVER_READINESS_H_

#include <functional>
#include <utility>

#include "runtime/mutex.h"

namespace bwrt::server {

class Readiness {
 public:
  // The daemon serves from now on. `publish` is called until Stop returns.
  void Start(std::function<void(bool serving)> publish) {
    runtime::MutexLock lock(mu_);
    publish_ = std::move(publish);
    Update();
  }

  void SetDevice(bool works) {
    runtime::MutexLock lock(mu_);
    device_works_ = works;
    Update();
  }

  // For good.
  void SetDraining() {
    runtime::MutexLock lock(mu_);
    draining_ = true;
    Update();
  }

  void Stop() {
    runtime::MutexLock lock(mu_);
    publish_ = nullptr;
  }

 private:
  void Update() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const bool serving = device_works_ && !draining_;
    if (!publish_ || serving == published_) return;
    published_ = serving;
    publish_(serving);
  }

  runtime::Mutex mu_;
  std::function<void(bool)> publish_ ABSL_GUARDED_BY(mu_);
  bool device_works_ ABSL_GUARDED_BY(mu_) = true;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool published_ ABSL_GUARDED_BY(mu_) = false;  // Health begins as NOT_SERVING.
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_READINESS_H_
