#include "client/machine_info.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace bwrt::client {
namespace {

TEST(MachineInfoTest, ReadsWhatTheKernelSays) {
  const std::string root = testing::TempDir() + "machine";
  std::filesystem::create_directories(root + "/proc");
  std::ofstream(root + "/proc/cpuinfo") << "processor\t: 0\nvendor_id\t: X\nmodel name\t: A CPU @ 1: fast\n"
                                        << "processor\t: 1\nmodel name\t: Another\n";
  std::ofstream(root + "/proc/meminfo") << "MemTotal:       16384 kB\nMemFree: 1 kB\nMemAvailable:    8192 kB\n";
  const BenchMachine machine = ReadMachine(root);
  EXPECT_EQ(machine.cpu, "A CPU @ 1: fast");
  EXPECT_EQ(machine.memory_bytes, 16 << 20);
  EXPECT_EQ(AvailableMemory(root), 8 << 20);
  EXPECT_GE(machine.cores, 1);
  EXPECT_FALSE(machine.kernel.empty());
}

TEST(MachineInfoTest, WhatIsNotThereIsNotKnown) {
  const BenchMachine machine = ReadMachine(testing::TempDir() + "nowhere");
  EXPECT_EQ(machine.cpu, "");
  EXPECT_EQ(machine.memory_bytes, 0);
  EXPECT_EQ(AvailableMemory(testing::TempDir() + "nowhere"), 0);
  EXPECT_GE(machine.cores, 1);
}

TEST(MachineInfoTest, ThisMachine) {
  EXPECT_GT(ReadMachine().memory_bytes, AvailableMemory());
  EXPECT_GT(AvailableMemory(), 0);
}

TEST(MachineInfoTest, LibrariesHaveVersions) {
  const auto versions = LibraryVersions();
  for (const char* name : {"grpc", "protobuf"}) {
    ASSERT_TRUE(versions.contains(name)) << name;
    EXPECT_NE(versions.at(name).find('.'), std::string::npos) << versions.at(name);
  }
}

}  // namespace
}  // namespace bwrt::client
