#include "server/services/telemetry_service.h"

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/mutex.h"
#include "runtime/not_serving.h"
#include "runtime/prefetcher.h"
#include "runtime/violations.h"
#include "server/rpc/unary_call.h"
#include "server/services/duration.h"
#include "server/services/sample_codec.h"

namespace bwrt::server {
namespace {

using SampleCall = UnaryCall<v1::SampleRequest, v1::SampleResponse>;

constexpr runtime::Duration kMinInterval = std::chrono::milliseconds(50);
constexpr runtime::Duration kMaxInterval = std::chrono::hours(1);

using PagesCall = UnaryCall<v1::ListPagesRequest, v1::ListPagesResponse>;

constexpr uint32_t kDefaultPages = 100;
constexpr uint32_t kMaxPages = 10'000;
constexpr size_t kMaxPageData = size_t{4} << 20;

void ListPages(const runtime::Runtime& runtime, const std::shared_ptr<PagesCall>& call) {
  const v1::ListPagesRequest& request = call->request();
  const runtime::Prefetcher* prefetcher = runtime.prefetcher();
  if (prefetcher == nullptr) {
    return call->Finish(runtime::MakeError(absl::StatusCode::kFailedPrecondition, "NO_PAGE_SOURCE",
                                           "this daemon has no page source; start it with --pages"));
  }
  runtime::Violations bad;
  const int64_t layer = request.layer().empty() ? 0 : runtime::LayerNumber(request.layer());
  if (layer < 0) bad.Add("layer", "LAYER_NUMBER", runtime::Quoted(request.layer()), "use digits");
  if (request.max_pages() > kMaxPages) {
    bad.Add("max_pages", "OUT_OF_RANGE", request.max_pages(), "at most ", kMaxPages, "; page with layer and start_pid");
  }
  if (!bad.empty()) return call->Finish(bad.Take("request"));

  const runtime::PageCache& cache = prefetcher->cache();
  const runtime::PageCounts totals = prefetcher->totals();
  v1::PageCache* state = call->response()->mutable_cache();
  state->set_page_bytes(static_cast<uint64_t>(prefetcher->source().page_bytes()));
  state->set_capacity_bytes(static_cast<uint64_t>(cache.capacity().value()));
  state->set_used_bytes(static_cast<uint64_t>(cache.used().value()));
  state->set_pages(cache.pages());
  state->set_reader(prefetcher->reader_name());
  state->set_hits(static_cast<uint64_t>(totals.hit));
  state->set_misses(static_cast<uint64_t>(totals.miss));
  state->set_late(static_cast<uint64_t>(totals.late));
  state->set_read_bytes(static_cast<uint64_t>(totals.bytes));
  size_t data = 0;
  const uint32_t limit = request.max_pages() == 0 ? kDefaultPages : request.max_pages();
  for (const auto& [key, page] : cache.List({layer, request.start_pid()}, limit)) {
    v1::CachedPage* out = call->response()->add_pages();
    out->set_layer(absl::StrCat(key.layer));
    out->set_pid(key.page);
    out->set_bytes(page->size());
    if (request.with_data() && data + page->size() <= kMaxPageData) {
      data += page->size();
      out->set_data(page->data(), page->size());
    }
  }
  call->Finish(absl::OkStatus());
}

// Samples to one client, one an interval. Its alarm keeps only a weak reference: the RPC owns it.
template <typename Stream>
class Ticker : public std::enable_shared_from_this<Ticker<Stream>> {
 public:
  Ticker(runtime::Runtime* runtime, runtime::Clock* clock, std::weak_ptr<Stream> stream, std::string device,
         runtime::Duration interval)
      : runtime_(runtime),
        clock_(clock),
        stream_(std::move(stream)),
        device_(std::move(device)),
        interval_(interval),
        next_(clock->Now()) {}

  void Stop() {
    runtime::MutexLock lock(mu_);
    stopped_ = true;
    clock_->CancelAlarm(alarm_);
  }

  // Sends a sample unless the client has not yet taken the last one, and sets the next alarm.
  void Tick() {
    const auto stream = stream_.lock();
    runtime::MutexLock lock(mu_);
    if (stream == nullptr || stopped_) return;
    if (stream->pending() == 0) {
      v1::SampleResponse response;
      // The device was there when the watch began; devices do not go away.
      if (const auto sample = runtime_->GetSample(device_); sample.ok()) EncodeSample(*sample, &response);
      stream->Write(std::move(response));
    }
    next_ += interval_;
    alarm_ = clock_->SetAlarm(next_, [self = this->weak_from_this()] {
      if (const auto ticker = self.lock()) ticker->Tick();
    });
  }

 private:
  runtime::Runtime* const runtime_;
  runtime::Clock* const clock_;
  const std::weak_ptr<Stream> stream_;
  const std::string device_;
  const runtime::Duration interval_;
  runtime::Mutex mu_;
  runtime::Time next_ ABSL_GUARDED_BY(mu_);
  runtime::Clock::AlarmId alarm_ ABSL_GUARDED_BY(mu_) = runtime::Clock::kNoAlarm;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace

TelemetryService::TelemetryService(runtime::Runtime* runtime, runtime::Clock* clock)
    : runtime_(runtime), clock_(clock), watches_(static_cast<size_t>(runtime->options().limits.max_watches)) {}

void TelemetryService::Serve(CompletionLoop* loop) {
  using Async = v1::Telemetry::AsyncService;
  ServeUnary(loop, &service_, &Async::RequestSample, [this](const std::shared_ptr<SampleCall>& call) {
    const auto sample = runtime_->GetSample(call->request().device());
    if (sample.ok()) EncodeSample(*sample, call->response());
    call->Finish(sample.status());
  });
  ServeUnary(loop, &service_, &Async::RequestListPages,
             [this](const std::shared_ptr<PagesCall>& call) { ListPages(*runtime_, call); });
  ServeServerStream(loop, &service_, &Async::RequestWatchSamples, {.max_pending = 2},
                    [this](const std::shared_ptr<WatchStream>& stream) { Watch(stream); });
}

void TelemetryService::Watch(const std::shared_ptr<WatchStream>& stream) {
  const v1::WatchSamplesRequest& request = stream->request();
  runtime::Duration interval = FromProto(request.interval());
  if (interval == runtime::Duration(0)) interval = std::chrono::seconds(1);
  if (interval < kMinInterval || interval > kMaxInterval) {
    runtime::Violations bad;
    bad.Add("interval", "OUT_OF_RANGE", absl::StrCat(runtime::Seconds(interval), "s"), "must lie in [",
            runtime::Seconds(kMinInterval), " s, ", runtime::Seconds(kMaxInterval), " s]");
    return stream->Finish(bad.Take("request"));
  }
  if (const auto sample = runtime_->GetSample(request.device()); !sample.ok()) {
    return stream->Finish(sample.status());
  }
  if (absl::Status status = watches_.Add(stream); !status.ok()) return stream->Finish(status);
  const auto ticker = std::make_shared<Ticker<WatchStream>>(runtime_, clock_, stream, request.device(), interval);
  ticker->Tick();
  // The callback holds stream and ticker until the client goes away or the daemon drains.
  stream->OnCancel([this, stream, ticker] {
    ticker->Stop();
    watches_.Remove(stream.get());
    stream->Finish(absl::CancelledError("the client went away"));
  });
}

void TelemetryService::CloseStreams() {
  for (const auto& stream : watches_.Close()) stream->Finish(runtime::DrainingError());
}

}  // namespace bwrt::server
