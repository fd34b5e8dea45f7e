#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/kernel_dtype.h"
#include "runtime/cpu_device.h"
#include "tests/runtime/cpu_device_fixture.h"
#include "tests/support/fake_perf_events.h"

namespace bwrt::runtime {
namespace {

using kernels::DType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// What the device says of itself, of a wave before it runs, and of one that ran.

std::vector<std::string> Downgraded(const EffectiveSpec& effective) {
  std::vector<std::string> fields;
  for (const Downgrade& d : effective.downgrades) fields.push_back(d.field);
  return fields;
}

TEST_F(CpuDeviceTest, DescribesItself) {
  EXPECT_EQ(device_->info().name, "cpu");
  EXPECT_THAT(device_->info().dtypes,
              ElementsAre(DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kF8E5M2));
  const bool bf16 = kernels::KernelDType(DType::kBF16) == DType::kBF16;
  EXPECT_EQ(device_->info().kernels.size(), bf16 ? 2u : 1u) << "one for each type that it multiplies";
  EXPECT_THAT(device_->info().description, HasSubstr("test"));
}

TEST_F(CpuDeviceTest, NothingIsSilentlyIgnored) {
  const Wave wave = Validated(WaveRequestBuilder().Tokens(2, 1).Edit([](WaveRequest& r) {
    r.spec.tmem_columns = 8;
    r.spec.stage_hint = 4;
  }));
  const EffectiveSpec effective = device_->Plan(wave);
  EXPECT_EQ(effective.device, "cpu");
  EXPECT_EQ(effective.kernel, device_->info().kernels[0]);
  EXPECT_EQ(effective.stages, 1);
  EXPECT_EQ(effective.cluster_x, 1);
  EXPECT_EQ(effective.cluster_y, 1);
  EXPECT_TRUE(effective.traversal_honoured);
  EXPECT_THAT(Downgraded(effective), ElementsAre("spec.stage_hint", "spec.cluster_shape", "spec.tmem_layout"));
  for (const Downgrade& d : effective.downgrades) {
    EXPECT_FALSE(d.reason.empty()) << d.field;
    EXPECT_NE(d.requested, d.executed) << d.field;
  }
  EXPECT_EQ(effective.downgrades[0].requested, "4");
  EXPECT_EQ(effective.downgrades[1].requested, "2,1");
  EXPECT_EQ(effective.downgrades[1].executed, "1,1");
}

// What is called short runs on the thread that serves everybody: nothing may be short that has few flops but costs
// much.
TEST_F(CpuDeviceTest, WavesOfFewFlopsMayStillBeLong) {
  const auto time = [&](int32_t tile, int64_t m, int64_t n, int64_t k) {
    return device_->RoughTime(Validated(WaveRequestBuilder().Tile({tile, tile, 8, 1, 1, 1}).Dims(m, n, k)));
  };
  EXPECT_LT(time(128, 1, 64, 128), std::chrono::microseconds(30));
  EXPECT_GT(time(2, 128, 128, 8), std::chrono::milliseconds(4)) << "4,096 tiles";
  EXPECT_GT(time(128, 20000, 1, 8), std::chrono::milliseconds(1)) << "a column is computed as a panel of 64";
  EXPECT_GT(time(128, 1, 4096, 4096), std::chrono::milliseconds(1)) << "its weights come from memory";
}

TEST_F(CpuDeviceTest, AnotherKStepIsTold) {
  const Wave wave = Validated(WaveRequestBuilder().Tile({16, 16, 16, 1, 1, 1}).Dims(16, 16, 1024));
  const EffectiveSpec effective = device_->Plan(wave);
  ASSERT_THAT(Downgraded(effective), ElementsAre("spec.bk"));
  EXPECT_EQ(effective.downgrades[0].requested, "16");
  EXPECT_EQ(effective.downgrades[0].executed, absl::StrCat(effective.k_step));
}

TEST_F(CpuDeviceTest, AWaveAsItLikesHasNoDowngrades) {
  const Wave wave = Validated(WaveRequestBuilder().Tile({16, 16, 64, 1, 1, 1}).Dims(16, 16, 64));
  EXPECT_THAT(Downgraded(device_->Plan(wave)), IsEmpty());
}

TEST_F(CpuDeviceTest, RunReportsWhatPlanPromised) {
  const Wave wave = Validated(WaveRequestBuilder().Tokens(1, 2));
  Steps steps;
  std::string c;
  const auto report = device_->Run(wave, nullptr, steps, c);
  ASSERT_TRUE(report.ok()) << report.status();
  const EffectiveSpec plan = device_->Plan(wave);
  EXPECT_EQ(Downgraded(report->effective), Downgraded(plan));
  EXPECT_EQ(report->effective.k_step, plan.k_step);
  EXPECT_EQ(report->effective.kernel, plan.kernel);
}

TEST_F(CpuDeviceTest, ReadingsWithoutASourceAreAbsent) {
  // Time stands still, so the share of time in the kernel is not known either.
  const Wave wave = Validated(WaveRequestBuilder().Tokens(0, 2));
  Steps steps;
  std::string c;
  const auto report = device_->Run(wave, nullptr, steps, c);
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report->readings.wgmma_active.has_value());
  EXPECT_FALSE(report->readings.tma_occ.has_value());
  EXPECT_FALSE(report->readings.ring_occ.has_value());
  ASSERT_TRUE(report->readings.l2_hit.has_value());
  EXPECT_EQ(report->readings.l2_hit->source, Source::kModel);
  EXPECT_GT(report->readings.l2_hit->ratio, 0) << "two tiles of a column share W";
  EXPECT_LT(report->readings.l2_hit->ratio, 1);
}

TEST_F(CpuDeviceTest, TimesItsPhasesByTheClock) {
  const Wave wave = Validated(WaveRequestBuilder().Tokens(2, 2));
  Steps steps([&](size_t) {
    clock_.Advance(std::chrono::seconds(10));
    return absl::OkStatus();
  });
  std::string c;
  const auto report = device_->Run(wave, nullptr, steps, c);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->timings.copy, Duration(0));
  EXPECT_EQ(report->timings.compute, std::chrono::seconds(20));
  ASSERT_TRUE(report->readings.wgmma_active.has_value());
  EXPECT_EQ(report->readings.wgmma_active->source, Source::kKernel);
  EXPECT_GE(report->readings.wgmma_active->ratio, 0);
  EXPECT_LE(report->readings.wgmma_active->ratio, 1);
}

