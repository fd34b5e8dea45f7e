// That the benchmark of swaps runs through and says all it should. Its figures are not judged here, but for those that
// are about being right.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace bwrt::bench {
namespace {

TEST(SwapBenchTest, AQuickRunHasEveryFigure) {
  FILE* pipe = popen("tests/bench/swap_bench --quick --json --bwrtd=server/bwrtd", "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  std::array<char, 4096> piece;
  for (size_t n = 0; (n = fread(piece.data(), 1, piece.size(), pipe)) > 0;) output.append(piece.data(), n);
  ASSERT_EQ(pclose(pipe), 0) << output;
  const auto figures = nlohmann::json::parse(output, nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(figures.is_object()) << output;
  for (const char* key : {"flip_p99_us", "start_p99_us", "stage_vs_stream", "stage_sha256", "sha256_vs_openssl",
                          "wave_p99_ratio_while_staging", "stage_rate_kept", "noop_wave_p99_ratio", "rss_drift_ratio",
                          "torn", "failed", "checked_flips", "checked_waves", "restart", "restart_ratio"}) {
    EXPECT_TRUE(figures.contains(key)) << key << " is missing: " << output;
  }
  EXPECT_EQ(figures["torn"], 0);
  EXPECT_EQ(figures["failed"], 0);
  EXPECT_GE(figures["checked_flips"], 200);
  EXPECT_GE(figures["checked_waves"], 2000);
}

}  // namespace
}  // namespace bwrt::bench
