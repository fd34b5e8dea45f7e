#include "server/health_service.h"

#include <optional>
#include <utility>

namespace bwrt::server {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckResponse;

struct HealthService::Watcher {
  const std::string name;
  const std::shared_ptr<WatchStream> stream;
  std::optional<Status> sent;  // Guarded by the service's mu_.
};

HealthService::HealthService(const std::vector<std::string>& services, size_t max_watchers)
    : max_watchers_(max_watchers) {
  statuses_[""] = HealthCheckResponse::NOT_SERVING;
  for (const std::string& name : services) statuses_[name] = HealthCheckResponse::NOT_SERVING;
}

HealthService::~HealthService() = default;

void HealthService::Serve(CompletionLoop* loop) {
  ServeUnary(loop, &service_, &Health::AsyncService::RequestCheck,
             [this](std::shared_ptr<CheckCall> call) { Check(call); });
  ServeServerStream(loop, &service_, &Health::AsyncService::RequestWatch, StreamOptions{},
                    [this](std::shared_ptr<WatchStream> stream) { Watch(stream); });
}

void HealthService::Set(const std::string& name, Status status) {
  runtime::MutexLock lock(mu_);
  statuses_[name] = status;
  UpdateAll();
}

void HealthService::SetServing(bool serving) {
  runtime::MutexLock lock(mu_);
  for (auto& [name, status] : statuses_) {
    status = serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
  }
  UpdateAll();
}

void HealthService::CloseWatches() {
  std::list<std::shared_ptr<Watcher>> closing;
  {
    runtime::MutexLock lock(mu_);
    closed_ = true;
    closing.swap(watchers_);
  }
  for (const auto& watcher : closing) {
    watcher->stream->Finish(absl::UnavailableError("the daemon is shutting down"));
  }
}

void HealthService::Check(const std::shared_ptr<CheckCall>& call) {
  std::optional<Status> status;
  {
    runtime::MutexLock lock(mu_);
    const auto it = statuses_.find(call->request().service());
    if (it != statuses_.end()) status = it->second;
  }
  if (!status) {
    call->Finish(absl::NotFoundError("no such service; \"\" stands for the daemon as a whole"));
    return;
  }
  call->response()->set_status(*status);
  call->Finish(absl::OkStatus());
}

void HealthService::Watch(const std::shared_ptr<WatchStream>& stream) {
  auto watcher = std::make_shared<Watcher>(Watcher{stream->request().service(), stream, std::nullopt});
  absl::Status refusal;
  {
    runtime::MutexLock lock(mu_);
    if (closed_) {
      refusal = absl::UnavailableError("the daemon is shutting down");
    } else if (watchers_.size() >= max_watchers_) {
      refusal = absl::ResourceExhaustedError("too many health watches; use Check, or close one");
    } else {
      watchers_.push_back(watcher);
    }
  }
  if (!refusal.ok()) {
    stream->Finish(refusal);
    return;
  }
  // The stream's callbacks must not keep the watcher, which keeps the stream.
  std::weak_ptr<Watcher> weak = watcher;
  stream->OnWritten([this, weak] {
    if (const auto written = weak.lock()) {
      runtime::MutexLock lock(mu_);
      Update(written.get());
    }
  });
  stream->OnCancel([this, weak] {
    if (const auto cancelled = weak.lock()) Remove(cancelled);
  });
  runtime::MutexLock lock(mu_);
  Update(watcher.get());
}

void HealthService::Remove(const std::shared_ptr<Watcher>& watcher) {
  {
    runtime::MutexLock lock(mu_);
    watchers_.remove(watcher);
  }
  watcher->stream->Finish(absl::CancelledError("the client has gone"));
}

void HealthService::Update(Watcher* watcher) {
  const auto it = statuses_.find(watcher->name);
  const Status status = it == statuses_.end() ? HealthCheckResponse::SERVICE_UNKNOWN : it->second;
  // One response at a time: a state that comes while one is being written is sent after it, by OnWritten.
  if (watcher->sent == status || watcher->stream->pending() > 0) return;
  watcher->sent = status;
  HealthCheckResponse response;
  response.set_status(status);
  watcher->stream->Write(std::move(response));
}

void HealthService::UpdateAll() {
  for (const auto& watcher : watchers_) Update(watcher.get());
}

}  // namespace bwrt::server
