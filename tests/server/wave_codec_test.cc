#include "server/services/wave_codec.h"

#include <gtest/gtest.h>

#include <utility>

namespace bwrt::server {
namespace {

TEST(EncodeReadingsTest, WhatHasNoSourceIsUnset) {
  v1::Readings out;
  EncodeReadings({}, &out);
  EXPECT_FALSE(out.has_wgmma_active());
  EXPECT_FALSE(out.has_tma_occ());
  EXPECT_FALSE(out.has_l2_hit());
  EXPECT_FALSE(out.has_ring_occ());
  EXPECT_FALSE(out.has_l2_hit_hardware());
  EXPECT_FALSE(out.has_llc_hit_hardware());
}

TEST(EncodeReadingsTest, HardwareStandsBesideTheModel) {
  runtime::Readings readings;
  readings.l2_hit = runtime::Reading{0.25, runtime::Source::kModel};
  readings.l2_hit_hardware = runtime::Reading{0.5, runtime::Source::kHardware};
  v1::Readings out;
  EncodeReadings(readings, &out);
  EXPECT_EQ(out.l2_hit().ratio(), 0.25);
  EXPECT_EQ(out.l2_hit().source(), v1::MODEL);
  EXPECT_EQ(out.l2_hit_hardware().ratio(), 0.5);
  EXPECT_EQ(out.l2_hit_hardware().source(), v1::HARDWARE);
  EXPECT_FALSE(out.has_llc_hit_hardware());
}

TEST(EncodeReadingsTest, TheLastLevelHasAFieldOfItsOwn) {
  runtime::Readings readings;
  readings.llc_hit_hardware = runtime::Reading{0.75, runtime::Source::kHardware};
  v1::Readings out;
  EncodeReadings(readings, &out);
  EXPECT_EQ(out.llc_hit_hardware().ratio(), 0.75);
  EXPECT_FALSE(out.has_l2_hit_hardware());
  EXPECT_FALSE(out.has_l2_hit());
}

TEST(EncodeResultTest, CountsOfHardwareAreUnsetWithoutCounters) {
  const runtime::Wave wave;
  runtime::WaveResult result;
  v1::WaveResult out;
  EncodeResult(wave, runtime::WaveResult(result), &out);
  EXPECT_FALSE(out.has_hardware_counts());
  result.hardware_counts = kernels::CacheCounts{1000, 100, 25};
  EncodeResult(wave, std::move(result), &out);
  EXPECT_EQ(out.hardware_counts().cycles(), 1000u);
  EXPECT_EQ(out.hardware_counts().cache_reads(), 100u);
  EXPECT_EQ(out.hardware_counts().cache_misses(), 25u);
}

}  // namespace
}  // namespace bwrt::server
