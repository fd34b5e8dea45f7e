// SampleRecorder: the readings of a device's most recent waves.
//
// Owned by the device's lanes; thread-safe. Recording and reading take one short lock that nothing else
// shares, so that a scrape never meets the scheduler.
#ifndef BWRT_RUNTIME_SAMPLE_RECORDER_H_
#define BWRT_RUNTIME_SAMPLE_RECORDER_H_

#include <cstddef>
#include <deque>

#include "runtime/clock.h"
#include "runtime/mutex.h"
#include "runtime/readings.h"

namespace bwrt::runtime {

struct Sample {
  Readings readings;  // Means weighted by compute time.
  size_t waves = 0;   // How many waves they cover.
  Duration compute{0};
};

class SampleRecorder {
 public:
  static constexpr size_t kWaves = 256;

  void Record(const Readings& readings, Duration compute);
  Sample Read() const;

 private:
  struct Entry {
    Readings readings;
    Duration compute;
  };
  mutable Mutex mu_;
  std::deque<Entry> recent_ ABSL_GUARDED_BY(mu_);  // At most kWaves.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_SAMPLE_RECORDER_H_
