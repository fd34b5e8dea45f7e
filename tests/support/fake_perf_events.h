#ifndef BWRT_TESTS_SUPPORT_FAKE_PERF_EVENTS_H_
#define BWRT_TESTS_SUPPORT_FAKE_PERF_EVENTS_H_

// FakePerfEvents: counters that count what a test says, for each thread its own. Thread-safe.

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "absl/types/span.h"
#include "kernels/perf_events.h"

namespace bwrt::kernels {

class FakePerfEvents final : public PerfEvents {
 public:
  // An opened counter.
  struct Counter {
    PerfEvent event;
    int group = kNoGroup;
    std::thread::id thread;
  };
  // The words that a group of this thread reads as; called once a reading.
  using Words = std::function<std::vector<uint64_t>(std::thread::id thread, int reading)>;
  // The errno of opening an event; 0 opens it.
  using OpenError = std::function<int(const PerfEvent& event)>;

  explicit FakePerfEvents(Words words = Steady(1000, 100, 25)) : words_(std::move(words)) {}

  // Counters that have run all the time, and move on by so much from one reading to the next, on every thread.
  static Words Steady(uint64_t cycles, uint64_t reads, uint64_t misses) {
    return [=](std::thread::id, int reading) {
      const auto n = static_cast<uint64_t>(reading);
      return std::vector<uint64_t>{3, 500 * n, 500 * n, cycles * n, reads * n, misses * n};
    };
  }

  void SetOpenError(OpenError error) {
    const std::lock_guard lock(mu_);
    open_error_ = std::move(error);
  }
  void SetWords(Words words) {
    const std::lock_guard lock(mu_);
    words_ = std::move(words);
  }

  // Those that are open now.
  std::map<int, Counter> counters() const {
    const std::lock_guard lock(mu_);
    return counters_;
  }
  int opens() const {
    const std::lock_guard lock(mu_);
    return opens_;
  }
  int reads() const {
    const std::lock_guard lock(mu_);
    return reads_;
  }

  int Open(const PerfEvent& event, int group) override {
    const std::lock_guard lock(mu_);
    ++opens_;
    if (const int error = open_error_ ? open_error_(event) : 0; error != 0) return -error;
    // As Linux: a group is of one thread.
    if (group != kNoGroup) {
      const auto leader = counters_.find(group);
      if (leader == counters_.end() || leader->second.thread != std::this_thread::get_id()) return -EINVAL;
    }
    counters_[next_] = {event, group, std::this_thread::get_id()};
    return next_++;
  }

  int64_t Read(int leader, absl::Span<uint64_t> words) override {
    const std::lock_guard lock(mu_);
    const auto counter = counters_.find(leader);
    if (counter == counters_.end()) return -EBADF;
    ++reads_;
    const std::vector<uint64_t> from = words_(counter->second.thread, ++readings_[leader]);
    if (from.size() > words.size()) return -ENOSPC;
    std::copy(from.begin(), from.end(), words.begin());
    return static_cast<int64_t>(from.size());
  }

  void Close(int descriptor) override {
    const std::lock_guard lock(mu_);
    if (counters_.erase(descriptor) == 0) ++bad_closes_;
  }
  // Of descriptors that were not open.
  int bad_closes() const {
    const std::lock_guard lock(mu_);
    return bad_closes_;
  }

 private:
  // std::mutex: kernels/ has no wrapper of its own.
  mutable std::mutex mu_;
  Words words_;
  OpenError open_error_;
  std::map<int, Counter> counters_;
  std::map<int, int> readings_;  // By leader.
  int next_ = 0;                 // A descriptor of 0 is a good one.
  int opens_ = 0;
  int reads_ = 0;
  int bad_closes_ = 0;
};

}  // namespace bwrt::kernels

#endif  // BWRT_TESTS_SUPPORT_FAKE_PERF_EVENTS_H_
