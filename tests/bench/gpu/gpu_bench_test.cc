// The benchmark runs, every part of it, against the plugin over a fake GPU: it says what it measured, in the units it
// promises. What the figures are says nothing there.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace bwrt::bench {
namespace {

using Json = nlohmann::json;

struct Outcome {
  std::string output;
  int status = 0;
};

Outcome RunBench(const std::string& plugin, const std::string& options) {
  const std::string command =
      "tests/bench/gpu/gpu_bench --quick --without-peer --cuda-plugin=" + plugin + " " + options;
  Outcome outcome;
  FILE* pipe = popen(command.c_str(), "r");
  std::array<char, 4096> buffer;
  for (size_t size; (size = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    outcome.output.append(buffer.data(), size);
  }
  outcome.status = pclose(pipe);
  return outcome;
}

TEST(GpuBenchTest, EveryPartReports) {
  const Outcome outcome = RunBench("tests/e2e/libbwrt_fake_cuda.so", "--json --bwrtd=server/bwrtd");
  ASSERT_EQ(outcome.status, 0);
  const Json figures = Json::parse(outcome.output, nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(figures.is_object()) << outcome.output;
  EXPECT_FALSE(figures.value("device", "").empty());
  for (const char* side : {"4096", "8192"}) {
    for (const char* tile : {"128x256x64", "256x128x64", "128x128x64"}) {
      EXPECT_GT(figures["own_tflops"].value(std::string(side) + "/" + tile, 0.0), 0) << side << " " << tile;
    }
  }
  for (const char* figure : {"traversal_random_vs_grouped", "counters_on_vs_off", "upload_beside_waves",
                             "wave_p99_ratio_while_uploading", "daemon_cublaslt", "swap_wave_p99_ratio"}) {
    EXPECT_GT(figures.value(figure, 0.0), 0) << figure;
  }
  for (const char* rows : {"1", "8", "16", "64"}) EXPECT_GT(figures["skinny_us"].value(rows, 0.0), 0) << rows;
  EXPECT_GT(figures["tiny_wave_us"].value("graphs", 0.0), 0);
  EXPECT_GT(figures["tiny_wave_us"].value("queued", 0.0), 0);
  // Without the peer there is nothing to compare with, and no ratio is made up.
  EXPECT_FALSE(figures.contains("own_vs_cublaslt"));
  EXPECT_FALSE(figures.contains("daemon_cublaslt_vs_bare"));
}

TEST(GpuBenchTest, NoSuchPlugin) {
  const Outcome outcome = RunBench("no/such/plugin.so", "2>&1");
  EXPECT_NE(outcome.status, 0);
  EXPECT_NE(outcome.output.find("gpu_bench: "), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("plugin"), std::string::npos) << outcome.output;
}

}  // namespace
}  // namespace bwrt::bench
