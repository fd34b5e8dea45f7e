#include "runtime/sample_recorder.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

namespace bwrt::runtime {
namespace {

using std::chrono::seconds;

Readings Wgmma(double ratio, Source source = Source::kKernel) {
  Readings readings;
  readings.wgmma_active = Reading{ratio, source};
  return readings;
}

TEST(SampleRecorderTest, NothingRecordedHasNoReadings) {
  const Sample sample = SampleRecorder().Read();
  EXPECT_EQ(sample.waves, 0u);
  EXPECT_EQ(sample.compute, Duration(0));
  EXPECT_EQ(sample.readings, Readings{});
}

TEST(SampleRecorderTest, OneWaveIsItsOwnMean) {
  SampleRecorder recorder;
  const Readings readings = {.wgmma_active = Reading{0.75, Source::kKernel},
                             .tma_occ = Reading{0.5, Source::kHardware},
                             .l2_hit = Reading{0.25, Source::kModel},
                             .ring_occ = Reading{1, Source::kKernel}};
  recorder.Record(readings, seconds(2));
  const Sample sample = recorder.Read();
  EXPECT_EQ(sample.readings, readings);
  EXPECT_EQ(sample.waves, 1u);
  EXPECT_EQ(sample.compute, seconds(2));
}

TEST(SampleRecorderTest, MeansAreWeightedByComputeTime) {
  SampleRecorder recorder;
  recorder.Record(Wgmma(1.0), seconds(3));
  recorder.Record(Wgmma(0.0), seconds(1));
  const Sample sample = recorder.Read();
  ASSERT_TRUE(sample.readings.wgmma_active.has_value());
  EXPECT_DOUBLE_EQ(sample.readings.wgmma_active->ratio, 0.75);
  EXPECT_EQ(sample.compute, seconds(4));
}

TEST(SampleRecorderTest, AbsentReadingsNeitherCountNorDilute) {
  SampleRecorder recorder;
  recorder.Record(Wgmma(0.5), seconds(1));
  recorder.Record({}, seconds(99));
  const Sample sample = recorder.Read();
  EXPECT_EQ(sample.waves, 2u);
  ASSERT_TRUE(sample.readings.wgmma_active.has_value());
  EXPECT_DOUBLE_EQ(sample.readings.wgmma_active->ratio, 0.5);
  EXPECT_FALSE(sample.readings.tma_occ.has_value());
  EXPECT_FALSE(sample.readings.l2_hit.has_value());
  EXPECT_FALSE(sample.readings.ring_occ.has_value());
}

TEST(SampleRecorderTest, WavesTooShortToTimeStillHaveAMean) {
  SampleRecorder recorder;
  recorder.Record(Wgmma(0.2), Duration(0));
  recorder.Record(Wgmma(0.4), Duration(0));
  const Sample sample = recorder.Read();
  ASSERT_TRUE(sample.readings.wgmma_active.has_value());
  EXPECT_DOUBLE_EQ(sample.readings.wgmma_active->ratio, 0.3);
}

TEST(SampleRecorderTest, TheNewestWaveNamesTheSource) {
  SampleRecorder recorder;
  recorder.Record(Wgmma(0.5, Source::kKernel), seconds(1));
  recorder.Record(Wgmma(0.5, Source::kHardware), seconds(1));
  recorder.Record({}, seconds(1));
  EXPECT_EQ(recorder.Read().readings.wgmma_active->source, Source::kHardware);
}

TEST(SampleRecorderTest, KeepsTheMostRecent256) {
  SampleRecorder recorder;
  recorder.Record(Wgmma(1.0), seconds(1000));
  for (size_t i = 0; i + 1 < SampleRecorder::kWaves; ++i) recorder.Record(Wgmma(0.0), seconds(1));
  EXPECT_EQ(recorder.Read().waves, 256u);
  EXPECT_GT(recorder.Read().readings.wgmma_active->ratio, 0.5);
  recorder.Record(Wgmma(0.0), seconds(1));  // Pushes the first one out.
  EXPECT_EQ(recorder.Read().waves, 256u);
  EXPECT_EQ(recorder.Read().readings.wgmma_active->ratio, 0.0);
  EXPECT_EQ(recorder.Read().compute, seconds(256));
}

TEST(SampleRecorderTest, RecordsFromSeveralThreads) {
  SampleRecorder recorder;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        recorder.Record(Wgmma(0.5), seconds(1));
        recorder.Read();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(recorder.Read().waves, 200u);
  EXPECT_DOUBLE_EQ(recorder.Read().readings.wgmma_active->ratio, 0.5);
}

TEST(SampleRecorderTest, HardwareStandsBesideTheModel) {
  SampleRecorder recorder;
  Readings readings;
  readings.l2_hit = Reading{0.25, Source::kModel};
  readings.l2_hit_hardware = Reading{0.5, Source::kHardware};
  recorder.Record(readings, seconds(1));
  readings.l2_hit_hardware = Reading{1, Source::kHardware};
  recorder.Record(readings, seconds(1));
  readings.l2_hit_hardware = std::nullopt;  // Too short to be counted.
  readings.llc_hit_hardware = Reading{0.125, Source::kHardware};
  recorder.Record(readings, seconds(6));
  const Sample sample = recorder.Read();
  EXPECT_EQ(sample.readings.l2_hit, (Reading{0.25, Source::kModel}));
  EXPECT_EQ(sample.readings.l2_hit_hardware, (Reading{0.75, Source::kHardware}));
  EXPECT_EQ(sample.readings.llc_hit_hardware, (Reading{0.125, Source::kHardware}));
}

}  // namespace
}  // namespace bwrt::runtime
