#ifndef BWRT_KERNELS_CPU_INFO_H_
#define BWRT_KERNELS_CPU_INFO_H_

// What the host's CPU is, as far as capabilities and the cache model need it. A value; Probe is
// thread-safe.

#include <cstdint>
#include <filesystem>
#include <string>

namespace bwrt::kernels {

struct CpuCache {
  int level = 0;       // 3 for an L3; 0 where not known.
  int64_t bytes = 0;   // 0 where not known.
  int processors = 1;  // Logical processors that share it; at least 1.
};

struct CpuInfo {
  std::string model;          // As the kernel names it; "unknown" where it does not.
  std::string isa;            // The best of "avx512_bf16", "avx512", "avx2", else "baseline".
  int64_t l2_bytes = 0;       // L2 cache of one core; 0 where not known.
  CpuCache last_level = {};   // The last cache before memory, as processor 0 sees it.
  int cores = 1;              // Logical processors that are online; at least 1.
  std::string vendor = {};    // "AuthenticAMD", "GenuineIntel"; empty where not known.
  unsigned family = 0;        // Of CPUID, with the extended family added; 0 where not known.
  unsigned model_number = 0;  // Of CPUID, with the extended model; 0 where not known.
};

// Reads proc/cpuinfo and sys/devices/system/cpu below `root`. Never fails: what cannot be read
// keeps its "not known" value.
CpuInfo Probe(const std::filesystem::path& root = "/");

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_CPU_INFO_H_
