// GpuDevice: a GPU through the table of the CUDA plugin, as bwrtd drives it, but in this process and without a queue.
#ifndef BWRT_TESTS_BENCH_GPU_GPU_DEVICE_H_
#define BWRT_TESTS_BENCH_GPU_GPU_DEVICE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/cuda_plugin_abi.h"

namespace bwrt::bench {

// Every call throws with the plugin's text when it fails.
class GpuDevice {
 public:
  GpuDevice(const BwrtCudaTable* table, const BwrtCudaOptions& options);
  ~GpuDevice();
  GpuDevice(const GpuDevice&) = delete;
  GpuDevice& operator=(const GpuDevice&) = delete;

  const BwrtCudaInfo& info() const { return info_; }
  BwrtCudaReport Run(const BwrtCudaWave& wave) const;
  void Upload(BwrtCudaBuffer* buffer, int64_t offset, const void* from, int64_t bytes) const;
  BwrtCudaBuffer* Allocate(int64_t bytes) const;
  void Free(BwrtCudaBuffer* buffer) const;

 private:
  const BwrtCudaTable* const table_;
  BwrtCudaDevice* device_ = nullptr;
  BwrtCudaInfo info_{};
};

// A piece of device memory.
class GpuBuffer {
 public:
  GpuBuffer(const GpuDevice* device, int64_t bytes) : device_(device), buffer_(device->Allocate(bytes)) {}
  ~GpuBuffer() { device_->Free(buffer_); }
  GpuBuffer(const GpuBuffer&) = delete;
  GpuBuffer& operator=(const GpuBuffer&) = delete;
  BwrtCudaBuffer* get() const { return buffer_; }

 private:
  const GpuDevice* const device_;
  BwrtCudaBuffer* const buffer_;
};

struct GpuShape {
  int64_t m;
  int64_t n;
  int64_t k;
};

struct GpuTile {
  int32_t bm = 128;
  int32_t bn = 256;
  int32_t bk = 64;
  int32_t stages = 4;
  int32_t cluster_x = 2;
  int32_t cluster_y = 1;
};

// The order of all tiles of the shape's grid, as m << 16 | n.
std::vector<uint32_t> GroupedOrder(const GpuShape& shape, const GpuTile& tile, int64_t group);
std::vector<uint32_t> RandomOrder(const GpuShape& shape, const GpuTile& tile, uint64_t seed);

// A wave of bf16 random numbers with its weights on the device: C [m, n] = A [m, k] @ W, W stored [n, k], which is how
// frameworks keep a linear layer's.
class GpuWave {
 public:
  GpuWave(const GpuDevice* device, const GpuShape& shape, const GpuTile& tile, std::vector<uint32_t> order);

  // Runs it once.
  BwrtCudaReport Run();
  // As the last run left it, in bf16.
  const std::vector<uint16_t>& c() const { return c_; }

 private:
  const GpuDevice* const device_;
  const std::vector<uint32_t> order_;
  std::vector<uint16_t> a_;
  std::vector<uint16_t> c_;
  GpuBuffer w_;
  BwrtCudaWave wave_{};
};

// bf16 numbers in (-1, 1), the same for the same seed.
std::vector<uint16_t> RandomBf16(int64_t count, uint64_t seed);

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GPU_GPU_DEVICE_H_
