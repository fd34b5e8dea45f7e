// CuptiHost: CUPTI's profiler host, which knows a chip's metrics: it makes a configuration out of their names, and
// values out of what was counted. It needs no GPU.
//
// Not thread-safe. The library must outlive it.
#ifndef BWRT_RUNTIME_CUDA_CUPTI_HOST_H_
#define BWRT_RUNTIME_CUDA_CUPTI_HOST_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/cuda/cuda_counter_source.h"
#include "runtime/cuda/cupti_library.h"

namespace bwrt::cuda {

class CuptiHost {
 public:
  // For PM sampling. `chip`: "GH100". `availability`: what the GPU at hand can count; null: all that the chip can.
  // MISSING where the chip or a metric is not known.
  static CounterStatus Create(const CuptiLibrary* cupti, const std::string& chip, const uint8_t* availability,
                              std::vector<const char*> metrics, std::unique_ptr<CuptiHost>* to);
  ~CuptiHost();
  CuptiHost(const CuptiHost&) = delete;
  CuptiHost& operator=(const CuptiHost&) = delete;

  // How to count the metrics.
  const std::vector<uint8_t>& config() const { return config_; }
  // How often a kernel would have to be replayed for that; PM sampling, which replays nothing, takes 1 alone.
  size_t passes() const { return passes_; }
  std::vector<const char*>& metrics() { return metrics_; }
  // Values of a sample, in the metrics' order.
  CounterStatus Evaluate(const std::vector<uint8_t>& counter_data, size_t sample, double* values);

 private:
  CuptiHost(const CuptiLibrary* cupti, std::vector<const char*> metrics);
  CounterStatus Open(const std::string& chip, const uint8_t* availability);

  const CuptiLibrary* const cupti_;
  std::vector<const char*> metrics_;  // CUPTI takes them as not const.
  CUpti_Profiler_Host_Object* host_ = nullptr;
  std::vector<uint8_t> config_;
  size_t passes_ = 0;
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUPTI_HOST_H_
