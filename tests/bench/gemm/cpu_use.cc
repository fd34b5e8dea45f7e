#include "tests/bench/gemm/cpu_use.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <string>

namespace bwrt::bench {

CpuUse::CpuUse() : before_(Used()) {}

CpuUse::Seconds CpuUse::Used() {
  std::ifstream file("/proc/stat");
  std::string name;                  // "cpu": the sum of all processors.
  std::array<double, 8> ticks = {};  // user, nice, system, idle, iowait, irq, softirq, steal
  file >> name;
  for (double& tick : ticks) file >> tick;
  timespec own{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
  double all = 0;
  for (const size_t busy : {0, 1, 2, 5, 6, 7}) all += ticks[busy];
  return {all / static_cast<double>(sysconf(_SC_CLK_TCK)),
          static_cast<double>(own.tv_sec) + static_cast<double>(own.tv_nsec) * 1e-9};
}

double CpuUse::OthersShare() const {
  const Seconds now = Used();
  const double others = (now.all - before_.all) - (now.own - before_.own);
  return std::max(0.0, others / (watch_.seconds() * static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN))));
}

}  // namespace bwrt::bench
