#include "server/process_metrics.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace bwrt::server {
namespace {

namespace fs = std::filesystem;

std::map<std::string, double> Values(const ProcessMetrics& metrics) {
  std::map<std::string, double> values;
  for (const auto& family : metrics.Collect()) {
    EXPECT_EQ(family.metric.size(), 1u);
    const auto& metric = family.metric[0];
    const bool counter = family.type == prometheus::MetricType::Counter;
    values[family.name] = counter ? metric.counter.value : metric.gauge.value;
  }
  return values;
}

TEST(ProcessMetricsTest, ReadsProc) {
  const std::string proc = testing::TempDir() + "/proc";
  fs::remove_all(proc);
  fs::create_directories(proc + "/self/fd");
  for (const char* fd : {"0", "1", "2"}) std::ofstream(proc + "/self/fd/" + fd) << "";
  // Fields 14, 15: 300 and 200 ticks; 22: started 5000 ticks after boot; 23: 1e6 bytes; 24: 10 pages. The name
  // does its best to confuse.
  std::ofstream(proc + "/self/stat")
      << "12 (a) b) c (d) S 1 1 1 0 -1 4194304 1 0 0 0 300 200 0 0 20 0 9 0 5000 1000000 10 99 1 1\n";
  std::ofstream(proc + "/self/limits")
      << "Limit                     Soft Limit           Hard Limit           Units     \n"
         "Max open files            1024                 524288               files     \n";
  std::ofstream(proc + "/stat") << "cpu 1 2 3\nbtime 1700000000\nprocesses 5\n";

  const double tick = 1.0 / static_cast<double>(sysconf(_SC_CLK_TCK));
  const auto values = Values(ProcessMetrics(proc));
  ASSERT_EQ(values.size(), 6u);
  EXPECT_DOUBLE_EQ(values.at("process_cpu_seconds_total"), 500 * tick);
  EXPECT_DOUBLE_EQ(values.at("process_virtual_memory_bytes"), 1e6);
  EXPECT_DOUBLE_EQ(values.at("process_resident_memory_bytes"), 10 * static_cast<double>(sysconf(_SC_PAGESIZE)));
  EXPECT_DOUBLE_EQ(values.at("process_start_time_seconds"), 1.7e9 + 5000 * tick);
  EXPECT_DOUBLE_EQ(values.at("process_open_fds"), 3);
  EXPECT_DOUBLE_EQ(values.at("process_max_fds"), 1024);
  fs::remove_all(proc);
}

TEST(ProcessMetricsTest, WhatCannotBeReadIsAbsent) { EXPECT_TRUE(Values(ProcessMetrics("/no/such/proc")).empty()); }

TEST(ProcessMetricsTest, ThisProcess) {
  const auto values = Values(ProcessMetrics());
  EXPECT_GT(values.at("process_resident_memory_bytes"), 1e5);
  EXPECT_GT(values.at("process_virtual_memory_bytes"), values.at("process_resident_memory_bytes"));
  EXPECT_GE(values.at("process_open_fds"), 3);
  EXPECT_GE(values.at("process_cpu_seconds_total"), 0);
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  EXPECT_LE(values.at("process_start_time_seconds"), now + 2);
}

}  // namespace
}  // namespace bwrt::server
