#include "runtime/sample_recorder.h"

#include <algorithm>

namespace bwrt::runtime {
namespace {

// Mean of one reading over the entries that have it, with the source of the newest.
class WeightedMean {
 public:
  void Add(const std::optional<Reading>& reading, double weight) {
    if (!reading) return;
    sum_ += reading->ratio * weight;
    weight_ += weight;
    source_ = reading->source;
  }
  std::optional<Reading> Get() const {
    if (!source_) return std::nullopt;
    return Reading{.ratio = sum_ / weight_, .source = *source_};
  }

 private:
  double sum_ = 0;
  double weight_ = 0;
  std::optional<Source> source_;
};

}  // namespace

void SampleRecorder::Record(const Readings& readings, Duration compute) {
  MutexLock lock(mu_);
  if (recent_.size() == kWaves) recent_.pop_front();
  recent_.push_back({readings, compute});
}

Sample SampleRecorder::Read() const {
  std::deque<Entry> recent;
  {
    MutexLock lock(mu_);
    recent = recent_;
  }
  Sample sample;
  sample.waves = recent.size();
  WeightedMean wgmma, tma, l2, ring, l2_hardware, llc_hardware;
  for (const Entry& e : recent) {
    sample.compute += e.compute;
    // A wave too short to time still counts a little, so that a mean always exists.
    const double weight = std::max(Seconds(e.compute), 1e-9);
    wgmma.Add(e.readings.wgmma_active, weight);
    tma.Add(e.readings.tma_occ, weight);
    l2.Add(e.readings.l2_hit, weight);
    ring.Add(e.readings.ring_occ, weight);
    l2_hardware.Add(e.readings.l2_hit_hardware, weight);
    llc_hardware.Add(e.readings.llc_hit_hardware, weight);
  }
  sample.readings = {wgmma.Get(), tma.Get(), l2.Get(), ring.Get(), l2_hardware.Get(), llc_hardware.Get()};
  return sample;
}

}  // namespace bwrt::runtime
