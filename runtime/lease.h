// Lease: a wave's pin on one version of a model, from its start to its end.
//
// Made by Model::Start. Used by whoever runs the wave, one thread at a time; keeps model and version alive. Nothing
// else is called a lease.
#ifndef BWRT_RUNTIME_LEASE_H_
#define BWRT_RUNTIME_LEASE_H_

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "runtime/swap_window.h"
#include "runtime/token_clock.h"
#include "runtime/weight_version.h"

namespace bwrt::runtime {

class Model;

// What a model keeps of a wave in flight. `clock` is guarded by the model's lock; the rest is constant.
struct LeaseRecord {
  WaveNumber number;
  std::string wave_id;
  SwapWindow window;
  TokenClock clock;
  WeightVersion::Ptr version;
};

class Lease {
 public:
  ~Lease();  // Unless retired: the wave ended without a result, and changes nothing.
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  // Valid until the lease has ended.
  const WeightVersion& version() const { return *record_->version; }

  // Moves the wave's clock: `finished` is done, `started` begins.
  void Step(std::optional<int64_t> finished, std::optional<int64_t> started);

  // The wave ended with a result: its clock comes to rest at its last token. At most once, and last.
  void Retire();

 private:
  friend class Model;
  using Slot = std::list<LeaseRecord>::iterator;
  Lease(std::shared_ptr<Model> model, Slot record) : model_(std::move(model)), record_(record) {}

  std::shared_ptr<Model> model_;  // Null once ended.
  Slot record_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_LEASE_H_
