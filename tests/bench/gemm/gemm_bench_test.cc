// That the benchmark of GEMMs runs through, says all it should, and found every contender's results equal. Its rates
// are not judged here.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace bwrt::bench {
namespace {

nlohmann::json Bench(const std::string& arguments, int* exit) {
  std::string output;
  FILE* pipe = popen(("tests/bench/gemm/gemm_bench --quick --json " + arguments).c_str(), "r");
  if (pipe == nullptr) return nullptr;
  std::array<char, 4096> piece;
  for (size_t n = 0; (n = fread(piece.data(), 1, piece.size(), pipe)) > 0;) output.append(piece.data(), n);
  *exit = pclose(pipe);
  return nlohmann::json::parse(output, nullptr, /*allow_exceptions=*/false);
}

TEST(GemmBenchTest, AQuickRunHasEveryFigure) {
  int exit = -1;
  const nlohmann::json figures = Bench("", &exit);
  ASSERT_EQ(exit, 0) << figures;
  ASSERT_TRUE(figures.is_object());
  for (const char* key : {"machine", "threads", "libraries", "peak_gflops_f32", "peak_gflops_bf16", "geomean_ratio",
                          "min_ratio", "peer_gflops_f32", "peer_gflops_bf16"}) {
    EXPECT_TRUE(figures.contains(key)) << key << " is missing: " << figures;
  }
  ASSERT_EQ(figures["cases"].size(), 6);
  for (const auto& one : figures["cases"]) {
    EXPECT_GT(one["ours_gflops"], 0) << one;
    EXPECT_GT(one["onednn_gflops"], 0) << one;
    EXPECT_EQ(one["openblas_gflops"].is_null(), one["dtype"] == "bf16") << one;
    EXPECT_GT(one["ratio"], 0) << one;
    EXPECT_LE(one["error"], one["dtype"] == "bf16" ? 1e-2 : 1e-5) << one;
  }
  ASSERT_EQ(figures["traversals"].size(), 12);
  for (const auto& one : figures["traversals"]) {
    EXPECT_LE(one["ratio_low"], one["ratio"]) << one;
    EXPECT_GE(one["ratio_high"], one["ratio"]) << one;
    EXPECT_TRUE(one["model_names_faster"].is_boolean() || one["model_names_faster"] == "within 5 %") << one;
  }
  ASSERT_EQ(figures["kernels"].size(), 8);
  for (const auto& one : figures["kernels"]) EXPECT_GT(one["libxsmm_64x64x512_gflops"], 0) << one;
}

TEST(GemmBenchTest, OnlyMeasuresWhatIsNamed) {
  int exit = -1;
  const nlohmann::json figures = Bench("--only bf16/8 --only peak", &exit);
  ASSERT_EQ(exit, 0) << figures;
  ASSERT_EQ(figures["cases"].size(), 1);
  EXPECT_EQ(figures["cases"][0]["m"], 8);
  EXPECT_TRUE(figures.contains("peak_gflops_f32"));
  EXPECT_FALSE(figures.contains("traversals"));
  EXPECT_FALSE(figures.contains("kernels"));
  Bench("--only nothing 2>/dev/null", &exit);
  EXPECT_NE(exit, 0);
}

}  // namespace
}  // namespace bwrt::bench
