#include "kernels/cpu_info.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace bwrt::kernels {
namespace {

class CpuInfoTest : public testing::Test {
 protected:
  CpuInfoTest() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    root_ = std::filesystem::path(testing::TempDir()) / (std::string("cpu_info_") + test->name());
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  ~CpuInfoTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  void WriteCpus(const std::string& flags, int processors) {
    std::string text;
    for (int i = 0; i < processors; ++i) {
      text += "processor\t: " + std::to_string(i) + "\nmodel name\t: Some: CPU 9\nflags\t\t: " + flags + "\n\n";
    }
    Write("proc/cpuinfo", text);
  }
  void WriteCache(int index, const std::string& level, const std::string& type, const std::string& size,
                  const std::string& sharers = "0") {
    const std::string folder = "sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    Write(folder + "level", level + "\n");
    Write(folder + "type", type + "\n");
    Write(folder + "size", size + "\n");
    Write(folder + "shared_cpu_list", sharers + "\n");
  }

  std::filesystem::path root_;
};

TEST_F(CpuInfoTest, ReadsModelCoresAndCache) {
  WriteCpus("fpu avx avx2 fma avx512f avx512vl avx512_bf16", 3);
  WriteCache(0, "1", "Data", "32K");
  WriteCache(1, "1", "Instruction", "32K");
  WriteCache(2, "2", "Unified", "1024K");
  WriteCache(3, "3", "Unified", "32M");
  const CpuInfo info = Probe(root_);
  EXPECT_EQ(info.model, "Some: CPU 9");
  EXPECT_EQ(info.isa, "avx512_bf16");
  EXPECT_EQ(info.l2_bytes, 1 << 20);
  EXPECT_EQ(info.cores, 3);
}

TEST_F(CpuInfoTest, NamesTheBestIsa) {
  WriteCpus("avx2 fma avx512f avx512vl", 1);
  EXPECT_EQ(Probe(root_).isa, "avx512");
  WriteCpus("avx2 fma avx512f", 1);
  EXPECT_EQ(Probe(root_).isa, "avx2");
  WriteCpus("fma avx2", 1);
  EXPECT_EQ(Probe(root_).isa, "avx2");
  WriteCpus("avx2x xfma avx2", 1);
  EXPECT_EQ(Probe(root_).isa, "baseline");
  WriteCpus("sse2", 1);
  EXPECT_EQ(Probe(root_).isa, "baseline");
}

TEST_F(CpuInfoTest, UnderstandsMegabytesAndNothingElse) {
  WriteCache(0, "2", "Unified", "2M");
  EXPECT_EQ(Probe(root_).l2_bytes, 2 << 20);
  for (const std::string size : {"", "K", "-1K", "12Q", "99999999999999999999K"}) {
    WriteCache(0, "2", "Unified", size);
    EXPECT_EQ(Probe(root_).l2_bytes, 0) << size;
  }
}

TEST_F(CpuInfoTest, FindsTheLastCacheBeforeMemoryAndWhoSharesIt) {
  WriteCache(0, "1", "Data", "32K");
  WriteCache(1, "2", "Unified", "1M", "0,4");
  EXPECT_EQ(Probe(root_).last_level.level, 2);
  EXPECT_EQ(Probe(root_).last_level.bytes, 1 << 20);
  EXPECT_EQ(Probe(root_).last_level.processors, 2);
  WriteCache(2, "3", "Unified", "32M", "0-3,8,16-17");
  EXPECT_EQ(Probe(root_).last_level.level, 3);
  EXPECT_EQ(Probe(root_).last_level.bytes, 32 << 20);
  EXPECT_EQ(Probe(root_).last_level.processors, 7);
  WriteCache(2, "3", "Unified", "");
  EXPECT_EQ(Probe(root_).last_level.level, 2) << "a cache of unknown size is none";
  WriteCache(2, "3", "Instruction", "64M");
  EXPECT_EQ(Probe(root_).last_level.level, 2);
}

TEST_F(CpuInfoTest, AListOfProcessorsThatIsNoneNamesOne) {
  for (const std::string list : {"", "x", "3-", "-3", "5-2", "0-99999999", "0,,1", "0-1-2"}) {
    WriteCache(0, "3", "Unified", "32M", list);
    EXPECT_EQ(Probe(root_).last_level.processors, 1) << list;
  }
}

TEST_F(CpuInfoTest, ReadsVendorFamilyAndModel) {
  Write("proc/cpuinfo",
        "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n");
  const CpuInfo info = Probe(root_);
  EXPECT_EQ(info.vendor, "AuthenticAMD");
  EXPECT_EQ(info.family, 25u);
  EXPECT_EQ(info.model_number, 17u);
  EXPECT_EQ(info.model, "AMD EPYC");
  Write("proc/cpuinfo", "processor\t: 0\ncpu family\t: six\nmodel\t: -1\n");
  EXPECT_EQ(Probe(root_).family, 0u);
  EXPECT_EQ(Probe(root_).model_number, 0u);
}

TEST_F(CpuInfoTest, MissingFilesLeaveTheUnknowns) {
  const CpuInfo info = Probe(root_);
  EXPECT_EQ(info.vendor, "");
  EXPECT_EQ(info.last_level.level, 0);
  EXPECT_EQ(info.last_level.bytes, 0);
  EXPECT_EQ(info.last_level.processors, 1);
  EXPECT_EQ(info.model, "unknown");
  EXPECT_EQ(info.isa, "baseline");
  EXPECT_EQ(info.l2_bytes, 0);
  EXPECT_EQ(info.cores, 1);
}

TEST_F(CpuInfoTest, ProbesThisHost) { EXPECT_GE(Probe().cores, 1); }

}  // namespace
}  // namespace bwrt::kernels
