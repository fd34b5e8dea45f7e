// Metrics: every series of the contract that applies is there, moves, and no other is.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "absl/strings/match.h"
#include "tests/e2e/daemon_fixture.h"
#include "tests/e2e/waves.h"

namespace bwrt::e2e {
namespace {

class MetricsTest : public DaemonFixture {
 protected:
  void SetUp() override { StartDaemon({kMetrics, "--lanes=2"}); }
};

TEST_F(MetricsTest, BeforeTheFirstWave) {
  const Scrape metrics = GetMetrics();
  EXPECT_EQ(metrics.Sum("bwrt_build_info"), 1);
  EXPECT_EQ(metrics.Sum("bwrt_waves_total"), 0);
  EXPECT_EQ(metrics.Count("bwrt_waves_in_flight"), 1);
  EXPECT_EQ(metrics.Count("bwrt_queue_depth"), 1);
  EXPECT_EQ(metrics.Sum("bwrt_model_version", {{"model", "default"}}), 0);
  EXPECT_EQ(metrics.Sum("bwrt_swap_window_open", {{"model", "default"}}), 1);
  for (const char* ratio : {"bwrt_wgmma_active_ratio", "bwrt_l2_hit_ratio"}) {
    EXPECT_EQ(metrics.Count(ratio), 0) << ratio << ": nothing has run, so there is no reading";
  }
}

TEST_F(MetricsTest, EverySeries) {
  v1::SubmitWaveRequest wave = MakeWave(256, 256, 512);
  IoExtent* extent = wave.mutable_spec()->add_io_extents();
  extent->set_layer("3");
  extent->set_start_pid(5);
  extent->set_end_pid(8);
  SetWindow(&wave, 0, 5);
  ASSERT_TRUE(client().SubmitWave(wave).ok());
  ASSERT_TRUE(client().SubmitWave(wave).ok());
  ASSERT_TRUE(client().SetWeights(Publish(WeightOf(wave, "w"))).ok());
  SetWindow(&wave, 0, 1);
  ASSERT_TRUE(client().SubmitWave(wave).ok());
  ASSERT_FALSE(client().SetWeights(Publish(WeightOf(wave, "w"))).ok());
  wave.mutable_spec()->set_bm(-1);
  ASSERT_FALSE(client().SubmitWave(wave).ok());
  wave.set_model("none");
  wave.mutable_spec()->set_bm(128);
  ASSERT_FALSE(client().SubmitWave(wave).ok());

  const Scrape metrics = GetMetrics();
  EXPECT_EQ(metrics.Sum("bwrt_build_info"), 1);
  EXPECT_EQ(metrics.Sum("bwrt_waves_total", {{"model", "default"}, {"device", "cpu"}, {"outcome", "ok"}}), 3);
  EXPECT_EQ(metrics.Sum("bwrt_wave_rejections_total", {{"reason", "DIM_OUT_OF_RANGE"}}), 1);
  EXPECT_EQ(metrics.Sum("bwrt_wave_rejections_total", {{"reason", "MODEL_NOT_FOUND"}}), 1);
  for (const char* phase : {"queue", "prefetch", "compute", "copy"}) {
    EXPECT_EQ(metrics.Sum("bwrt_wave_phase_seconds_count", {{"phase", phase}}), 3) << phase;
  }
  EXPECT_GT(metrics.Sum("bwrt_wave_phase_seconds_sum", {{"phase", "compute"}}), 0);
  EXPECT_EQ(metrics.Sum("bwrt_waves_in_flight"), 0);
  EXPECT_EQ(metrics.Sum("bwrt_queue_depth"), 0);
  EXPECT_EQ(metrics.Count("bwrt_wgmma_active_ratio", {{"device", "cpu"}, {"source", "kernel"}}), 1);
  EXPECT_GT(metrics.Sum("bwrt_wgmma_active_ratio"), 0);
  EXPECT_EQ(metrics.Count("bwrt_l2_hit_ratio", {{"device", "cpu"}, {"source", "model"}}), 1);
  EXPECT_EQ(metrics.Sum("bwrt_model_version", {{"model", "default"}}), 1);
  EXPECT_EQ(metrics.Sum("bwrt_weight_bytes", {{"state", "committed"}}), 256 * 512 * 4);
  EXPECT_EQ(metrics.Sum("bwrt_weight_bytes", {{"state", "staged"}}), 0);
  EXPECT_EQ(metrics.Count("bwrt_weight_bytes", {{"state", "retiring"}}), 1);
  EXPECT_EQ(metrics.Sum("bwrt_swap_total", {{"model", "default"}, {"outcome", "committed"}}), 1);
  EXPECT_EQ(metrics.Sum("bwrt_swap_total", {{"model", "default"}, {"outcome", "refused"}}), 1);
  EXPECT_EQ(metrics.Count("bwrt_swap_pause_seconds_count"), 1);
  EXPECT_EQ(metrics.Sum("bwrt_swap_wait_seconds_count"), 2);
  EXPECT_EQ(metrics.Sum("bwrt_swap_window_open", {{"model", "default"}}), 0);
  EXPECT_GT(metrics.Sum("bwrt_swap_window_closed_seconds", {{"model", "default"}}), 0);
  EXPECT_GE(metrics.Sum("bwrt_stage_bytes_total"), 256 * 512 * 4);
  EXPECT_EQ(metrics.Sum("bwrt_io_extent_pages_total", {{"outcome", "no_source"}}), 3 * 4);

  const Scrape::Labels submit = {{"grpc_service", "bwrt.v1.Execution"}, {"grpc_method", "SubmitWave"}};
  const auto with_code = [&](const char* code) {
    Scrape::Labels labels = submit;
    labels["grpc_code"] = code;
    return labels;
  };
  EXPECT_EQ(metrics.Sum("grpc_server_started_total", submit), 5);
  EXPECT_EQ(metrics.Sum("grpc_server_handled_total", with_code("OK")), 3);
  EXPECT_EQ(metrics.Sum("grpc_server_handled_total", with_code("INVALID_ARGUMENT")), 1);
  EXPECT_EQ(metrics.Sum("grpc_server_handled_total", with_code("NOT_FOUND")), 1);
  EXPECT_EQ(metrics.Sum("grpc_server_handling_seconds_count", submit), 5);
  EXPECT_EQ(
      metrics.Sum("grpc_server_handled_total", {{"grpc_method", "SetWeights"}, {"grpc_code", "FAILED_PRECONDITION"}}),
      1);
  for (const char* name : {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
                           "process_start_time_seconds"}) {
    EXPECT_GT(metrics.Sum(name), 0) << name;
  }
}

TEST_F(MetricsTest, NoOtherSeries) {
  ASSERT_TRUE(client().SubmitWave(MakeWave(256, 256, 512)).ok());
  GetMetrics();
  for (const std::string& name : GetMetrics().names()) {
    EXPECT_TRUE(absl::StartsWith(name, "bwrt_") || absl::StartsWith(name, "grpc_server_") ||
                absl::StartsWith(name, "process_"))
        << name;
    // The CPU device has no source for these without pages: absent, and not 0.
    EXPECT_FALSE(absl::StartsWith(name, "bwrt_tma_occupancy")) << name;
    EXPECT_FALSE(absl::StartsWith(name, "bwrt_ring_occupancy")) << name;
  }
}

TEST_F(MetricsTest, ClientsCannotInventLabels) {
  const size_t before = GetMetrics().series().size();
  for (int i = 0; i < 20; ++i) {
    v1::SubmitWaveRequest wave = MakeWave(16, 16, 32);
    wave.set_model("none-" + std::to_string(i));
    wave.set_client_id("client-" + std::to_string(i));
    wave.set_wave_id("wave-" + std::to_string(i));
    EXPECT_FALSE(client().SubmitWave(wave).ok());
  }
  EXPECT_LE(GetMetrics().series().size(), before + 2);  // One reason, and one code of SubmitWave.
}

}  // namespace
}  // namespace bwrt::e2e
