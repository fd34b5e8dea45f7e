#include "server/services/model_codec.h"

#include <gtest/gtest.h>

namespace bwrt::server {
namespace {

// Waves 0, 1, ... in flight at token 0: those with even numbers allow a swap there, the others do not.
runtime::ModelStatus ClosedBy(uint64_t waves) {
  runtime::ModelStatus status;
  status.current = runtime::WeightVersion::Empty();
  status.window.open = false;
  for (uint64_t i = 0; i < waves; ++i) {
    runtime::WindowClaim claim;
    claim.wave = runtime::WaveNumber(i);
    claim.window = i % 2 == 0 ? runtime::SwapWindow{0, 4} : runtime::SwapWindow{2, 4};
    claim.in_flight = true;
    status.window.claims.push_back(claim);
  }
  return status;
}

TEST(EncodeSummary, NamesOnlyTheWavesThatBlock) {
  v1::ModelSummary summary;
  EncodeSummary("m", ClosedBy(4), &summary);
  ASSERT_EQ(summary.blockers_size(), 2);
  EXPECT_EQ(summary.blockers(0).wave(), 1u);
  EXPECT_EQ(summary.blockers(1).wave(), 3u);
  EXPECT_TRUE(summary.blockers(0).blocks());
}

TEST(EncodeSummary, NamesAtMostSixteen) {
  v1::ModelSummary summary;
  EncodeSummary("m", ClosedBy(40), &summary);
  EXPECT_EQ(summary.blockers_size(), 16);
  v1::WindowState window;
  EncodeWindow(ClosedBy(40).window, &window);
  EXPECT_EQ(window.claims_size(), 40);
}

TEST(EncodeSummary, AnOpenWindowHasNoBlockers) {
  v1::ModelSummary summary;
  runtime::ModelStatus status = ClosedBy(1);
  status.window.open = true;
  EncodeSummary("m", status, &summary);
  EXPECT_TRUE(summary.window_open());
  EXPECT_EQ(summary.blockers_size(), 0);
}

TEST(EncodeSummary, SaysThatAModelHasLostItsVersions) {
  v1::ModelSummary summary;
  runtime::ModelStatus status = ClosedBy(0);
  EncodeSummary("m", status, &summary);
  EXPECT_FALSE(summary.lost());
  EXPECT_EQ(summary.last_version(), 0u);
  status.last = runtime::Version(7);
  status.lost = true;
  EncodeSummary("m", status, &summary);
  EXPECT_TRUE(summary.lost());
  EXPECT_EQ(summary.last_version(), 7u);
  EXPECT_EQ(summary.version(), 0u);
}

}  // namespace
}  // namespace bwrt::server