TEST(CpuDeviceCreateTest, WithoutAKnownCacheThereIsNoL2Reading) {
  ManualClock clock;
  kernels::CpuInfo cpu;  // last_level.bytes = 0: not known.
  cpu.l2_bytes = 1 << 20;
  auto device = CpuDevice::Create(cpu, &clock);
  if (absl::IsUnavailable(device.status())) GTEST_SKIP() << device.status();
  ASSERT_TRUE(device.ok());
  const WaveValidator validator(TileWhitelist::Default(), false, Limits{});
  const auto wave = validator.Validate(WaveRequestBuilder().Build(), WaveValidator::Mode::kComplete,
                                       *WeightVersion::Empty(), clock.Now());
  ASSERT_TRUE(wave.ok());
  Steps steps;
  std::string c;
  const auto report = (*device)->Run(*wave, nullptr, steps, c);
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report->readings.l2_hit.has_value());
}

// -------------------------------------------------------------------------------------- the model of its cache

TEST_F(CpuDeviceTest, TilesShareTheLastLevelCache) {
  EXPECT_EQ(device_->info().cache.name, "L3 of 32 MiB");
  EXPECT_EQ(device_->info().cache.bytes, 32 << 20);
  EXPECT_EQ(device_->info().cache.tiles, 1);
  EXPECT_EQ(shared_->info().cache.tiles, 4) << "one for each thread";
  cpu_.last_level = {.level = 2, .bytes = 1536 << 10, .processors = 2};
  const auto small = CpuDevice::Create(cpu_, &clock_, {.threads = 4, .worth_sharing = Duration(0)});
  ASSERT_TRUE(small.ok());
  EXPECT_EQ((*small)->info().cache.name, "L2 of 1536 KiB");
  EXPECT_EQ((*small)->info().cache.tiles, 2) << "the other two threads have one of their own";
}

