// SimCluster: a cluster of one or two blocks of a Hopper GPU, as far as the loops of wgmma_loops_cuda.h see one: shared
// memory, mbarriers, TMA with multicast and the 128-byte swizzle, and wgmma that reads its operands by descriptor.
//
// Copies, products and arrivals at other blocks are events that a seeded scheduler lets happen as early or as late as
// the hardware may; which of producers and consumers runs next is drawn too. So what is read before it has come, or
// overwritten while a product still reads it, shows in the numbers; a wait that can't end is told as such.
//
// Descriptors are decoded from the PTX ISA's description of canonical layouts, not by the code under test. Agents are
// threads, of which one runs at a time: nothing here needs a lock.
#ifndef BWRT_TESTS_KERNELS_CUDA_SIM_CLUSTER_H_
#define BWRT_TESTS_KERNELS_CUDA_SIM_CLUSTER_H_

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cuda/wgmma_gemm_cuda.h"

namespace bwrt::kernels {

enum class Timing { kEarly, kLate, kRandom };

// Thrown into agents that wait for ever.
struct SimAbort {};

class SimScheduler {
 public:
  explicit SimScheduler(uint32_t seed) : random_(seed) {}

  // An agent that will run `body`; `name` for what is told of it.
  void AddAgent(std::string name, std::function<void()> body);
  // Runs all agents to their ends. "" or what went wrong.
  std::string Run();

  // For agents: gives way until `ready` (and now and then for no reason).
  void WaitUntil(const std::function<bool()>& ready);
  void MaybeYield();
  // Something that happens later; at once with kEarly.
  void Post(Timing timing, std::function<void()> event);
  void Fail(const std::string& what) {
    if (failure_.empty()) failure_ = what;
  }
  bool Draw(int one_in) { return random_() % static_cast<uint32_t>(one_in) == 0; }

 private:
  struct Agent {
    std::string name;
    std::function<void()> body;
    std::thread thread;
    std::binary_semaphore turn{0};
    std::function<bool()> ready;
    bool done = false;
  };
  struct Event {
    bool late;
    std::function<void()> run;
  };
  void GiveWay();

  std::mt19937 random_;
  std::vector<std::unique_ptr<Agent>> agents_;
  std::deque<Event> events_;
  std::binary_semaphore back_{0};
  Agent* running_ = nullptr;
  bool aborting_ = false;
  std::string failure_;
};

struct SimBarrier {
  int arrivals = 0;  // Of each phase.
  int pending = 0;
  int64_t bytes = 0;  // Still to come; below 0 when they came before they were expected.
  uint32_t parity = 0;
};

struct SimBlock {
  explicit SimBlock(int64_t bytes) : shared(static_cast<size_t>(bytes), std::byte{0xff}) {}
  std::vector<std::byte> shared;
  std::array<SimBarrier, 8> full;
  std::array<SimBarrier, 8> empty;
};

struct SimTimings {
  Timing copies = Timing::kRandom;
  Timing products = Timing::kRandom;
  Timing arrivals = Timing::kRandom;
};

class SimCluster {
 public:
  SimCluster(const WgmmaGemm& gemm, SimTimings timings, uint32_t seed);

  SimScheduler& scheduler() { return scheduler_; }
  SimBlock& block(int rank) { return *blocks_[static_cast<size_t>(rank)]; }
  const WgmmaGemm& gemm() const { return gemm_; }
  const WgmmaMap& map(int operand) const { return maps_[static_cast<size_t>(operand)]; }
  const SimTimings& timings() const { return timings_; }
  int stage_bytes() const { return stage_bytes_; }

  void Arrive(SimBarrier& barrier);
  void Transfer(SimBarrier& barrier, int64_t bytes);
  // One box of `operand` into the same place of every block in `ranks`; coordinates as TMA's.
  void Copy(int operand, const std::vector<int>& ranks, int stage, int offset, int64_t inner, int64_t outer);
  // X's or Y's [rows, k] values by a descriptor, as floats.
  std::vector<float> Read(const SimBlock& block, uint64_t descriptor, int rows, bool mn_major) const;

 private:
  void Advance(SimBarrier& barrier);

  const WgmmaGemm gemm_;
  const std::array<WgmmaMap, 2> maps_;
  const SimTimings timings_;
  const int stage_bytes_;
  SimScheduler scheduler_;
  std::vector<std::unique_ptr<SimBlock>> blocks_;
};

// A planted bug: what the loops' hardware does wrong.
enum class SimBug { kNone, kReleasesOneGroupEarly, kReleasesOwnBlockAlone, kExpectsTooFewBytes, kIgnoresFull };

class SimProducer {
 public:
  SimProducer(SimCluster* cluster, int rank, SimBug bug) : cluster_(*cluster), rank_(rank), bug_(bug) {}
  void WaitEmpty(int stage, uint32_t parity);
  void ExpectBytes(int stage, int bytes);
  void LoadX(int stage, int offset, int k, int row, bool both);
  void LoadY(int stage, int offset, int k, int row, bool both);

 private:
  void Load(int operand, bool mn_major, int stage, int offset, int k, int row, bool both);
  SimCluster& cluster_;
  const int rank_;
  const SimBug bug_;
};

// What a product adds where.
struct SimProduct {
  int block;
  uint64_t x, y;
  bool add;
};

// Without Multiply and Store, which know the shape.
class SimConsumerBase {
 public:
  using Compute = std::function<void(const SimProduct&)>;
  SimConsumerBase(SimCluster* cluster, int rank, SimBug bug) : cluster_(*cluster), rank_(rank), bug_(bug) {}
  void WaitFull(int stage, uint32_t parity);
  uint32_t StageAddress(int stage) const { return static_cast<uint32_t>(stage * cluster_.stage_bytes()); }
  void Fence() {}
  void Commit();
  void Release(int stage);

 protected:
  struct Group {
    std::vector<SimProduct> products;
    bool done = false;
  };
  void Queue(const SimProduct& product) { open_.push_back(product); }
  void WaitGroups(int left);
  virtual void ComputeProduct(const SimProduct& product) = 0;
  ~SimConsumerBase() = default;

  SimCluster& cluster_;
  const int rank_;
  const SimBug bug_;

 private:
  void Finish(const std::shared_ptr<Group>& group);
  void ArriveEverywhere(int stage);
  std::vector<SimProduct> open_;
  std::deque<std::shared_ptr<Group>> groups_;
  int held_ = -1;
};

}  // namespace bwrt::kernels

#endif  // BWRT_TESTS_KERNELS_CUDA_SIM_CLUSTER_H_
