#include "runtime/page_cache.h"

#include <utility>

namespace bwrt::runtime {

PageCache::Found PageCache::Acquire(const PageKey& key, const Waiter& waiter) {
  MutexLock lock(mu_);
  const auto [at, fresh] = entries_.try_emplace(key);
  if (fresh) return Found::kMiss;
  Entry& entry = at->second;
  if (entry.page == nullptr) {
    entry.waiters.push_back(waiter);
    return Found::kLoading;
  }
  by_use_.splice(by_use_.begin(), by_use_, entry.used);
  return Found::kHit;
}

void PageCache::Loaded(const PageKey& key, absl::StatusOr<Page> page) {
  std::vector<Waiter> waiters;
  std::vector<Page> evicted;  // Freed outside the lock.
  {
    MutexLock lock(mu_);
    const auto at = entries_.find(key);
    waiters.swap(at->second.waiters);
    if (page.ok()) {
      used_ += static_cast<int64_t>((*page)->size());
      by_use_.push_front(key);
      at->second.used = by_use_.begin();
      at->second.page = *page;
      EvictLocked(evicted);
    } else {
      // The next one that wants it tries again.
      entries_.erase(at);
    }
  }
  for (const Waiter& waiter : waiters) waiter(page.status());
}

void PageCache::EvictLocked(std::vector<Page>& evicted) {
  while (used_ > capacity_.value() && !by_use_.empty()) {
    const auto at = entries_.find(by_use_.back());
    by_use_.pop_back();
    used_ -= static_cast<int64_t>(at->second.page->size());
    evicted.push_back(std::move(at->second.page));
    entries_.erase(at);
  }
}

Page PageCache::Peek(const PageKey& key) const {
  MutexLock lock(mu_);
  const auto at = entries_.find(key);
  return at == entries_.end() ? nullptr : at->second.page;
}

std::vector<std::pair<PageKey, Page>> PageCache::List(const PageKey& first, size_t limit) const {
  std::vector<std::pair<PageKey, Page>> list;
  MutexLock lock(mu_);
  for (auto at = entries_.lower_bound(first); at != entries_.end() && list.size() < limit; ++at) {
    if (at->second.page != nullptr) list.emplace_back(at->first, at->second.page);
  }
  return list;
}

Bytes PageCache::used() const {
  MutexLock lock(mu_);
  return Bytes(used_);
}

size_t PageCache::pages() const {
  MutexLock lock(mu_);
  return by_use_.size();
}

}  // namespace bwrt::runtime
