#include "server/rpc/call_base.h"

#include <grpc/support/time.h>

#include <utility>

namespace bwrt::server {
namespace {

// Through the time that is left, so that it does not matter which clock gRPC counts in.
std::optional<std::chrono::steady_clock::time_point> FromGpr(gpr_timespec deadline) {
  if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0) return std::nullopt;
  const gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
  // Clients write "no deadline" as a very distant one, too; beyond a century the sum below could overflow.
  if (left.tv_sec > int64_t{100} * 365 * 24 * 3600) return std::nullopt;
  return std::chrono::steady_clock::now() + std::chrono::seconds(left.tv_sec) + std::chrono::nanoseconds(left.tv_nsec);
}

}  // namespace

CallBase::CallBase(std::shared_ptr<OpGate> gate) : gate_(std::move(gate)) { context_.AsyncNotifyWhenDone(&done_tag_); }

void CallBase::Started() {
  references_.store(2, std::memory_order_relaxed);
  gate_->Expect();  // The end note.
  deadline_ = FromGpr(context_.raw_deadline());
}

void CallBase::Unref() {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

bool CallBase::MarkFinished(std::function<void()>* released) {
  if (std::exchange(finished_, true)) return false;
  on_cancel_.swap(*released);
  return true;
}

void CallBase::OnCancel(std::function<void()> callback) {
  {
    runtime::MutexLock lock(mu_);
    if (finished_) return;
    if (!cancelled()) {
      on_cancel_.swap(callback);
      return;
    }
  }
  if (callback) callback();
}

void CallBase::OnDone(bool /*ok*/) {
  std::function<void()> callback;
  bool run = false;
  {
    runtime::MutexLock lock(mu_);
    // gRPC knows only now, and only in this direction, whether the client still cares.
    if (context_.IsCancelled()) cancelled_.store(true, std::memory_order_release);
    run = cancelled() && !finished_;
    on_cancel_.swap(callback);
  }
  if (run && callback) callback();
  callback = nullptr;
  OnEnded();
  Unref();
}

void CallBase::DropHandle() {
  Finish(absl::InternalError("the call was dropped without an answer"));
  Unref();
}

}  // namespace bwrt::server
