// PageCache: the pages read last, bounded in bytes, least recently used out first.
//
// A page is immutable once it is in. A reader that finds a page being loaded by another waits for that one instead of
// reading it twice. Thread-safe.
#ifndef BWRT_RUNTIME_PAGE_CACHE_H_
#define BWRT_RUNTIME_PAGE_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "runtime/ids.h"
#include "runtime/mutex.h"
#include "runtime/page_source.h"

namespace bwrt::runtime {

using Page = std::shared_ptr<const std::vector<std::byte>>;

class PageCache {
 public:
  using Waiter = std::function<void(const absl::Status&)>;

  explicit PageCache(Bytes capacity) : capacity_(capacity) {}

  enum class Found {
    kHit,      // It is here.
    kLoading,  // Somebody is loading it: the waiter will be called.
    kMiss,     // The caller must load it and then call Loaded.
  };
  // Looks a page up to be used. `waiter` is kept only for kLoading; it is called by Loaded.
  Found Acquire(const PageKey& key, const Waiter& waiter);

  // Ends a load begun by Acquire's kMiss: with the page, or with why there is none.
  void Loaded(const PageKey& key, absl::StatusOr<Page> page);

  // For inspection: does not count as a use. Null when it is not here.
  Page Peek(const PageKey& key) const;
  // The pages present from `first` on, in order, at most `limit`.
  std::vector<std::pair<PageKey, Page>> List(const PageKey& first, size_t limit) const;

  Bytes capacity() const { return capacity_; }
  Bytes used() const;
  size_t pages() const;

 private:
  struct Entry {
    Page page;  // Null while it is being loaded.
    std::vector<Waiter> waiters;
    std::list<PageKey>::iterator used;  // Valid once loaded.
  };
  void EvictLocked(std::vector<Page>& evicted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Bytes capacity_;
  mutable Mutex mu_;
  std::map<PageKey, Entry> entries_ ABSL_GUARDED_BY(mu_);
  std::list<PageKey> by_use_ ABSL_GUARDED_BY(mu_);  // Most recently used first.
  int64_t used_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_PAGE_CACHE_H_