// 128 x 128 tiles over a large K: two rows of A's panels and all of W pass through a core's L2 many times.
TEST_F(CpuDeviceTest, TilesThatNoCoresL2HoldsHitInTheLastLevel) {
  const Wave wave = Validated(WaveRequestBuilder().Dims(256, 512, 4096));
  Steps steps;
  std::string c;
  const auto report = device_->Run(wave, nullptr, steps, c);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_TRUE(report->readings.l2_hit.has_value());
  // Eight tiles read 16 panels of A and W, of which six are read first.
  EXPECT_DOUBLE_EQ(report->readings.l2_hit->ratio, 10.0 / 16);
  cpu_.last_level.bytes = cpu_.l2_bytes;
  const auto one_core = *CpuDevice::Create(cpu_, &clock_);
  const auto in_l2 = one_core->Run(wave, nullptr, steps, c);
  ASSERT_TRUE(in_l2.ok());
  EXPECT_EQ(in_l2->readings.l2_hit->ratio, 0) << "one tile's operands are 4 MiB";
}

TEST_F(CpuDeviceTest, TilesThatRunAtOnceShareWhatTheyRead) {
  // Nothing stays from one tile to the next; two that run at once in one column share W's blocks.
  cpu_.last_level.bytes = 1 << 20;
  const Wave wave = Validated(WaveRequestBuilder().Dims(512, 128, 4096));
  const auto hits = [&](int threads) {
    const auto device = *CpuDevice::Create(cpu_, &clock_, {.threads = threads, .worth_sharing = Duration(0)});
    Steps steps;
    std::string c;
    const auto report = device->Run(wave, nullptr, steps, c);
    EXPECT_TRUE(report.ok());
    return report.ok() ? report->readings.l2_hit->ratio : -1;
  };
  EXPECT_EQ(hits(1), 0);
  EXPECT_DOUBLE_EQ(hits(2), 1.0 / 4);
  EXPECT_DOUBLE_EQ(hits(4), 3.0 / 8);
}

// ------------------------------------------------------------------------------------------ hardware counters

class CountedTest : public CpuDeviceTest {
 protected:
  // Of four threads, all waves shared.
  std::unique_ptr<CpuDevice> Counted(const kernels::CpuInfo& cpu, Duration worth_sharing = Duration(0)) {
    CpuOptions options;
    options.threads = 4;
    options.worth_sharing = worth_sharing;
    options.counters = kernels::HardwareCounters::Create(cpu, perf_);
    return *CpuDevice::Create(cpu, &clock_, options);
  }
  static kernels::CpuInfo Zen() {
    kernels::CpuInfo cpu;
    cpu.vendor = "AuthenticAMD";
    cpu.family = 0x19;
    return cpu;
  }
  WaveReport RunOn(CpuDevice& device, const WaveRequestBuilder& request) {
    Steps steps;
    std::string c;
    auto report = device.Run(Validated(request), nullptr, steps, c);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *std::move(report) : WaveReport{};
  }

  const std::shared_ptr<kernels::FakePerfEvents> perf_ =
      std::make_shared<kernels::FakePerfEvents>(kernels::FakePerfEvents::Steady(1000, 100, 25));
};

TEST_F(CountedTest, AllThreadsOfAWaveAreCountedTwiceEach) {
  const auto device = Counted(Zen());
  EXPECT_THAT(device->info().hardware_counters, HasSubstr("L2CacheReqStat"));
  const WaveReport report = RunOn(*device, WaveRequestBuilder().Grid(8, 8));
  ASSERT_TRUE(report.hardware_counts.has_value());
  // Each thread's counters move by so much between its two readings, however many tiles it did.
  const auto threads = static_cast<uint64_t>(perf_->reads()) / 2;
  EXPECT_GE(threads, 1u);
  EXPECT_LE(threads, 4u) << "twice a thread, never once a tile";
  EXPECT_EQ(*report.hardware_counts, (kernels::CacheCounts{1000 * threads, 100 * threads, 25 * threads}));
  EXPECT_EQ(report.readings.l2_hit_hardware, (Reading{0.75, Source::kHardware}));
  EXPECT_FALSE(report.readings.llc_hit_hardware.has_value());
}

