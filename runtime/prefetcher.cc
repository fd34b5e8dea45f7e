#include "runtime/prefetcher.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/mutex.h"
#include "runtime/violations.h"

namespace bwrt::runtime {

// One wave's prefetch. Alive while a page of it is outstanding or a thread pumps.
//
// One thread at a time pumps: it walks the extents and asks for pages until the read-ahead is full, everything has been
// asked for, or there is an error. A page that comes in frees a place and pumps again, unless somebody does already.
class Prefetcher::Run : public std::enable_shared_from_this<Run> {
 public:
  Run(Prefetcher* owner, std::vector<IoExtent> extents, std::function<bool()> lane_idle, Callbacks callbacks)
      : owner_(owner),
        extents_(std::move(extents)),
        lane_idle_(std::move(lane_idle)),
        callbacks_(std::move(callbacks)),
        begin_(owner->clock_->Now()),
        left_(extents_.size()),
        changed_(begin_) {}

  void Pump() {
    mu_.Lock();
    if (pumping_) {
      mu_.Unlock();
      return;
    }
    pumping_ = true;
    while (error_.ok() && extent_ < extents_.size() && outstanding_ < kReadAhead) {
      mu_.Unlock();
      absl::Status status = Next();
      mu_.Lock();
      if (!status.ok() && error_.ok()) error_ = std::move(status);
    }
    pumping_ = false;
    EndLocked();
  }

 private:
  // Asks for one page, or steps to the next extent. Pumping thread only, so that extent_ and what belongs to it need
  // no lock.
  absl::Status Next() {
    if (absl::Status status = callbacks_.may_go_on(); !status.ok()) return status;
    const IoExtent& extent = extents_[extent_];
    if (!open_) {
      callbacks_.started(static_cast<int64_t>(extent_));
      const int64_t pages = std::max<int64_t>(extent.end_pid - extent.start_pid + 1, 0);
      {
        MutexLock lock(mu_);
        left_[extent_] = pages + 1;  // One for the walk itself.
      }
      if (pages > 0) {
        layer_ = LayerNumber(extent.layer);
        if (layer_ < 0) {
          Violations bad;
          bad.Add(absl::StrCat("spec.io_extents[", extent_, "].layer"), "LAYER_NAME", Quoted(extent.layer),
                  "the page source needs a layer number");
          return bad.Take("wave");
        }
        auto segment = owner_->source_->Open(layer_);
        if (!segment.ok()) return segment.status();
        segment_ = *std::move(segment);
      }
      page_ = extent.start_pid;
      open_ = true;
    }
    if (page_ > extent.end_pid) {
      open_ = false;
      Count(extent_++);
      return absl::OkStatus();
    }
    return Ask(page_++);
  }

  absl::Status Ask(int64_t page) {
    const int64_t bytes = owner_->source_->page_bytes();
    if (page >= segment_.bytes / bytes) return owner_->source_->PastEnd(segment_, page);
    const size_t extent = extent_;
    const PageKey key{layer_, page};
    {
      MutexLock lock(mu_);
      ChangeOutstandingLocked(+1);
    }
    const auto self = shared_from_this();
    switch (owner_->cache_.Acquire(
        key, [self, extent](const absl::Status& status) { self->In(extent, status, /*read=*/false); })) {
      case PageCache::Found::kHit: {
        MutexLock lock(mu_);
        ChangeOutstandingLocked(-1);
        ++counts_.hit;
        break;
      }
      case PageCache::Found::kLoading:
        return absl::OkStatus();
      case PageCache::Found::kMiss:
        Read(key, extent, bytes);
        return absl::OkStatus();
    }
    Count(extent);
    return absl::OkStatus();
  }

  void Read(const PageKey& key, size_t extent, int64_t bytes) {
    std::shared_ptr<std::vector<std::byte>> buffer;
    try {
      buffer = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(bytes));
    } catch (const std::bad_alloc&) {
      Finish(key, extent,
             MakeError(absl::StatusCode::kResourceExhausted, "NO_MEMORY", "no memory for a page; retry later"));
      return;
    }
    std::byte* data = buffer->data();
    owner_->reader_->Read(segment_.file, key.page * bytes, data, buffer->size(),
                          [self = shared_from_this(), key, extent, buffer, name = segment_.name](int64_t result) {
                            if (result == static_cast<int64_t>(buffer->size()))
                              return self->Finish(key, extent, Page(buffer));
                            self->Finish(
                                key, extent,
                                MakeError(absl::StatusCode::kDataLoss, "PAGE_READ",
                                          absl::StrCat("page file ", name, ": page ", key.page, ": ",
                                                       result < 0 ? std::strerror(static_cast<int>(-result))
                                                                  : "the file became shorter while it was read")));
                          });
  }

