#include "tests/kernels/cuda/sim_cluster.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cuda/wgmma_shape_cuda.h"
#include "kernels/dtype.h"

namespace bwrt::kernels {
namespace {

int64_t BytesOf(int32_t dtype) { return dtype == kWgmmaE4M3 || dtype == kWgmmaE5M2 ? 1 : 2; }

float Load(const std::byte* at, int32_t dtype) {
  if (BytesOf(dtype) == 1) {
    const auto bits = std::to_integer<uint8_t>(*at);
    return dtype == kWgmmaE4M3 ? FromF8E4M3(bits) : FromF8E5M2(bits);
  }
  uint16_t bits = 0;
  std::memcpy(&bits, at, sizeof(bits));
  return dtype == kWgmmaF16 ? FromF16(bits) : FromBF16(bits);
}

// The 128-byte swizzle as the PTX ISA draws it: the 16-byte piece of a line, exchanged by the line's number.
uint64_t Exchanged(uint64_t address) {
  const uint64_t line = address / 128;
  const uint64_t piece = address / 16 % 8;
  return line * 128 + (piece ^ line % 8) * 16 + address % 16;
}

}  // namespace

void SimScheduler::AddAgent(std::string name, std::function<void()> body) {
  auto agent = std::make_unique<Agent>();
  agent->name = std::move(name);
  agent->body = std::move(body);
  agents_.push_back(std::move(agent));
}

void SimScheduler::GiveWay() {
  Agent* const agent = running_;
  back_.release();
  agent->turn.acquire();
  if (aborting_) throw SimAbort();
}

void SimScheduler::WaitUntil(const std::function<bool()>& ready) {
  while (!ready()) {
    running_->ready = ready;
    GiveWay();
    running_->ready = nullptr;
  }
  MaybeYield();
}

void SimScheduler::MaybeYield() {
  if (Draw(4)) GiveWay();
}

void SimScheduler::Post(Timing timing, std::function<void()> event) {
  if (timing == Timing::kEarly) return event();
  events_.push_back({timing == Timing::kLate || Draw(2), std::move(event)});
}

std::string SimScheduler::Run() {
  for (const auto& agent : agents_) {
    agent->thread = std::thread([this, a = agent.get()] {
      a->turn.acquire();
      try {
        if (!aborting_) a->body();
      } catch (const SimAbort&) {
      }
      a->done = true;
      back_.release();
    });
  }
  const auto resume = [this](Agent* agent) {
    running_ = agent;
    agent->turn.release();
    back_.acquire();
  };
  for (;;) {
    std::vector<Agent*> able;
    for (const auto& agent : agents_) {
      if (!agent->done && (!agent->ready || agent->ready())) able.push_back(agent.get());
    }
    std::vector<size_t> due;
    for (size_t i = 0; i < events_.size(); ++i) {
      if (!events_[i].late || able.empty()) due.push_back(i);
    }
    const size_t choices = able.size() + due.size();
    if (choices == 0 || !failure_.empty()) break;
    const size_t choice = random_() % choices;
    if (choice < able.size()) {
      resume(able[choice]);
    } else {
      const auto at = events_.begin() + static_cast<std::ptrdiff_t>(due[choice - able.size()]);
      const auto event = std::move(at->run);
      events_.erase(at);
      event();
    }
  }
  aborting_ = true;
  for (const auto& agent : agents_) {
    if (!agent->done) {
      if (failure_.empty()) failure_ = agent->name + " waits for ever";
      resume(agent.get());
    }
    agent->thread.join();
  }
  return failure_;
}

SimCluster::SimCluster(const WgmmaGemm& gemm, SimTimings timings, uint32_t seed)
    : gemm_(gemm), maps_(MapsOf(gemm)), timings_(timings), stage_bytes_(StageBytesOf(gemm.kernel)), scheduler_(seed) {
  for (int rank = 0; rank < gemm.cluster; ++rank) {
    blocks_.push_back(std::make_unique<SimBlock>(int64_t{stage_bytes_} * gemm.stages));
    for (SimBarrier& barrier : blocks_.back()->full) barrier.arrivals = barrier.pending = 1;
    for (SimBarrier& barrier : blocks_.back()->empty) {
      barrier.arrivals = barrier.pending = 4 * kWgmmaConsumers * gemm.cluster;
    }
  }
}

void SimCluster::Advance(SimBarrier& barrier) {
  if (barrier.pending > 0 || barrier.bytes != 0) return;
  barrier.pending = barrier.arrivals;
  barrier.parity ^= 1u;
}

void SimCluster::Arrive(SimBarrier& barrier) {
  if (--barrier.pending < 0) scheduler_.Fail("more arrivals than a phase takes");
  Advance(barrier);
}

void SimCluster::Transfer(SimBarrier& barrier, int64_t bytes) {
  barrier.bytes -= bytes;
  Advance(barrier);
}

void SimCluster::Copy(int operand, const std::vector<int>& ranks, int stage, int offset, int64_t inner, int64_t outer) {
  const WgmmaMap& map = maps_[static_cast<size_t>(operand)];
  const int64_t size = BytesOf(gemm_.kernel.dtype);
  const int64_t line = map.box_inner * size;
  const int64_t bytes = line * map.box_outer;
  if (line != 128) scheduler_.Fail("a box's lines are not as wide as the swizzle");
  if (offset % 1024 != 0) scheduler_.Fail("a swizzled box that is not aligned");
  if (offset + bytes > stage_bytes_) scheduler_.Fail("a box beyond its stage");
  if (map.box_outer > 256 || map.pitch % 16 != 0) scheduler_.Fail("a box that TMA does not take");
  for (const int rank : ranks) {
    std::byte* const to = block(rank).shared.data();
    const auto begin =
        static_cast<uint64_t>(stage) * static_cast<uint64_t>(stage_bytes_) + static_cast<uint64_t>(offset);
    for (int64_t row = 0; row < map.box_outer; ++row) {
      for (int64_t col = 0; col < map.box_inner; ++col) {
        std::byte* const at = to + Exchanged(begin + static_cast<uint64_t>(row * line + col * size));
        const bool in = inner + col >= 0 && inner + col < static_cast<int64_t>(map.inner) && outer + row >= 0 &&
                        outer + row < static_cast<int64_t>(map.outer);
        if (in) {
          const auto* const from = static_cast<const std::byte*>(map.base) +
                                   (outer + row) * static_cast<int64_t>(map.pitch) + (inner + col) * size;
          std::memcpy(at, from, static_cast<size_t>(size));
        } else {
          std::memset(at, 0, static_cast<size_t>(size));
        }
      }
    }
    Transfer(block(rank).full[static_cast<size_t>(stage)], bytes);
  }
}

std::vector<float> SimCluster::Read(const SimBlock& block, uint64_t descriptor, int rows, bool mn_major) const {
  const int32_t dtype = gemm_.kernel.dtype;
  const int64_t size = BytesOf(dtype);
  const uint64_t address = (descriptor & 0x3fff) << 4;
  const uint64_t leading = (descriptor >> 16 & 0x3fff) << 4;
  const uint64_t stride = (descriptor >> 32 & 0x3fff) << 4;
  const int64_t depth = 32 / size;
  std::vector<float> values(static_cast<size_t>(rows * depth), 0.0f);
  if (descriptor >> 62 != 1) return values;  // Another swizzle: nothing is right.
  for (int r = 0; r < rows; ++r) {
    for (int64_t k = 0; k < depth; ++k) {
      const auto row = static_cast<uint64_t>(r);
      const auto at_k = static_cast<uint64_t>(k);
      const uint64_t logical = mn_major
                                   ? address + row / 64 * leading + at_k / 8 * stride + at_k % 8 * 128 + row % 64 * 2
                                   : address + row / 8 * stride + row % 8 * 128 + at_k * static_cast<uint64_t>(size);
      const uint64_t at = Exchanged(logical);
      if (at + static_cast<uint64_t>(size) > block.shared.size()) continue;
      values[static_cast<size_t>(r * depth + k)] = Load(block.shared.data() + at, dtype);
    }
  }
  return values;
}

void SimProducer::WaitEmpty(int stage, uint32_t parity) {
  const SimBarrier& barrier = cluster_.block(rank_).empty[static_cast<size_t>(stage)];
  cluster_.scheduler().WaitUntil([&] { return barrier.parity != parity; });
}

void SimProducer::ExpectBytes(int stage, int bytes) {
  SimBarrier& barrier = cluster_.block(rank_).full[static_cast<size_t>(stage)];
  barrier.bytes += bug_ == SimBug::kExpectsTooFewBytes ? bytes / 2 : bytes;
  cluster_.Arrive(barrier);
  cluster_.scheduler().MaybeYield();
}

void SimProducer::Load(int operand, bool mn_major, int stage, int offset, int k, int row, bool both) {
  std::vector<int> ranks = {rank_};
  if (both) ranks = {0, 1};
  const int64_t inner = mn_major ? row : k;
  const int64_t outer = mn_major ? k : row;
  cluster_.scheduler().Post(cluster_.timings().copies,
                            [=, this] { cluster_.Copy(operand, ranks, stage, offset, inner, outer); });
  cluster_.scheduler().MaybeYield();
}

void SimProducer::LoadX(int stage, int offset, int k, int row, bool both) {
  const WgmmaKernel& kernel = cluster_.gemm().kernel;
  Load(0, kernel.swapped && !kernel.w_transposed, stage, offset, k, row, both);
}
void SimProducer::LoadY(int stage, int offset, int k, int row, bool both) {
  const WgmmaKernel& kernel = cluster_.gemm().kernel;
  Load(1, !kernel.swapped && !kernel.w_transposed, stage, offset, k, row, both);
}

void SimConsumerBase::WaitFull(int stage, uint32_t parity) {
  const SimBarrier& barrier = cluster_.block(rank_).full[static_cast<size_t>(stage)];
  held_ = stage;
  if (bug_ == SimBug::kIgnoresFull) return cluster_.scheduler().MaybeYield();
  cluster_.scheduler().WaitUntil([&] { return barrier.parity != parity; });
}

void SimConsumerBase::Finish(const std::shared_ptr<Group>& group) {
  if (group->done) return;
  group->done = true;
  for (const SimProduct& product : group->products) ComputeProduct(product);
}

void SimConsumerBase::Commit() {
  auto group = std::make_shared<Group>();
  group->products = std::exchange(open_, {});
  groups_.push_back(group);
  // Groups end in their order.
  const auto before = groups_.size() > 1 ? groups_[groups_.size() - 2] : nullptr;
  if (cluster_.timings().products != Timing::kLate) {
    cluster_.scheduler().Post(cluster_.timings().products, [this, group, before] {
      if (before != nullptr) Finish(before);
      Finish(group);
    });
  }
  if (bug_ == SimBug::kReleasesOneGroupEarly) ArriveEverywhere(held_);
  cluster_.scheduler().MaybeYield();
}

void SimConsumerBase::WaitGroups(int left) {
  cluster_.scheduler().MaybeYield();
  while (static_cast<int>(groups_.size()) > left) {
    Finish(groups_.front());
    groups_.pop_front();
  }
}

void SimConsumerBase::ArriveEverywhere(int stage) {
  for (int rank = 0; rank < cluster_.gemm().cluster; ++rank) {
    if (bug_ == SimBug::kReleasesOwnBlockAlone && rank != rank_) continue;
    for (int warp = 0; warp < 4; ++warp) {
      SimBarrier* const barrier = &cluster_.block(rank).empty[static_cast<size_t>(stage)];
      const Timing timing = rank == rank_ ? Timing::kEarly : cluster_.timings().arrivals;
      cluster_.scheduler().Post(timing, [this, barrier] { cluster_.Arrive(*barrier); });
    }
  }
}

void SimConsumerBase::Release(int stage) {
  if (bug_ != SimBug::kReleasesOneGroupEarly) ArriveEverywhere(stage);
  cluster_.scheduler().MaybeYield();
}

}  // namespace bwrt::kernels
