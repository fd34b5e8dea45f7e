#include "client/gpu_l2.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace bwrt::client {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

constexpr GpuL2 kGpus[] = {
    // NVIDIA A100 Tensor Core GPU Architecture (whitepaper, 2020), table 4: 40960 KB, 108 SMs; 40 and 80 GB alike.
    {"a100", 40 * kMiB, 108},
    // What the driver reports of a B200: 126.50 MB and 148 SMs in github.com/pytorch/ao, pull request 4002 (2026).
    {"b200", 253 * kMiB / 2, 148},
    // NVIDIA H100 Tensor Core GPU Architecture (whitepaper, 2022), table 3: 50 MB; 132 SMs on SXM5, 114 on PCIe.
    {"h100", 50 * kMiB, 132},
    {"h100-pcie", 50 * kMiB, 114},
    // The full 60 MB of GH100 (the same whitepaper; an H100 has 50 of it enabled), 132 SMs: what the driver reports of
    // an H200, as PyTorch's get_device_properties shows it.
    {"h200", 60 * kMiB, 132},
    // NVIDIA Tesla V100 GPU Architecture (whitepaper, 2017), table 1: 6144 KB, 80 SMs.
    {"v100", 6 * kMiB, 80},
};

}  // namespace

std::optional<GpuL2> FindGpuL2(absl::string_view name) {
  for (const GpuL2& gpu : kGpus) {
    if (absl::EqualsIgnoreCase(gpu.name, name)) return gpu;
  }
  return std::nullopt;
}

std::string GpuL2Names() {
  return absl::StrJoin(kGpus, ", ", [](std::string* out, const GpuL2& gpu) { absl::StrAppend(out, gpu.name); });
}

}  // namespace bwrt::client
