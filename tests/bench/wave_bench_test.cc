// That the benchmark of waves runs through and says all it should. Its times are not judged here, but it fails by
// itself where the daemon's results are not the engine's.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace bwrt::bench {
namespace {

TEST(WaveBenchTest, AQuickRunHasEveryFigure) {
  FILE* pipe = popen("tests/bench/wave_bench --quick --json --bwrtd=server/bwrtd", "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  std::array<char, 4096> piece;
  for (size_t n = 0; (n = fread(piece.data(), 1, piece.size(), pipe)) > 0;) output.append(piece.data(), n);
  ASSERT_EQ(pclose(pipe), 0) << output;
  const auto figures = nlohmann::json::parse(output, nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(figures.is_object()) << output;
  for (const char* key :
       {"rpc_ratio", "rpc_ratio_min_m128", "rpc_ratio_min_m128_small", "cases", "machine", "device", "kernels"}) {
    EXPECT_TRUE(figures.contains(key)) << key << " is missing: " << output;
  }
  EXPECT_TRUE(figures["rpc_ratio_min_m128"].is_null()) << "the large cases are not part of a quick run";
  ASSERT_EQ(figures["cases"].size(), 12u);
  for (const auto& one : figures["cases"]) {
    const std::string name = one["name"];
    EXPECT_TRUE(figures["rpc_ratio"].contains(name)) << name;
    for (const char* key : {"wave_us", "echo_us", "engine_us", "compute_us"}) EXPECT_GT(one[key], 0) << name << key;
    // The daemon computes while the client waits.
    EXPECT_GT(one["wave_us"], one["compute_us"]) << name;
  }
}

}  // namespace
}  // namespace bwrt::bench
