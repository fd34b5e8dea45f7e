// OneShot: carries one value from whatever thread a callback runs on to the test that waits for it.
//
// Thread-safe. A second value fails the test: the callbacks of the runtime come exactly once.
#ifndef BWRT_TESTS_SUPPORT_ONE_SHOT_H_
#define BWRT_TESTS_SUPPORT_ONE_SHOT_H_

#include <gtest/gtest.h>

#include <optional>
#include <utility>

#include "runtime/mutex.h"

namespace bwrt::runtime {

template <typename T>
class OneShot {
 public:
  void Set(T value) {
    MutexLock lock(mu_);
    if (value_) {
      ADD_FAILURE() << "called back a second time";
      return;
    }
    value_.emplace(std::move(value));
    set_.NotifyAll();
  }

  bool ready() const {
    MutexLock lock(mu_);
    return value_.has_value();
  }

  // Blocks until there is one. Valid while this object lives.
  const T& Get() const {
    MutexLock lock(mu_);
    while (!value_) set_.Wait(mu_);
    return *value_;
  }

 private:
  mutable Mutex mu_;
  mutable CondVar set_;
  std::optional<T> value_ ABSL_GUARDED_BY(mu_);
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_SUPPORT_ONE_SHOT_H_
