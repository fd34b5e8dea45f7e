// BareGpu: what the same GPU does without any of ours: cuBLASLt, copies, and nothing else. Built with the CUDA toolkit.
#ifndef BWRT_TESTS_BENCH_GPU_BARE_GPU_H_
#define BWRT_TESTS_BENCH_GPU_BARE_GPU_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bwrt::bench {

// C [m, n] = A [m, k] @ W in bf16, W stored [n, k], with the fastest algorithm that cuBLASLt's heuristics name.
class BareMatmul {
 public:
  virtual ~BareMatmul() = default;
  // Runs it once; seconds between an event before and one behind it.
  virtual double Run() = 0;
  virtual int candidates() const = 0;
};

class BareGpu {
 public:
  virtual ~BareGpu() = default;
  // Throws when there is no GPU or no cuBLASLt.
  static std::unique_ptr<BareGpu> Open(int ordinal);

  // Of random operands; each candidate is timed first, and the one with the smallest median kept.
  virtual std::unique_ptr<BareMatmul> MakeMatmul(int64_t m, int64_t n, int64_t k, const std::vector<uint16_t>& a,
                                                 const std::vector<uint16_t>& w) = 0;
  // Bytes read and bytes written a second by a copy within the device: the median of some copies of `bytes`.
  virtual double CopyBandwidth(int64_t bytes) = 0;
  // Bytes a second from pinned host memory.
  virtual double PinnedUpload(int64_t bytes) = 0;
};

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GPU_BARE_GPU_H_
