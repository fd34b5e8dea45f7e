#include "kernels/cache_events.h"

#include <gtest/gtest.h>
#include <linux/perf_event.h>

#include <vector>

namespace bwrt::kernels {
namespace {

CpuInfo Cpu(const char* vendor, unsigned family, unsigned model) {
  CpuInfo cpu;
  cpu.vendor = vendor;
  cpu.family = family;
  cpu.model_number = model;
  return cpu;
}

// What perf_event_open(2) says of PERF_TYPE_HW_CACHE: cache | operation << 8 | result << 16.
constexpr PerfEvent kLastLevelReads = {PERF_TYPE_HW_CACHE, 0x000002};
constexpr PerfEvent kLastLevelMisses = {PERF_TYPE_HW_CACHE, 0x010002};

void ExpectOnlyTheLastLevel(const CpuInfo& cpu) {
  const std::vector<CacheEvents> choices = CacheEventsOf(cpu);
  ASSERT_EQ(choices.size(), 1u);
  EXPECT_EQ(choices[0].level, CacheLevel::kLastLevel);
  EXPECT_EQ(choices[0].reads, kLastLevelReads);
  EXPECT_EQ(choices[0].misses, kLastLevelMisses);
  EXPECT_EQ(choices[0].name.find("L2"), std::string_view::npos) << choices[0].name << ": it is no L2";
}

TEST(CacheEventsTest, EveryZenCountsItsL2) {
  for (const unsigned family : {0x17u, 0x19u, 0x1Au}) {
    const std::vector<CacheEvents> choices = CacheEventsOf(Cpu("AuthenticAMD", family, 1));
    ASSERT_EQ(choices.size(), 2u) << family;
    EXPECT_EQ(choices[0].level, CacheLevel::kL2);
    EXPECT_EQ(choices[0].reads, (PerfEvent{PERF_TYPE_RAW, 0xF864}));
    EXPECT_EQ(choices[0].misses, (PerfEvent{PERF_TYPE_RAW, 0x0864}));
    EXPECT_EQ(choices[1].level, CacheLevel::kLastLevel);
  }
}

TEST(CacheEventsTest, IntelFromHaswellOnCountsItsL2) {
  for (const unsigned model : {0x3Cu, 0x4Fu, 0x55u, 0x6Au, 0x8Fu, 0xCFu}) {
    const std::vector<CacheEvents> choices = CacheEventsOf(Cpu("GenuineIntel", 6, model));
    ASSERT_EQ(choices.size(), 2u) << model;
    EXPECT_EQ(choices[0].level, CacheLevel::kL2);
    EXPECT_EQ(choices[0].reads, (PerfEvent{PERF_TYPE_RAW, 0xE124}));
    EXPECT_EQ(choices[0].misses, (PerfEvent{PERF_TYPE_RAW, 0x2124}));
  }
}

TEST(CacheEventsTest, OthersCountTheLastLevel) {
  ExpectOnlyTheLastLevel(Cpu("AuthenticAMD", 0x15, 1));
  ExpectOnlyTheLastLevel(Cpu("GenuineIntel", 6, 0x97));  // Hybrid: its two kinds of cores have different events.
  ExpectOnlyTheLastLevel(Cpu("GenuineIntel", 15, 0x3C));
  ExpectOnlyTheLastLevel(Cpu("AuthenticAMD", 6, 0x3C));
  ExpectOnlyTheLastLevel(Cpu("GenuineIntel", 0x19, 0x11));
  ExpectOnlyTheLastLevel(CpuInfo{});
}

}  // namespace
}  // namespace bwrt::kernels
