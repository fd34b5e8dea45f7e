// Prefetcher: reads a wave's io_extents into the page cache before its tiles run.
//
// Extents are read in order, at most kReadAhead pages of a wave at a time; each finishes when its last page is in.
// Owned by the Lanes; thread-safe. Every Begin ends, with `done`, before the prefetcher may be destroyed.
#ifndef BWRT_RUNTIME_PREFETCHER_H_
#define BWRT_RUNTIME_PREFETCHER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "runtime/clock.h"
#include "runtime/mutex.h"
#include "runtime/page_cache.h"
#include "runtime/page_reader.h"
#include "runtime/page_source.h"
#include "runtime/wave_request.h"

namespace bwrt::runtime {

// What became of a wave's pages. `late`: read from the file while a lane stood idle; not counted as a miss.
struct PageCounts {
  int64_t hit = 0;
  int64_t miss = 0;
  int64_t late = 0;
  int64_t bytes = 0;     // Read from files.
  double ring_fill = 0;  // Mean share of the read-ahead that was outstanding.
};

class Prefetcher {
 public:
  static constexpr int kReadAhead = 32;

  struct Callbacks {
    std::function<void(int64_t extent)> started;
    std::function<void(int64_t extent)> finished;
    // Asked before each page: a status other than OK ends the prefetch with it.
    std::function<absl::Status()> may_go_on;
    // Once, after everything else, from this call or a reader's thread.
    std::function<void(const absl::Status&, const PageCounts&)> done;
  };

  Prefetcher(std::unique_ptr<PageSource> source, std::unique_ptr<PageReader> reader, Bytes cache, Clock* clock);

  // `lane_idle` tells whether a lane has nothing to run just now: a page that is read then is late.
  // Errors: those of PageSource for a missing, unreadable or short file, INVALID_ARGUMENT for a layer without a
  // number, DATA_LOSS PAGE_READ for an I/O error. The wave fails alone; nothing wrong stays in the cache.
  void Begin(std::vector<IoExtent> extents, std::function<bool()> lane_idle, Callbacks callbacks);

  // Of all waves so far; ring_fill is 0.
  PageCounts totals() const;

  const PageSource& source() const { return *source_; }
  const PageCache& cache() const { return cache_; }
  const char* reader_name() const { return reader_->name(); }

 private:
  class Run;
  void Add(const PageCounts& counts);

  const std::unique_ptr<PageSource> source_;
  PageCache cache_;
  Clock* const clock_;
  mutable Mutex mu_;
  PageCounts totals_ ABSL_GUARDED_BY(mu_);
  const std::unique_ptr<PageReader> reader_;  // Last: its threads use all of the above.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_PREFETCHER_H_