TEST_F(CountedTest, TheModelsReadingStandsBesideIt) {
  kernels::CpuInfo cpu = Zen();
  cpu.last_level = cpu_.last_level;
  const WaveReport report = RunOn(*Counted(cpu), WaveRequestBuilder().Grid(4, 4));
  ASSERT_TRUE(report.readings.l2_hit.has_value());
  EXPECT_EQ(report.readings.l2_hit->source, Source::kModel);
  ASSERT_TRUE(report.readings.l2_hit_hardware.has_value());
  EXPECT_EQ(report.readings.l2_hit_hardware->source, Source::kHardware);
}

TEST_F(CountedTest, TheLastLevelIsNotCalledL2) {
  const WaveReport report = RunOn(*Counted(kernels::CpuInfo{}), WaveRequestBuilder().Grid(2, 2));
  EXPECT_FALSE(report.readings.l2_hit_hardware.has_value());
  EXPECT_EQ(report.readings.llc_hit_hardware, (Reading{0.75, Source::kHardware}));
}

TEST_F(CountedTest, WithoutCountersItSaysWhyAndReportsNothing) {
  perf_->SetOpenError([](const kernels::PerfEvent&) { return ENOENT; });
  const auto device = Counted(Zen());
  EXPECT_EQ(device->info().hardware_counters, "none: perf_event_open: no such event (no PMU visible to this machine)");
  const WaveReport report = RunOn(*device, WaveRequestBuilder().Grid(2, 2));
  EXPECT_FALSE(report.hardware_counts.has_value());
  EXPECT_FALSE(report.readings.l2_hit_hardware.has_value());
  EXPECT_FALSE(report.readings.llc_hit_hardware.has_value());
}

TEST_F(CountedTest, AWaveWhoseThreadsCannotBeCountedHasNoReading) {
  const auto device = Counted(Zen());
  perf_->SetOpenError([](const kernels::PerfEvent&) { return EMFILE; });
  EXPECT_FALSE(RunOn(*device, WaveRequestBuilder().Grid(2, 2)).hardware_counts.has_value());
  perf_->SetOpenError(nullptr);
  EXPECT_TRUE(RunOn(*device, WaveRequestBuilder().Grid(2, 2)).hardware_counts.has_value()) << "it is tried again";
}

TEST_F(CountedTest, CountersThatOthersHadMostOfTheTimeGiveNoReading) {
  const auto device = Counted(Zen());
  perf_->SetWords([](std::thread::id, int reading) {
    const auto n = static_cast<uint64_t>(reading);
    return std::vector<uint64_t>{3, 100 * n, 10 * n, n, n, n};
  });
  const WaveReport report = RunOn(*device, WaveRequestBuilder().Grid(2, 2));
  EXPECT_FALSE(report.hardware_counts.has_value());
  EXPECT_FALSE(report.readings.l2_hit_hardware.has_value());
}

TEST_F(CountedTest, AWaveThatReadNothingFromTheCacheHasNoRatio) {
  const auto device = Counted(Zen());
  perf_->SetWords(kernels::FakePerfEvents::Steady(1000, 0, 0));
  const WaveReport report = RunOn(*device, WaveRequestBuilder().Grid(2, 2));
  ASSERT_TRUE(report.hardware_counts.has_value());
  EXPECT_GT(report.hardware_counts->cycles, 0u);
  EXPECT_FALSE(report.readings.l2_hit_hardware.has_value());
}

TEST_F(CountedTest, ShortWavesAreNotCounted) {
  const auto device = Counted(Zen(), /*worth_sharing=*/std::chrono::seconds(2));
  EXPECT_FALSE(RunOn(*device, WaveRequestBuilder().Grid(2, 2)).hardware_counts.has_value());
  EXPECT_EQ(perf_->reads(), 0);
}

}  // namespace
}  // namespace bwrt::runtime
