#include "client/call_options.h"

namespace bwrt::client {

void CallHandle::Cancel() {
  absl::MutexLock lock(&mu_);
  cancelled_ = true;
  // Under the lock, so that the call cannot end and take its context away meanwhile.
  if (cancel_) cancel_();
}

CallHandle::Binding::Binding(CallHandle* handle, std::function<void()> cancel) : handle_(handle) {
  if (handle_ == nullptr) return;
  absl::MutexLock lock(&handle_->mu_);
  handle_->cancel_ = std::move(cancel);
  if (handle_->cancelled_) handle_->cancel_();
}

CallHandle::Binding::~Binding() {
  if (handle_ == nullptr) return;
  absl::MutexLock lock(&handle_->mu_);
  handle_->cancel_ = nullptr;
}

}  // namespace bwrt::client
