// How one RPC is made: its deadline, and a handle to cancel it from another thread.
//
// CallHandle is owned by the caller, serves one call and must outlive it. It is thread-safe.
// CallOptions is a plain value.
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace bwrt::client {

// Cancels the call it is given to; the call then returns CANCELLED. Sticky: cancelling before the
// call begins cancels it as soon as it does. Cancelling after it has ended does nothing.
class CallHandle {
 public:
  CallHandle() = default;
  CallHandle(const CallHandle&) = delete;
  CallHandle& operator=(const CallHandle&) = delete;

  void Cancel() ABSL_LOCKS_EXCLUDED(mu_);

  // For the client: ties the handle to a call while the call runs.
  class Binding {
   public:
    // `handle` may be null. `cancel` may be called from any thread until the binding is destroyed.
    Binding(CallHandle* handle, std::function<void()> cancel);
    ~Binding();
    Binding(const Binding&) = delete;
    Binding& operator=(const Binding&) = delete;

   private:
    CallHandle* const handle_;
  };

 private:
  absl::Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  std::function<void()> cancel_ ABSL_GUARDED_BY(mu_);
};

struct CallOptions {
  // From now to the end of the call. Unset: ClientOptions::default_timeout for a unary call, none
  // for a stream. absl::InfiniteDuration(): none.
  std::optional<absl::Duration> timeout = {};
  // Optional; not owned.
  CallHandle* handle = nullptr;
};

}  // namespace bwrt::client
