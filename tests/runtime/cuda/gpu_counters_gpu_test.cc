// The hardware counters of a real GPU, through the real plugin: what they say while waves run and while none do.
//
// For a machine with a GPU; skips where there is none. Prints what was counted. BWRT_CUDA_PLUGIN names another plugin.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "runtime/cuda_plugin.h"
#include "runtime/cuda_plugin_abi.h"

namespace bwrt::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kInterval{500};

class GpuCountersTest : public ::testing::Test {
 protected:
  // A compute-bound bf16 wave whose weights lie on the GPU.
  static constexpr int64_t kM = 4096;
  static constexpr int64_t kN = 16384;
  static constexpr int64_t kK = 8192;

  void SetUp() override {
    const char* const given = std::getenv("BWRT_CUDA_PLUGIN");
    const auto table = CudaPlugin::Load(given == nullptr ? "runtime/libbwrt_cuda.so" : given);
    ASSERT_TRUE(table.ok()) << table.status();
    table_ = *table;
    BwrtCudaOptions options{};
    options.size = sizeof(options);
    if (const int32_t code = table_->open(&options, &device_, &error_); code != BWRT_CUDA_OK) {
      ASSERT_TRUE(code == BWRT_CUDA_NO_DRIVER || code == BWRT_CUDA_NO_DEVICE) << error_.text;
      GTEST_SKIP() << error_.text;
    }
    info_.size = sizeof(info_);
    table_->get_info(device_, &info_);
  }
  ~GpuCountersTest() override {
    if (device_ == nullptr) return;
    table_->free_buffer(device_, w_);
    table_->close(device_);
  }

  void MakeWave() {
    // 0.5 in bf16, here and there negative.
    a_.resize(kM * kK);
    for (size_t i = 0; i < a_.size(); ++i) a_[i] = i % 3 == 0 ? 0xbf00 : 0x3f00;
    c_.resize(kM * kN);
    std::vector<uint16_t> w(kK * kN);
    for (size_t i = 0; i < w.size(); ++i) w[i] = i % 5 == 0 ? 0xbf00 : 0x3f00;
    const auto bytes = static_cast<int64_t>(w.size() * sizeof(w[0]));
    ASSERT_EQ(table_->allocate(device_, bytes, &w_, &error_), BWRT_CUDA_OK) << error_.text;
    ASSERT_EQ(table_->upload(device_, w_, 0, w.data(), bytes, &error_), BWRT_CUDA_OK) << error_.text;
    wave_.size = sizeof(wave_);
    wave_.dtype = wave_.c_dtype = BWRT_CUDA_BF16;
    wave_.m = kM;
    wave_.n = kN;
    wave_.k = kK;
    wave_.bm = 128;
    wave_.bn = 256;
    wave_.bk = 64;
    wave_.stages = 2;
    wave_.cluster_x = wave_.cluster_y = 1;
    wave_.tile_count = (kM / wave_.bm) * (kN / wave_.bn);
    wave_.whole = 1;
    wave_.a = a_.data();
    wave_.a_stride = kK;
    wave_.w_buffer = w_;
    wave_.w_stride = kN;
    wave_.alpha = 1;
    wave_.c = c_.data();
    wave_.c_stride = kN;
  }

  // Runs waves for an interval.
  void Work() {
    const BwrtCudaProgress progress{sizeof(progress), nullptr, [](void*, int64_t, int64_t) { return 0; }};
    const auto end = steady_clock::now() + kInterval;
    while (steady_clock::now() < end) {
      BwrtCudaReport report{};
      report.size = sizeof(report);
      ASSERT_EQ(table_->run(device_, &wave_, &progress, &report, &error_), BWRT_CUDA_OK) << error_.text;
    }
  }