  void Finish(const PageKey& key, size_t extent, absl::StatusOr<Page> page) {
    const absl::Status status = page.status();
    owner_->cache_.Loaded(key, std::move(page));
    In(extent, status, /*read=*/true);
  }

  // A page that was asked for has come in, or failed.
  void In(size_t extent, const absl::Status& status, bool read) {
    const bool late = lane_idle_();
    if (status.ok()) Count(extent);
    {
      MutexLock lock(mu_);
      ChangeOutstandingLocked(-1);
      if (!status.ok()) {
        if (error_.ok()) error_ = status;
      } else if (!read) {
        ++counts_.hit;
      } else {
        ++(late ? counts_.late : counts_.miss);
        counts_.bytes += owner_->source_->page_bytes();
      }
    }
    Pump();
  }

  // One more part of an extent is done.
  void Count(size_t extent) {
    {
      MutexLock lock(mu_);
      if (--left_[extent] > 0) return;
    }
    callbacks_.finished(static_cast<int64_t>(extent));
  }

  // Keeps the area under the curve of outstanding pages, for the mean.
  void ChangeOutstandingLocked(int by) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const Time now = owner_->clock_->Now();
    area_ += Seconds(now - changed_) * outstanding_;
    changed_ = now;
    outstanding_ += by;
  }

  // Ends the run if nothing is left to do. Releases the lock.
  void EndLocked() ABSL_UNLOCK_FUNCTION(mu_) {
    const bool all = extent_ == extents_.size() || !error_.ok();
    const bool end = all && outstanding_ == 0 && !pumping_ && !ended_;
    ended_ = ended_ || end;
    const double seconds = Seconds(changed_ - begin_);
    if (seconds > 0) counts_.ring_fill = area_ / (seconds * kReadAhead);
    const absl::Status status = error_;
    const PageCounts counts = counts_;
    mu_.Unlock();
    if (!end) return;
    owner_->Add(counts);
    callbacks_.done(status, counts);
  }

  Prefetcher* const owner_;
  const std::vector<IoExtent> extents_;
  const std::function<bool()> lane_idle_;
  const Callbacks callbacks_;
  const Time begin_;

  // The pumping thread's.
  bool open_ = false;  // The extent at extent_ has begun.
  int64_t layer_ = -1;
  int64_t page_ = 0;
  PageSource::Segment segment_;

  Mutex mu_;
  size_t extent_ = 0;  // Written by the pumping thread, outside the lock; read under it by nobody else.
  std::vector<int64_t> left_ ABSL_GUARDED_BY(mu_);  // Parts of each extent that are not done.
  int outstanding_ ABSL_GUARDED_BY(mu_) = 0;
  bool pumping_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status error_ ABSL_GUARDED_BY(mu_);
  Time changed_ ABSL_GUARDED_BY(mu_);  // When outstanding_ changed last.
  double area_ ABSL_GUARDED_BY(mu_) = 0;
  PageCounts counts_ ABSL_GUARDED_BY(mu_);
};

Prefetcher::Prefetcher(std::unique_ptr<PageSource> source, std::unique_ptr<PageReader> reader, Bytes cache,
                       Clock* clock)
    : source_(std::move(source)), cache_(cache), clock_(clock), reader_(std::move(reader)) {}

void Prefetcher::Begin(std::vector<IoExtent> extents, std::function<bool()> lane_idle, Callbacks callbacks) {
  std::make_shared<Run>(this, std::move(extents), std::move(lane_idle), std::move(callbacks))->Pump();
}

PageCounts Prefetcher::totals() const {
  MutexLock lock(mu_);
  return totals_;
}

void Prefetcher::Add(const PageCounts& counts) {
  MutexLock lock(mu_);
  totals_.hit += counts.hit;
  totals_.miss += counts.miss;
  totals_.late += counts.late;
  totals_.bytes += counts.bytes;
}

}  // namespace bwrt::runtime
