#include "tests/bench/gpu/gpu_device.h"

#include <algorithm>
#include <random>
#include <utility>

#include "tests/bench/require.h"

namespace bwrt::bench {
namespace {

constexpr int64_t kBf16 = 2;

void Check(int32_t code, const BwrtCudaError& error) { Require(code == BWRT_CUDA_OK, error.text); }

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

uint32_t Packed(int64_t m, int64_t n) { return static_cast<uint32_t>(m << 16 | n); }

int32_t GoOn(void* /*context*/, int64_t /*finished*/, int64_t /*started*/) { return 0; }

}  // namespace

GpuDevice::GpuDevice(const BwrtCudaTable* table, const BwrtCudaOptions& options) : table_(table) {
  BwrtCudaOptions complete = options;
  complete.size = sizeof(complete);
  BwrtCudaError error;
  Check(table_->open(&complete, &device_, &error), error);
  info_.size = sizeof(info_);
  table_->get_info(device_, &info_);
}

GpuDevice::~GpuDevice() { table_->close(device_); }

BwrtCudaReport GpuDevice::Run(const BwrtCudaWave& wave) const {
  const BwrtCudaProgress progress = {sizeof(progress), nullptr, &GoOn};
  BwrtCudaReport report{};
  report.size = sizeof(report);
  BwrtCudaError error;
  Check(table_->run(device_, &wave, &progress, &report, &error), error);
  return report;
}

void GpuDevice::Upload(BwrtCudaBuffer* buffer, int64_t offset, const void* from, int64_t bytes) const {
  BwrtCudaError error;
  Check(table_->upload(device_, buffer, offset, from, bytes, &error), error);
}

BwrtCudaBuffer* GpuDevice::Allocate(int64_t bytes) const {
  BwrtCudaBuffer* buffer = nullptr;
  BwrtCudaError error;
  Check(table_->allocate(device_, bytes, &buffer, &error), error);
  return buffer;
}

void GpuDevice::Free(BwrtCudaBuffer* buffer) const { table_->free_buffer(device_, buffer); }

std::vector<uint32_t> GroupedOrder(const GpuShape& shape, const GpuTile& tile, int64_t group) {
  const int64_t rows = CeilDiv(shape.m, tile.bm);
  const int64_t cols = CeilDiv(shape.n, tile.bn);
  std::vector<uint32_t> order;
  order.reserve(static_cast<size_t>(rows * cols));
  for (int64_t first = 0; first < rows; first += group) {
    for (int64_t n = 0; n < cols; ++n) {
      for (int64_t m = first; m < std::min(first + group, rows); ++m) order.push_back(Packed(m, n));
    }
  }
  return order;
}

std::vector<uint32_t> RandomOrder(const GpuShape& shape, const GpuTile& tile, uint64_t seed) {
  std::vector<uint32_t> order = GroupedOrder(shape, tile, 1);
  std::mt19937_64 random(seed);
  std::shuffle(order.begin(), order.end(), random);
  return order;
}

std::vector<uint16_t> RandomBf16(int64_t count, uint64_t seed) {
  std::vector<uint16_t> values(static_cast<size_t>(count));
  uint64_t state = seed * 2 + 1;
  for (uint16_t& value : values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    // Sign and fraction are random, the exponent is that of [1/8, 1).
    const auto bits = static_cast<uint32_t>(state >> 40);
    value = static_cast<uint16_t>((bits & 0x807fu) | ((124u + (bits >> 8) % 3u) << 7));
  }
  return values;
}

GpuWave::GpuWave(const GpuDevice* device, const GpuShape& shape, const GpuTile& tile, std::vector<uint32_t> order)
    : device_(device),
      order_(std::move(order)),
      a_(RandomBf16(shape.m * shape.k, 1)),
      c_(static_cast<size_t>(shape.m * shape.n)),
      w_(device, shape.n * shape.k * kBf16) {
  const std::vector<uint16_t> w = RandomBf16(shape.n * shape.k, 2);
  device_->Upload(w_.get(), 0, w.data(), shape.n * shape.k * kBf16);
  wave_.size = sizeof(wave_);
  wave_.dtype = wave_.c_dtype = BWRT_CUDA_BF16;
  wave_.m = shape.m;
  wave_.n = shape.n;
  wave_.k = shape.k;
  wave_.bm = tile.bm;
  wave_.bn = tile.bn;
  wave_.bk = tile.bk;
  wave_.stages = tile.stages;
  wave_.cluster_x = tile.cluster_x;
  wave_.cluster_y = tile.cluster_y;
  wave_.tiles = order_.data();
  wave_.tile_count = static_cast<int64_t>(order_.size());
  wave_.whole = 1;
  wave_.a = a_.data();
  wave_.a_stride = shape.k;
  wave_.w_buffer = w_.get();
  wave_.w_stride = shape.k;
  wave_.w_transposed = 1;
  wave_.alpha = 1;
  wave_.c = c_.data();
  wave_.c_stride = shape.n;
}

BwrtCudaReport GpuWave::Run() { return device_->Run(wave_); }

}  // namespace bwrt::bench
