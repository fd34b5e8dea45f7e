// Waves: what they compute, what their results say, and how they stream and stop.
#include "tests/e2e/waves.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "client/dtype.h"
#include "client/operands.h"
#include "client/plan.h"
#include "client/replay.h"
#include "tests/e2e/daemon_fixture.h"

namespace bwrt::e2e {
namespace {

using client::OperandStream;

class WavesTest : public DaemonFixture {
 protected:
  void SetUp() override { StartDaemon({"--lanes=2", kLenient}); }

  // Runs a wave that must succeed with a right C.
  v1::WaveResult Run(const v1::SubmitWaveRequest& wave) {
    const auto result = client().SubmitWave(wave);
    EXPECT_TRUE(result.ok()) << client::FormatError(result.status());
    if (!result.ok()) return {};
    EXPECT_TRUE(IsRight(wave, *result));
    return *result;
  }

  uint64_t Set(const v1::SetWeightsRequest& request) {
    const auto done = client().SetWeights(request);
    EXPECT_TRUE(done.ok()) << client::FormatError(done.status());
    return done.ok() ? done->version() : 0;
  }
};

void AddTile(v1::SubmitWaveRequest* wave, int32_t m, int32_t n) {
  TileCoord* tile = wave->mutable_spec()->add_tile_order();
  tile->set_m(m);
  tile->set_n(n);
}

// Spreads the rows of `packed` so that they start `stride` elements apart; the gaps hold 0xee.
std::string Spread(const std::string& packed, DType dtype, int64_t rows, int64_t columns, int64_t stride) {
  const auto size = static_cast<size_t>(client::DTypeBytes(dtype));
  const size_t row = static_cast<size_t>(columns) * size;
  std::string out(static_cast<size_t>((rows - 1) * stride + columns) * size, '\xee');
  for (size_t i = 0; i < static_cast<size_t>(rows); ++i) {
    out.replace(i * static_cast<size_t>(stride) * size, row, packed, i * row, row);
  }
  return out;
}

void AddC(v1::SubmitWaveRequest* wave, DType dtype) {
  wave->set_c_dtype(dtype);
  wave->mutable_c()->set_inline_(*client::RandomMatrix({7, 0, OperandStream::kC}, dtype, wave->m(), wave->n()));
}

void AddBias(v1::SubmitWaveRequest* wave) {
  for (int64_t i = 0; i < wave->n(); ++i) {
    wave->add_bias(client::RandomValue(7, OperandStream{7, 0, OperandStream::kBias}.id(), static_cast<uint64_t>(i)));
  }
}

// ---- plans ----

TEST_F(WavesTest, ARecordedPlanReplays) {
  const auto plan = client::ReadPlan("tests/data/bcache_waves.json");
  ASSERT_TRUE(plan.ok()) << plan.status();
  for (const DType dtype : {F32, F16, BF16}) {
    client::ReplayOptions options;
    options.dtype = dtype;
    options.k = 160;
    options.verify = true;
    const auto result = client::Replay(client(), *plan, options);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->waves, plan->waves.size());
    EXPECT_EQ(result->verified, plan->waves.size());
    EXPECT_EQ(result->failed, 0u);
    EXPECT_GT(result->tiles, result->waves);
    EXPECT_GT(result->max_rel_error, 0);
    EXPECT_LE(result->max_rel_error, dtype == F32 ? 1e-5 : 1e-2);
  }
}

// ---- operands ----

TEST_F(WavesTest, EveryDTypeAndTypeOfC) {
  for (const DType dtype : {F32, F16, BF16}) {
    for (const DType c_dtype : {F32, dtype}) {
      v1::SubmitWaveRequest wave = MakeWave(128, 256, 192, dtype);
      wave.set_c_dtype(c_dtype);
      const v1::WaveResult result = Run(wave);
      EXPECT_EQ(result.effective().dtype(), dtype);
      EXPECT_EQ(result.effective().c_dtype(), c_dtype);
      EXPECT_EQ(result.c().size(), static_cast<size_t>(128 * 256 * client::DTypeBytes(c_dtype)));
    }
  }
}

TEST_F(WavesTest, F8WithScales) {
  for (const DType dtype : {F8_E4M3, F8_E5M2}) {
    for (const DType c_dtype : {F32, F16, BF16}) {
      v1::SubmitWaveRequest wave = MakeWave(130, 256, 192, dtype);
      wave.set_c_dtype(c_dtype);
      wave.set_a_scale(0.25);
      wave.set_w_scale(3);
      const v1::WaveResult result = Run(wave);
      EXPECT_EQ(result.effective().dtype(), dtype);
      EXPECT_EQ(result.effective().c_dtype(), c_dtype);
    }
  }
  v1::SubmitWaveRequest wave = MakeWave(16, 16, 64, BF16);
  wave.set_a_scale(1);
  EXPECT_TRUE(Is(client().SubmitWave(wave).status(), absl::StatusCode::kInvalidArgument, "SCALE_WITHOUT_F8"));
}

TEST_F(WavesTest, TailsArePadded) {
  for (const DType dtype : {F32, F16, BF16}) {
    Run(MakeWave(1, 1, 32, dtype));
    Run(MakeWave(130, 100, 96, dtype));
    Run(MakeWave(257, 383, 560, dtype));  // K is no multiple of bk.
  }
}

TEST_F(WavesTest, StridesOfEveryOperand) {
  for (const DType dtype : {F32, BF16}) {
    v1::SubmitWaveRequest wave = MakeWave(150, 140, 96, dtype);
    AddC(&wave, F32);
    wave.set_beta(0.5F);
    wave.mutable_a()->set_inline_(Spread(wave.a().inline_(), dtype, 150, 96, 101));
    wave.mutable_a()->set_row_stride(101);
    wave.mutable_w()->set_inline_(Spread(wave.w().inline_(), dtype, 96, 140, 177));
    wave.mutable_w()->set_row_stride(177);
    wave.mutable_c()->set_inline_(Spread(wave.c().inline_(), F32, 150, 140, 143));
    wave.mutable_c()->set_row_stride(143);
    const v1::WaveResult result = Run(wave);
    ASSERT_EQ(result.c().size(), wave.c().inline_().size());
    for (size_t row = 0; row + 1 < 150; ++row) {
      ASSERT_EQ(result.c().substr((row * 143 + 140) * 4, 12), std::string(12, '\xee')) << "the gap after row " << row;
    }
  }
}

TEST_F(WavesTest, TransposedWeights) {
  for (const DType dtype : {F32, F16, BF16}) {
    v1::SubmitWaveRequest wave = MakeWave(130, 200, 96, dtype);
    wave.set_w_transposed(true);
    wave.mutable_w()->set_inline_(*client::RandomMatrix({2, 0, OperandStream::kW}, dtype, 200, 96));
    Run(wave);
  }
}

TEST_F(WavesTest, StoredWeights) {
  for (const DType dtype : {F32, F16, BF16}) {
    for (const bool transposed : {false, true}) {
      v1::SubmitWaveRequest wave = MakeWave(130, 200, 96, dtype);
      wave.set_w_transposed(transposed);
      const uint64_t version = Set(Publish(WeightOf(wave, "layers/0.w"), "first"));
      v1::SubmitWaveRequest stored = WithStored(wave, "layers/0.w");
      stored.mutable_spec()->set_dtype(DTYPE_UNSPECIFIED);  // The tensor's.
      const auto result = client().SubmitWave(stored);
      ASSERT_TRUE(result.ok()) << client::FormatError(result.status());
      EXPECT_TRUE(IsRight(wave, *result));
      EXPECT_EQ(result->version(), version);
      EXPECT_EQ(result->version_label(), "first");
      EXPECT_EQ(result->effective().dtype(), dtype);
    }
  }
}

TEST_F(WavesTest, ScalesBiasAndActivations) {
  for (const DType dtype : {F32, BF16}) {
    for (const v1::Activation activation : {v1::IDENTITY, v1::RELU, v1::GELU_TANH, v1::GELU_ERF, v1::SILU}) {
      v1::SubmitWaveRequest wave = MakeWave(140, 136, 64, dtype);
      AddC(&wave, dtype);
      AddBias(&wave);
      wave.set_alpha(-0.25F);
      wave.set_beta(1.5F);
      wave.set_activation(activation);
      Run(wave);
    }
  }
  v1::SubmitWaveRequest zero = MakeWave(128, 128, 64);
  zero.set_alpha(0);  // Set, and so not the default of 1.
  Run(zero);
}

// ---- traversal ----

TEST_F(WavesTest, MissingTilesByCoverage) {
  v1::SubmitWaveRequest wave = MakeWave(384, 256, 64);  // 3 x 2 tiles.
  AddC(&wave, F32);
  AddTile(&wave, 2, 1);
  AddTile(&wave, 0, 0);
  SetWindow(&wave, 0, 2);

  v1::WaveResult result = Run(wave);
  EXPECT_EQ(result.effective().tiles_listed(), 2u);
  EXPECT_EQ(result.effective().tiles_appended(), 4u);
  EXPECT_EQ(result.effective().tiles_omitted(), 0u);
  EXPECT_EQ(result.tokens().tile_tokens(), 2u);
  EXPECT_TRUE(result.effective().traversal_honoured());

  wave.set_coverage(v1::PARTIAL);
  result = Run(wave);  // The reference knows that the others keep what C held.
  EXPECT_EQ(result.effective().tiles_appended(), 0u);
  EXPECT_EQ(result.effective().tiles_omitted(), 4u);
  EXPECT_EQ(result.c().substr(128 * 4, 128 * 4), wave.c().inline_().substr(128 * 4, 128 * 4));  // Tile (0, 1).

  wave.set_coverage(v1::EXACT);
  EXPECT_TRUE(absl::IsInvalidArgument(client().SubmitWave(wave).status()));
  for (const auto& [m, n] : {std::pair(0, 1), {1, 0}, {1, 1}, {2, 0}}) AddTile(&wave, m, n);
  SetWindow(&wave, 0, 6);
  EXPECT_EQ(Run(wave).effective().tiles_listed(), 6u);
}

TEST_F(WavesTest, ValidateWaveShowsTheOrder) {
  const auto order = [this](const v1::SubmitWaveRequest& wave) {
    std::vector<std::pair<int, int>> tiles;
    const auto response = client().ValidateWave(wave);
    EXPECT_TRUE(response.ok()) << client::FormatError(response.status());
    if (!response.ok()) return tiles;
    for (const TileCoord& tile : response->order()) tiles.emplace_back(tile.m(), tile.n());
    return tiles;
  };
  using Tiles = std::vector<std::pair<int, int>>;
  v1::SubmitWaveRequest wave = MakeWave(384, 256, 64);
  wave.clear_a();  // Operands may be left out.
  wave.clear_w();
  EXPECT_EQ(order(wave), (Tiles{{0, 0}, {0, 1}, {1, 0}, {1, 1}, {2, 0}, {2, 1}}));
  wave.mutable_spec()->set_swizzle_group_size(2);
  EXPECT_EQ(order(wave), (Tiles{{0, 0}, {1, 0}, {0, 1}, {1, 1}, {2, 0}, {2, 1}}));
  wave.mutable_spec()->add_tile_order_flat(2 << 16 | 1);
  EXPECT_EQ(order(wave), (Tiles{{2, 1}, {0, 0}, {0, 1}, {1, 0}, {1, 1}, {2, 0}}));
  AddTile(&wave, 2, 1);
  wave.set_coverage(v1::PARTIAL);
  EXPECT_EQ(order(wave), (Tiles{{2, 1}}));
  EXPECT_EQ(client().Sample()->waves(), 0u);  // Nothing ran.
}

// ---- results ----

TEST_F(WavesTest, AResultSaysWhatRan) {
  v1::SubmitWaveRequest wave = MakeWave(256, 256, 96);
  const uint64_t version = Set(Publish(WeightOf(wave, "w"), "step-41"));
  for (int i = 0; i < 3; ++i) {
    IoExtent* extent = wave.mutable_spec()->add_io_extents();
    extent->set_layer("7");
    extent->set_start_pid(10);
    extent->set_end_pid(10 + i);
  }
  wave.mutable_spec()->mutable_tmem_layout()->set_columns(8);
  wave.mutable_spec()->set_stage_hint(3);
  SetWindow(&wave, 3, 7);
  const v1::WaveResult result = Run(wave);

  EXPECT_EQ(result.model(), "default");
  EXPECT_EQ(result.version(), version);
  EXPECT_EQ(result.version_label(), "step-41");
  EXPECT_EQ(result.tokens().prefetch_tokens(), 3u);
  EXPECT_EQ(result.tokens().tile_tokens(), 4u);
  EXPECT_EQ(result.tokens().swap_begin(), 3);
  EXPECT_EQ(result.tokens().swap_end(), 7);

  const v1::EffectiveSpec& effective = result.effective();
  EXPECT_EQ(effective.device(), "cpu");
  EXPECT_FALSE(effective.kernel().empty());
  EXPECT_EQ(effective.bm(), 128);
  EXPECT_EQ(effective.bn(), 128);
  EXPECT_GT(effective.k_step(), 0);
  EXPECT_EQ(effective.stages(), 1);
  EXPECT_EQ(effective.cluster().x(), 1);
  EXPECT_EQ(effective.tail_policy(), PAD);
  EXPECT_TRUE(effective.traversal_honoured());
  EXPECT_EQ(effective.tiles_listed(), 4u);
  EXPECT_FALSE(effective.unlisted_shape());
  std::set<std::string> downgraded;
  for (const v1::Downgrade& downgrade : effective.downgrades()) {
    downgraded.insert(downgrade.field());
    EXPECT_FALSE(downgrade.requested().empty()) << downgrade.field();
    EXPECT_FALSE(downgrade.executed().empty()) << downgrade.field();
    EXPECT_FALSE(downgrade.reason().empty()) << downgrade.field();
  }
  for (const char* field : {"spec.cluster_shape", "spec.stage_hint", "spec.tmem_layout", "spec.io_extents"}) {
    EXPECT_TRUE(downgraded.contains(field)) << field;
  }

  EXPECT_GE(result.timings().queue_seconds(), 0);
  EXPECT_GE(result.timings().prefetch_seconds(), 0);
  EXPECT_GT(result.timings().compute_seconds(), 0);
  EXPECT_GT(result.timings().copy_seconds(), 0);
  ASSERT_TRUE(result.readings().has_wgmma_active());
  EXPECT_EQ(result.readings().wgmma_active().source(), v1::KERNEL);
  EXPECT_GT(result.readings().wgmma_active().ratio(), 0);
  EXPECT_LE(result.readings().wgmma_active().ratio(), 1);
  ASSERT_TRUE(result.readings().has_l2_hit());
  EXPECT_EQ(result.readings().l2_hit().source(), v1::MODEL);
  // Where this machine has counters, they count; where it has none, the daemon says why, and nothing is 0.
  const std::string counters = client().GetCapabilities()->devices(0).hardware_counters();
  const bool counted = result.readings().has_l2_hit_hardware() || result.readings().has_llc_hit_hardware();
  EXPECT_TRUE(!counted || !absl::StartsWith(counters, "none: ")) << counters;
  EXPECT_FALSE(counters.empty());
  EXPECT_FALSE(result.has_hardware_counts() && absl::StartsWith(counters, "none: "));
  EXPECT_FALSE(result.readings().has_tma_occ());  // No page source: absent, never 0.
  EXPECT_FALSE(result.readings().has_ring_occ());
}

TEST_F(WavesTest, AnUnlistedShapeIsToldWhenLenient) {
  v1::SubmitWaveRequest wave = MakeWave(4, 6, 2);
  wave.mutable_spec()->set_bm(2);
  wave.mutable_spec()->set_bn(2);
  wave.mutable_spec()->set_bk(2);
  SetWindow(&wave, 0, 3);
  const v1::WaveResult result = Run(wave);
  EXPECT_TRUE(result.effective().unlisted_shape());
  EXPECT_EQ(result.effective().tiles_listed(), 6u);
}

TEST_F(WavesTest, ASampleCoversTheWaves) {
  EXPECT_EQ(client().Sample()->waves(), 0u);
  Run(MakeWave(256, 256, 512));
  Run(MakeWave(256, 256, 512));
  const auto sample = client().Sample();
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_EQ(sample->device(), "cpu");
  EXPECT_EQ(sample->waves(), 2u);
  EXPECT_GT(sample->compute_seconds(), 0);
  EXPECT_TRUE(sample->readings().has_wgmma_active());
  for (const v1::Advice& advice : sample->advice()) EXPECT_FALSE(advice.text().empty()) << advice.metric();

  v1::WatchSamplesRequest request;
  request.mutable_interval()->set_nanos(50'000'000);
  const auto watch = client().WatchSamples(request);
  for (int i = 0; i < 3; ++i) {
    const auto event = watch->Next();
    ASSERT_TRUE(event.ok() && event->has_value()) << event.status();
    EXPECT_EQ((*event)->waves(), 2u);
  }
}

// ---- streams ----

TEST_F(WavesTest, AStreamPairsResultsBySequence) {
  constexpr uint64_t kWaves = 200;
  constexpr uint64_t kBad = 100;
  const v1::SubmitWaveRequest large = MakeWave(512, 256, 256);
  const v1::SubmitWaveRequest small = MakeWave(16, 16, 32, BF16);
  const auto stream = client().StreamWaves();
  std::thread writer([&] {
    for (uint64_t i = 0; i < kWaves; ++i) {
      v1::StreamWavesRequest request;
      request.set_sequence(1000 + i * 7);  // The client's own.
      *request.mutable_wave() = i % 5 == 0 ? large : small;
      request.mutable_wave()->set_alpha(static_cast<float>(i + 1));  // Makes each result its own.
      request.mutable_wave()->set_priority(static_cast<int32_t>(i % 3));
      if (i == kBad) request.mutable_wave()->mutable_spec()->set_bk(-1);
      if (!stream->Write(request)) break;
    }
    stream->WritesDone();
  });
  std::set<uint64_t> seen;
  bool in_order = true;
  const auto check = [&](const v1::StreamWavesResponse& response) {
    const uint64_t i = (response.sequence() - 1000) / 7;
    ASSERT_LT(i, kWaves);
    in_order = in_order && (seen.empty() || i > *seen.rbegin());
    ASSERT_TRUE(seen.insert(i).second) << "twice: " << i;
    if (i == kBad) {
      const absl::Status error = client::FromRpcStatus(response.error());
      ASSERT_TRUE(absl::IsInvalidArgument(error)) << response.ShortDebugString();
      ASSERT_EQ(client::DetailsOf(error).field_violations.size(), 1u);
      EXPECT_EQ(client::DetailsOf(error).field_violations[0].field, "spec.bk");
      return;
    }
    ASSERT_TRUE(response.has_result()) << response.ShortDebugString();
    v1::SubmitWaveRequest wave = i % 5 == 0 ? large : small;
    wave.set_alpha(static_cast<float>(i + 1));
    ASSERT_TRUE(IsRight(wave, response.result())) << "wave " << i;
  };
  while (const auto response = stream->Read()) check(*response);
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(seen.size(), kWaves);
  EXPECT_FALSE(in_order) << "priorities and two lanes must have changed the order";
}

TEST_F(WavesTest, AnEmptyStreamEndsInOrder) {
  const auto stream = client().StreamWaves();
  EXPECT_TRUE(stream->WritesDone());
  EXPECT_FALSE(stream->Read().has_value());
  EXPECT_TRUE(stream->Finish().ok());
}

// ---- order and cancellation ----

class OneLaneTest : public WavesTest {
 protected:
  void SetUp() override { StartDaemon({"--lanes=1", kLenient, kMetrics}); }
};

TEST_F(OneLaneTest, HigherPriorityRunsFirst) {
  LongWave blocker(&client(), MakeLongWave("blocker"));
  const auto stream = client().StreamWaves();
  const std::vector<int32_t> priorities = {-5, 0, 100, 7, -100};
  for (size_t i = 0; i < priorities.size(); ++i) {
    v1::StreamWavesRequest request;
    request.set_sequence(i);
    *request.mutable_wave() = MakeWave(16, 16, 32);
    request.mutable_wave()->set_priority(priorities[i]);
    ASSERT_TRUE(stream->Write(request));
  }
  stream->WritesDone();
  ASSERT_TRUE(WaitUntil([this] { return QueueDepth() == 5; }));
  blocker.Cancel();
  std::vector<uint64_t> order;
  while (auto response = stream->Read()) order.push_back(response->sequence());
  EXPECT_EQ(order, (std::vector<uint64_t>{2, 3, 1, 0, 4}));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(OneLaneTest, CancelWaveStopsRunningAndQueuedWaves) {
  LongWave running(&client(), MakeLongWave("running"));
  v1::SubmitWaveRequest wave = MakeWave(16, 16, 32);
  wave.set_client_id(client().client_id());
  wave.set_wave_id("queued");
  absl::Status queued;
  std::thread submitter([&] { queued = client().SubmitWave(wave).status(); });
  EXPECT_TRUE(WaitUntil([this] { return QueueDepth() == 1; }));

  // An id is one client's own.
  const auto other = Connect(daemon().tcp_address());
  EXPECT_TRUE(Is(other->CancelWave("queued").status(), absl::StatusCode::kNotFound, "WAVE_NOT_FOUND"));
  // And in use.
  EXPECT_TRUE(Is(client().SubmitWave(wave).status(), absl::StatusCode::kAlreadyExists, "WAVE_ID_IN_FLIGHT"));

  const auto cancelled = client().CancelWave("queued");
  EXPECT_TRUE(cancelled.ok() && !cancelled->had_started()) << cancelled.status();
  submitter.join();
  EXPECT_TRUE(Is(queued, absl::StatusCode::kCancelled, "CANCELLED"));
  running.Cancel();  // It had started.

  EXPECT_TRUE(Is(client().CancelWave("running").status(), absl::StatusCode::kNotFound, "WAVE_NOT_FOUND"));
  EXPECT_TRUE(absl::IsInvalidArgument(client().CancelWave(v1::CancelWaveRequest()).status()));
  EXPECT_EQ(GetMetrics().Sum("bwrt_waves_total", {{"outcome", "cancelled"}}), 2);
  EXPECT_TRUE(client().SubmitWave(wave).ok());  // The id is free again.
}

}  // namespace
}  // namespace bwrt::e2e