  BwrtCudaCounters Start(BwrtCudaCounterMode mode) {
    const BwrtCudaCounterOptions options{sizeof(options), mode, std::chrono::nanoseconds(kInterval).count()};
    EXPECT_EQ(table_->start_counters(device_, &options, &error_), BWRT_CUDA_OK) << error_.text;
    return Sample("opened");
  }
  BwrtCudaCounters Sample(const char* what) {
    BwrtCudaCounters out{};
    out.size = sizeof(out);
    EXPECT_EQ(table_->sample_counters(device_, &out, &error_), BWRT_CUDA_OK) << error_.text;
    std::printf("%-8s tensor %6.3f  sm %6.3f  dram %6.3f  l2 hit %6.3f  %s\n", what,
                static_cast<double>(out.tensor_active.ratio), static_cast<double>(out.sm_active.ratio),
                static_cast<double>(out.dram_throughput.ratio), static_cast<double>(out.l2_hit.ratio), out.text);
    return out;
  }

  // What must hold of a source that counts, in an interval with work and in one without.
  // After MakeWave, which may take longer than a source waits to be read.
  void CheckBothIntervals(BwrtCudaCounterSource source) {
    ASSERT_NO_FATAL_FAILURE(Work());  // Warms up.
    (void)Sample("warm-up");
    ASSERT_NO_FATAL_FAILURE(Work());
    const BwrtCudaCounters busy = Sample("waves");
    // Time is what is measured here: an interval without work.
    std::this_thread::sleep_for(kInterval);
    const BwrtCudaCounters idle = Sample("idle");
    for (const BwrtCudaCounter& counter : {busy.tensor_active, busy.sm_active, busy.dram_throughput}) {
      EXPECT_EQ(counter.source, source);
      EXPECT_GT(counter.ratio, 0);
      EXPECT_LE(counter.ratio, 1);
    }
    EXPECT_GT(busy.sm_active.ratio, 0.02F);
    EXPECT_GT(busy.tensor_active.ratio, 0.25F * busy.sm_active.ratio) << "the wave is compute-bound";
    EXPECT_LT(idle.tensor_active.ratio, 0.1F * busy.tensor_active.ratio);
    if (source == BWRT_CUDA_SOURCE_PM) {
      EXPECT_EQ(busy.l2_hit.source, source);
      EXPECT_GT(busy.l2_hit.ratio, 0.2F) << "tiles share what they read";
      EXPECT_LE(busy.l2_hit.ratio, 1);
    }
  }

  const BwrtCudaTable* table_ = nullptr;
  BwrtCudaDevice* device_ = nullptr;
  BwrtCudaBuffer* w_ = nullptr;
  BwrtCudaInfo info_{};
  BwrtCudaError error_{};
  BwrtCudaWave wave_{};
  std::vector<uint16_t> a_;
  std::vector<uint16_t> c_;
};

TEST_F(GpuCountersTest, GpmCountsWithoutRights) {
  ASSERT_NO_FATAL_FAILURE(MakeWave());
  const BwrtCudaCounters opened = Start(BWRT_CUDA_COUNTERS_GPM);
  if (info_.compute_major < 9 || absl::StrContains(opened.text, "MIG")) {
    EXPECT_EQ(opened.counting, 0);
    GTEST_SKIP() << opened.text;
  }
  ASSERT_EQ(opened.counting, 1) << opened.text;
  CheckBothIntervals(BWRT_CUDA_SOURCE_GPM);
}

TEST_F(GpuCountersTest, PmSamplingCountsWhereItMay) {
  ASSERT_NO_FATAL_FAILURE(MakeWave());
  const BwrtCudaCounters opened = Start(BWRT_CUDA_COUNTERS_PM);
  for (const char* why : {"insufficient privileges", "hardware busy", "no libcupti", "not on this GPU"}) {
    if (absl::StrContains(opened.text, why)) GTEST_SKIP() << opened.text;
  }
  ASSERT_EQ(opened.counting, 1) << opened.text;
  CheckBothIntervals(BWRT_CUDA_SOURCE_PM);
  // And again, once the counters have been given back.
  table_->stop_counters(device_);
  EXPECT_STREQ(Start(BWRT_CUDA_COUNTERS_PM).text, opened.text);
}

}  // namespace
}  // namespace bwrt::runtime
