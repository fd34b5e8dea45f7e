// Bad input: each gets its own code, reason and field paths, none harms the daemon, and what clients leave behind
// when they vanish is cleaned up.
#include <gtest/gtest.h>
#include <signal.h>

#include <functional>
#include <limits>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/e2e/daemon_fixture.h"
#include "tests/e2e/waves.h"

namespace bwrt::e2e {
namespace {

using absl::StatusCode;
using client::DetailsOf;
using client::ErrorDetails;

constexpr int64_t kInt64Max = std::numeric_limits<int64_t>::max();

class BadInputTest : public DaemonFixture {
 protected:
  void SetUp() override { StartDaemon({"--max-message-bytes=4M"}); }
};

// A valid wave that lists its tiles: 2 x 2, with a C.
v1::SubmitWaveRequest ValidWave() {
  v1::SubmitWaveRequest wave = MakeWave(256, 256, 64);
  wave.mutable_c()->set_inline_(std::string(256 * 256 * 4, '\0'));
  for (int i = 0; i < 4; ++i) {
    TileCoord* tile = wave.mutable_spec()->add_tile_order();
    tile->set_m(i / 2);
    tile->set_n(i % 2);
  }
  IoExtent* extent = wave.mutable_spec()->add_io_extents();
  extent->set_layer("3");
  extent->set_end_pid(4);
  SetWindow(&wave, 0, 5);
  for (int i = 0; i < 3; ++i) wave.mutable_spec()->add_pack_order(i);
  return wave;
}

struct BadWave {
  const char* name;
  std::function<void(v1::SubmitWaveRequest*)> spoil;
  // Field path to reason: exactly these.
  std::map<std::string, std::string> violations;
  // The error says this, among other things.
  const char* says = "";
};

const std::vector<BadWave>& BadWaves() {
  using Wave = v1::SubmitWaveRequest*;
  static const auto* const waves = new std::vector<BadWave>{
      {"UnlistedShape",
       [](Wave w) { w->mutable_spec()->mutable_tmem_layout()->set_stage_n(3); },
       {{"spec.bm", "TILE_SHAPE_UNLISTED"}},
       "nearest listed: (128,128,64,2,(2,1))"},
      {"KNotGranular",
       [](Wave w) {
         w->set_k(63);
         w->clear_a();
         w->clear_w();
       },
       {{"k", "K_GRANULARITY"}, {"a", "MISSING"}, {"w", "MISSING"}},
       "try k=64"},
      {"BkNotGranular",
       [](Wave w) { w->mutable_spec()->set_bk(60); },
       {{"spec.bk", "K_GRANULARITY"}, {"spec.bm", "TILE_SHAPE_UNLISTED"}},
       "try bk=64"},
      {"TileTwice",
       [](Wave w) { *w->mutable_spec()->mutable_tile_order(3) = w->spec().tile_order(1); },
       {{"spec.tile_order[3]", "TILE_REPEATED"}},
       "(0,1)"},
      {"TileOutside",
       [](Wave w) {
         w->mutable_spec()->mutable_tile_order(3)->set_m(2);
         w->mutable_spec()->mutable_tile_order(2)->set_n(-1);
       },
       {{"spec.tile_order[3].m", "TILE_OUTSIDE_GRID"}, {"spec.tile_order[2].n", "TILE_OUTSIDE_GRID"}}},
      {"FlatTileOutside",
       [](Wave w) {
         w->mutable_spec()->clear_tile_order();
         w->mutable_spec()->add_tile_order_flat(0xffff0000U);
       },
       {{"spec.tile_order_flat[0]", "TILE_OUTSIDE_GRID"}}},
      {"TraversalsDiffer",
       [](Wave w) { w->mutable_spec()->add_tile_order_flat(0); },
       {{"spec.tile_order_flat", "TRAVERSALS_DIFFER"}}},
      {"TilesMissingUnderExact",
       [](Wave w) {
         w->mutable_spec()->mutable_tile_order()->RemoveLast();
         w->set_coverage(v1::EXACT);
       },
       {{"coverage", "COVERAGE_INCOMPLETE"}}},
      {"WindowBeginsBelowZero", [](Wave w) { SetWindow(w, -1, 4); }, {{"spec.swap_begin", "SWAP_WINDOW"}}},
      {"WindowEmpty", [](Wave w) { SetWindow(w, 4, 4); }, {{"spec.swap_end", "SWAP_WINDOW"}}},
      {"WindowReversed", [](Wave w) { SetWindow(w, 4, 2); }, {{"spec.swap_end", "SWAP_WINDOW"}}},
      {"WindowAbsent", [](Wave w) { SetWindow(w, 0, 0); }, {{"spec.swap_end", "SWAP_WINDOW"}}},
      {"DimsNegativeOrZero",
       [](Wave w) {
         w->set_m(-1);
         w->set_n(0);
         w->set_k(std::numeric_limits<int64_t>::min());
       },
       {{"m", "DIM_OUT_OF_RANGE"}, {"n", "DIM_OUT_OF_RANGE"}, {"k", "DIM_OUT_OF_RANGE"}}},
      {"DimsOverflow",
       [](Wave w) {
         w->set_m(kInt64Max);
         w->set_n(int64_t{1} << 62);
         w->set_k(int64_t{1} << 33);
       },
       {{"m", "DIM_OUT_OF_RANGE"}, {"n", "DIM_OUT_OF_RANGE"}, {"k", "DIM_OUT_OF_RANGE"}}},
      {"TileDimsNegative",
       [](Wave w) {
         w->mutable_spec()->set_bm(-128);
         w->mutable_spec()->set_bn(0);
         w->mutable_spec()->set_bk(-64);
         w->mutable_spec()->mutable_cluster_shape()->set_x(-2);
         w->mutable_spec()->set_stage_hint(9);
       },
       {{"spec.bm", "DIM_OUT_OF_RANGE"},
        {"spec.bn", "DIM_OUT_OF_RANGE"},
        {"spec.bk", "DIM_OUT_OF_RANGE"},
        {"spec.cluster_shape.x", "NEGATIVE"},
        {"spec.stage_hint", "STAGES"}}},
      {"StridesNegativeSmallOrOverflowing",
       [](Wave w) {
         w->mutable_a()->set_row_stride(-64);
         w->mutable_w()->set_row_stride(255);
         w->mutable_c()->set_row_stride(kInt64Max / 2);
       },
       {{"a.row_stride", "STRIDE"}, {"w.row_stride", "STRIDE"}, {"c.row_stride", "STRIDE"}}},
      {"BytesDoNotMatchTheShape",
       [](Wave w) {
         w->mutable_a()->mutable_inline_()->pop_back();
         w->mutable_w()->mutable_inline_()->push_back('x');
         w->mutable_c()->set_inline_("");
       },
       {{"a.inline", "OPERAND_SIZE"}, {"w.inline", "OPERAND_SIZE"}, {"c.inline", "OPERAND_SIZE"}},
       "exactly 65536 bytes"},
      {"UnknownDTypes",
       [](Wave w) {
         w->mutable_spec()->set_dtype(static_cast<DType>(99));
         w->set_c_dtype(static_cast<DType>(-1));
       },
       {{"spec.dtype", "UNKNOWN_DTYPE"}, {"c_dtype", "UNKNOWN_DTYPE"}}},
      {"TypeOfCIsNeither",
       [](Wave w) { w->set_c_dtype(BF16); },
       {{"c_dtype", "C_DTYPE"}, {"c.inline", "OPERAND_SIZE"}}},
      {"IdsBeyondInt32",
       [](Wave w) {
         w->mutable_spec()->set_pack_order(1, int64_t{1} << 31);
         w->mutable_spec()->set_pack_order(2, -1);
         w->mutable_spec()->mutable_io_extents(0)->set_start_pid(int64_t{1} << 40);
         w->mutable_spec()->mutable_io_extents(0)->set_end_pid(kInt64Max);
       },
       {{"spec.pack_order[1]", "ID_OUT_OF_RANGE"},
        {"spec.pack_order[2]", "ID_OUT_OF_RANGE"},
        {"spec.io_extents[0].start_pid", "ID_OUT_OF_RANGE"},
        {"spec.io_extents[0].end_pid", "ID_OUT_OF_RANGE"}}},
      {"TooManyTilesInTheGrid",
       [](Wave w) {
         w->set_m(1 << 24);
         w->mutable_a()->clear_inline_();
         w->clear_c();
       },
       {{"spec.bm", "TOO_MANY_TILES"}, {"a", "MISSING"}, {"c", "RESULT_SIZE"}}},
      {"TooManyEntries",
       [](Wave w) {
         for (int i = 0; i < 65537; ++i) {
           w->mutable_spec()->add_tile_order();
           w->mutable_spec()->add_io_extents()->set_layer("3");
           w->mutable_spec()->add_pack_order(1);
         }
       },
       {{"spec.tile_order", "TOO_MANY"}, {"spec.io_extents", "TOO_MANY"}, {"spec.pack_order", "TOO_MANY"}},
       "at most 65536"},
      {"AlphaAndBetaNotFinite",
       [](Wave w) {
         w->set_alpha(std::numeric_limits<float>::quiet_NaN());
         w->set_beta(std::numeric_limits<float>::infinity());
       },
       {{"alpha", "NOT_FINITE"}, {"beta", "NOT_FINITE"}}},
      {"BetaWithoutC",
       [](Wave w) {
         w->set_beta(1);
         w->clear_c();
       },
       {{"beta", "BETA_WITHOUT_C"}}},
      {"UnknownValues",
       [](Wave w) {
         w->set_activation(static_cast<v1::Activation>(99));
         w->set_coverage(static_cast<v1::Coverage>(-7));
         w->mutable_spec()->set_tail_policy(static_cast<TailPolicy>(99));
       },
       {{"activation", "UNKNOWN_VALUE"}, {"coverage", "UNKNOWN_VALUE"}, {"spec.tail_policy", "UNKNOWN_VALUE"}}},
      {"OperandsFromTheWrongPlace",
       [](Wave w) {
         w->mutable_a()->set_tensor("t");
         w->mutable_c()->set_tensor("t");
         w->mutable_w()->clear_inline_();
       },
       {{"a.tensor", "OPERAND_SOURCE"}, {"c.tensor", "OPERAND_SOURCE"}, {"w", "MISSING"}}},
      {"NamesAndIds",
       [](Wave w) {
         w->set_model("no such name");
         w->set_wave_id(std::string(129, 'x'));
         w->mutable_spec()->mutable_io_extents(0)->set_layer("");
       },
       {{"model", "MODEL_NAME"},
        {"wave_id", "TOO_LONG"},
        {"client_id", "MISSING"},
        {"spec.io_extents[0].layer", "LAYER_NAME"}}},
      {"TheRest",
       [](Wave w) {
         w->add_bias(1);
         w->set_priority(101);
         w->mutable_timeout()->set_seconds(-1);
       },
       {{"bias", "BIAS_SIZE"}, {"priority", "OUT_OF_RANGE"}, {"timeout", "OUT_OF_RANGE"}}},
      {"SeveralPartsAtOnce",
       [](Wave w) {
         w->mutable_spec()->set_bk(24);
         w->mutable_spec()->mutable_tile_order(3)->set_m(9);
         SetWindow(w, 5, 5);
         w->mutable_spec()->set_pack_order(0, int64_t{1} << 31);
         w->set_alpha(std::numeric_limits<float>::quiet_NaN());
         w->mutable_a()->mutable_inline_()->pop_back();
         w->set_priority(-101);
       },
       {{"spec.bm", "TILE_SHAPE_UNLISTED"},
        {"spec.tile_order[3].m", "TILE_OUTSIDE_GRID"},
        {"spec.swap_end", "SWAP_WINDOW"},
        {"spec.pack_order[0]", "ID_OUT_OF_RANGE"},
        {"alpha", "NOT_FINITE"},
        {"a.inline", "OPERAND_SIZE"},
        {"priority", "OUT_OF_RANGE"}}},
  };
  return *waves;
}

// Success if `status` is INVALID_ARGUMENT with exactly these violations, each described by path and value.
testing::AssertionResult HasViolations(const absl::Status& status, std::map<std::string, std::string> want,
                                       absl::string_view says = "") {
  const auto fail = [&](absl::string_view what) {
    return testing::AssertionFailure() << what << " in " << client::FormatError(status);
  };
  if (!absl::IsInvalidArgument(status)) return fail("not INVALID_ARGUMENT");
  const ErrorDetails details = DetailsOf(status);
  if (details.reason.empty()) return fail("no ErrorInfo");
  bool said = absl::StrContains(status.message(), says);
  for (const client::FieldViolation& violation : details.field_violations) {
    const auto at = want.find(violation.field);
    if (at == want.end()) return fail(absl::StrCat("unexpected ", violation.field));
    if (at->second != violation.reason) return fail(absl::StrCat("another reason for ", violation.field));
    if (!absl::StartsWith(violation.description, violation.field + "=")) return fail("no value described");
    said = said || absl::StrContains(violation.description, says);
    want.erase(at);
  }
  if (!want.empty()) return fail(absl::StrCat("no ", want.begin()->first));
  if (!said) return fail(absl::StrCat("no word of ", says));
  return testing::AssertionSuccess();
}

TEST_F(BadInputTest, EveryViolationIsNamed) {
  ASSERT_TRUE(client().SubmitWave(ValidWave()).ok());
  for (const BadWave& bad : BadWaves()) {
    SCOPED_TRACE(bad.name);
    v1::SubmitWaveRequest wave = ValidWave();
    bad.spoil(&wave);
    EXPECT_TRUE(HasViolations(client().SubmitWave(wave).status(), bad.violations, bad.says));
  }
  EXPECT_EQ(client().Sample()->waves(), 1u);  // None of them ran.
}

TEST_F(BadInputTest, AStreamAnswersTheSameAndGoesOn) {
  const auto stream = client().StreamWaves();
  for (size_t i = 0; i < BadWaves().size(); ++i) {
    v1::StreamWavesRequest request;
    request.set_sequence(i);
    *request.mutable_wave() = ValidWave();
    BadWaves()[i].spoil(request.mutable_wave());
    ASSERT_TRUE(stream->Write(request));
    const auto response = stream->Read();
    ASSERT_TRUE(response.has_value());
    EXPECT_EQ(response->sequence(), i);
    EXPECT_TRUE(HasViolations(client::FromRpcStatus(response->error()), BadWaves()[i].violations))
        << BadWaves()[i].name;
  }
  v1::StreamWavesRequest good;
  *good.mutable_wave() = ValidWave();
  ASSERT_TRUE(stream->Write(good));
  EXPECT_TRUE(stream->Read()->has_result());
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(BadInputTest, ViolationsBeyondWhatAnErrorHoldsAreCounted) {
  v1::SubmitWaveRequest wave = ValidWave();
  for (int i = 0; i < 2000; ++i) wave.mutable_spec()->add_pack_order(-1);
  const absl::Status status = client().SubmitWave(wave).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  const auto violations = DetailsOf(status).field_violations;
  ASSERT_GT(violations.size(), 10u);
  EXPECT_LE(violations.size(), 66u);
  EXPECT_TRUE(absl::StrContains(violations.back().description, "not listed") ||
              absl::StrContains(violations.back().description, "more"))
      << violations.back().description;
}

TEST_F(BadInputTest, SetWeights) {
  v1::SetWeightsRequest request;
  v1::Tensor tensor;
  tensor.set_name("w");
  tensor.set_dtype(F32);
  tensor.add_shape(2);
  tensor.set_data(std::string(8, '\0'));
  EXPECT_TRUE(HasViolations(client().SetWeights(request).status(), {{"tensors", "MISSING"}}));

  *request.add_tensors() = tensor;
  *request.add_tensors() = tensor;
  for (const char* name : {"/w", "a/../w", "", "a\x01"}) {
    *request.add_tensors() = tensor;
    request.mutable_tensors()->rbegin()->set_name(name);
  }
  for (int i = 6; i < 11; ++i) {
    *request.add_tensors() = tensor;
    request.mutable_tensors(i)->set_name(absl::StrCat("w", i));
  }
  request.mutable_tensors(6)->set_dtype(DTYPE_UNSPECIFIED);
  request.mutable_tensors(7)->clear_shape();
  request.mutable_tensors(8)->set_shape(0, -2);
  request.mutable_tensors(9)->mutable_data()->pop_back();
  for (int i = 0; i < 7; ++i) request.mutable_tensors(10)->add_shape(1 << 24);
  request.set_label(std::string(257, 'x'));
  request.set_model("-");
  request.set_policy(static_cast<v1::SwapPolicy>(9));
  request.mutable_hold_after()->set_seconds(1);
  EXPECT_TRUE(HasViolations(client().SetWeights(request).status(), {{"tensors[1].name", "TENSOR_REPEATED"},
                                                                    {"tensors[2].name", "TENSOR_NAME"},
                                                                    {"tensors[3].name", "TENSOR_NAME"},
                                                                    {"tensors[4].name", "TENSOR_NAME"},
                                                                    {"tensors[5].name", "TENSOR_NAME"},
                                                                    {"tensors[6].dtype", "UNKNOWN_DTYPE"},
                                                                    {"tensors[7].shape", "DIMS"},
                                                                    {"tensors[8].shape[0]", "DIM_OUT_OF_RANGE"},
                                                                    {"tensors[9].data", "TENSOR_SIZE"},
                                                                    {"tensors[10].shape", "TENSOR_SIZE"},
                                                                    {"label", "TOO_LONG"},
                                                                    {"model", "MODEL_NAME"},
                                                                    {"policy", "UNKNOWN_VALUE"},
                                                                    {"hold_after", "POLICY"}}));
  EXPECT_EQ(client().GetModel("")->summary().version(), 0u);
}

TEST_F(BadInputTest, TheOtherCalls) {
  v1::GetModelRequest get;
  get.set_max_tensors(10'001);
  EXPECT_TRUE(HasViolations(client().GetModel(get).status(), {{"max_tensors", "OUT_OF_RANGE"}}));
  v1::WatchSamplesRequest watch;
  watch.mutable_interval()->set_seconds(3601);
  EXPECT_TRUE(HasViolations(client().WatchSamples(watch)->Next().status(), {{"interval", "OUT_OF_RANGE"}}));
  EXPECT_TRUE(HasViolations(client().CancelWave(v1::CancelWaveRequest()).status(),
                            {{"client_id", "MISSING"}, {"wave_id", "MISSING"}}));
}

TEST_F(BadInputTest, WhatIsNotThereIsNamed) {
  const auto names = [](const absl::Status& status, StatusCode code, const char* reason, const char* name) {
    if (auto is = Is(status, code, reason); !is) return is;
    if (absl::StrContains(status.message(), name)) return testing::AssertionSuccess();
    return testing::AssertionFailure() << name << " is not named: " << status;
  };
  v1::SubmitWaveRequest wave = ValidWave();
  wave.set_model("llama");
  EXPECT_TRUE(names(client().SubmitWave(wave).status(), StatusCode::kNotFound, "MODEL_NOT_FOUND", "llama"));
  EXPECT_TRUE(names(client().ValidateWave(wave).status(), StatusCode::kNotFound, "MODEL_NOT_FOUND", "llama"));
  EXPECT_TRUE(names(client().GetModel("llama").status(), StatusCode::kNotFound, "MODEL_NOT_FOUND", "llama"));
  EXPECT_TRUE(names(client().WatchModel("llama")->Next().status(), StatusCode::kNotFound, "MODEL_NOT_FOUND", "llama"));
  EXPECT_EQ(client().ListModels()->models_size(), 1);  // A wave never creates one.
  EXPECT_TRUE(names(client().SubmitWave(WithStored(ValidWave(), "layers/9.w")).status(), StatusCode::kNotFound,
                    "TENSOR_NOT_FOUND", "layers/9.w"));
  v1::SampleRequest sample;
  sample.set_device("cuda:7");
  EXPECT_TRUE(names(client().Sample(sample).status(), StatusCode::kNotFound, "DEVICE_NOT_FOUND", "cuda:7"));
  v1::SetWeightsRequest set = Publish(WeightOf(MakeWave(8, 8, 8), "w"));
  set.set_model("llama");
  set.set_base_version(3);
  EXPECT_TRUE(names(client().SetWeights(set).status(), StatusCode::kNotFound, "MODEL_NOT_FOUND", "llama"));
}

TEST_F(BadInputTest, PreconditionsThatDoNotHold) {
  const std::string planned = absl::StrCat("sha256:", std::string(64, '0'));
  v1::SubmitWaveRequest wave = ValidWave();
  wave.set_whitelist_digest(planned);
  absl::Status status = client().SubmitWave(wave).status();
  EXPECT_TRUE(Is(status, StatusCode::kFailedPrecondition, "WHITELIST_MISMATCH"));
  const std::string digest = client().GetCapabilities()->whitelist_digest();
  EXPECT_TRUE(absl::StrContains(status.message(), planned)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), digest)) << status;
  EXPECT_EQ(DetailsOf(status).metadata.at("planned"), planned);
  EXPECT_EQ(DetailsOf(status).metadata.at("daemon"), digest);
  wave.set_whitelist_digest(digest);
  EXPECT_TRUE(client().SubmitWave(wave).ok());

  wave.set_required_version(5);
  status = client().SubmitWave(wave).status();
  EXPECT_TRUE(Is(status, StatusCode::kFailedPrecondition, "VERSION_MISMATCH"));
  EXPECT_EQ(DetailsOf(status).metadata.at("required_version"), "5");
  EXPECT_EQ(DetailsOf(status).metadata.at("current_version"), "0");

  const auto published = client().SetWeights(Publish(WeightOf(ValidWave(), "w")));
  ASSERT_TRUE(published.ok()) << client::FormatError(published.status());
  wave = WithStored(ValidWave(), "w");
  wave.set_required_version(1);
  EXPECT_TRUE(client().SubmitWave(wave).ok());
  EXPECT_TRUE(Is(client().SubmitWave(WithStored(MakeWave(256, 256, 64, BF16), "w")).status(),
                 StatusCode::kFailedPrecondition, "WEIGHT_DTYPE"));
  EXPECT_TRUE(Is(client().SubmitWave(WithStored(MakeWave(256, 128, 64), "w")).status(), StatusCode::kFailedPrecondition,
                 "WEIGHT_SHAPE"));
}

TEST_F(BadInputTest, MessagesOverTheLimit) {
  v1::SubmitWaveRequest wave = MakeWave(8, 8, 8);
  wave.mutable_a()->set_inline_(std::string(5 << 20, 'x'));
  EXPECT_EQ(client().SubmitWave(wave).status().code(), StatusCode::kResourceExhausted);
  v1::SetWeightsRequest set = Publish(WeightOf(MakeWave(8, 8, 8), "w"));
  set.mutable_tensors(0)->set_data(std::string(5 << 20, 'x'));
  EXPECT_EQ(client().SetWeights(set).status().code(), StatusCode::kResourceExhausted);
  const auto stream = client().StreamWaves();
  v1::StreamWavesRequest request;
  *request.mutable_wave() = wave;
  stream->Write(request);
  stream->WritesDone();
  EXPECT_FALSE(stream->Read().has_value());
  EXPECT_EQ(stream->Finish().code(), StatusCode::kResourceExhausted);
}

TEST(LimitsTest, QueueBytesModelsAndWeightMemory) {
  auto daemon = Daemon::Start({"--queue-bytes=1M", "--max-models=2", "--weight-memory-limit=1M"});
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  auto client = client::Client::Connect((*daemon)->unix_address());
  ASSERT_TRUE(client.ok()) << client.status();
  // It would not fit into an empty queue either: waiting can't help, and the error does not say so.
  const absl::Status large = (*client)->SubmitWave(MakeWave(512, 512, 512)).status();
  EXPECT_TRUE(Is(large, StatusCode::kResourceExhausted, "WAVE_TOO_LARGE"));
  EXPECT_FALSE(DetailsOf(large).retry_delay.has_value());

  const v1::SubmitWaveRequest small = MakeWave(16, 64, 64);
  v1::SetWeightsRequest set = Publish(WeightOf(small, "w"));
  set.set_model("second");
  EXPECT_TRUE((*client)->SetWeights(set).ok());
  set.set_model("third");
  EXPECT_TRUE(Is((*client)->SetWeights(set).status(), StatusCode::kResourceExhausted, "TOO_MANY_MODELS"));
  EXPECT_TRUE(Is((*client)->SetWeights(Publish(WeightOf(MakeWave(16, 512, 1024), "large"))).status(),
                 StatusCode::kResourceExhausted, "WEIGHT_MEMORY"));
  EXPECT_EQ((*client)->ListModels()->models_size(), 2);
  EXPECT_TRUE((*client)->SubmitWave(small).ok());
  client->reset();
  EXPECT_EQ((*daemon)->Stop(), 0);
}

// ---- work that waits ----

class BusyLaneTest : public DaemonFixture {
 protected:
  void SetUp() override { StartDaemon({"--lanes=1", "--queue-waves=1", kLenient, kMetrics}); }
};

TEST_F(BusyLaneTest, AFullQueueRefuses) {
  LongWave running(&client(), MakeLongWave("running"));
  v1::SubmitWaveRequest wave = MakeWave(16, 16, 32);
  absl::Status queued;
  std::thread submitter([&] { queued = client().SubmitWave(wave).status(); });
  EXPECT_TRUE(WaitUntil([this] { return QueueDepth() == 1; }));
  const absl::Status full = client().SubmitWave(wave).status();
  EXPECT_TRUE(Is(full, StatusCode::kResourceExhausted, "QUEUE_FULL"));
  EXPECT_GT(DetailsOf(full).retry_delay, absl::ZeroDuration());
  running.Cancel();
  submitter.join();
  EXPECT_TRUE(queued.ok()) << queued;
  EXPECT_EQ(GetMetrics().Sum("bwrt_wave_rejections_total", {{"reason", "QUEUE_FULL"}}), 1);
}

TEST_F(BusyLaneTest, ExpiredWorkDoesNotRun) {
  LongWave running(&client(), MakeLongWave("running"));
  v1::SubmitWaveRequest wave = MakeWave(16, 16, 32);
  wave.mutable_timeout()->set_nanos(20'000'000);
  const absl::Status status = client().SubmitWave(wave).status();
  EXPECT_TRUE(Is(status, StatusCode::kDeadlineExceeded, "DEADLINE"));
  EXPECT_TRUE(absl::StrContains(status.message(), "did not run")) << status;

  // The RPC's own deadline. The client gives up by itself, and the daemon drops the wave too.
  wave.clear_timeout();
  EXPECT_EQ(client().SubmitWave(wave, {.timeout = absl::Milliseconds(20)}).status().code(),
            StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(WaitUntil([this] { return QueueDepth() == 0; }));
  EXPECT_TRUE(running.IsRunning()) << "the long wave was too short to prove anything";
  running.Cancel();
  EXPECT_EQ(client().Sample()->waves(), 0u);                      // No wave has run to its end,
  EXPECT_TRUE(client().GetModel("")->window().claims().empty());  // and none rests in the window.
  EXPECT_EQ(GetMetrics().Sum("bwrt_waves_total", {{"outcome", "ok"}}), 0);
}

TEST_F(BusyLaneTest, ARunningWaveStopsAtItsDeadline) {
  v1::SubmitWaveRequest wave = MakeLongWave("");
  wave.mutable_timeout()->set_nanos(300'000'000);
  const absl::Status status = client().SubmitWave(wave).status();
  EXPECT_TRUE(Is(status, StatusCode::kDeadlineExceeded, "DEADLINE"));
  EXPECT_TRUE(absl::StrContains(status.message(), "stopped between two tiles")) << status;
  EXPECT_TRUE(client().SubmitWave(MakeWave(16, 16, 32)).ok());
}

// ---- clients that vanish ----

class VanishingClientTest : public DaemonFixture {
 protected:
  void SetUp() override { StartDaemon({"--lanes=1", kLenient, kMetrics}); }

  // RPCs of that name that have started and not ended.
  double Open(const std::string& method) {
    const Scrape metrics = GetMetrics();
    return metrics.Sum("grpc_server_started_total", {{"grpc_method", method}}) -
           metrics.Sum("grpc_server_handled_total", {{"grpc_method", method}});
  }

  std::unique_ptr<Process> Bwrtctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"client/bwrtctl", "--server", daemon().unix_address()});
    auto process = Process::Start(arguments);
    EXPECT_TRUE(process.ok()) << process.status();
    return process.ok() ? *std::move(process) : nullptr;
  }

  void ExpectNothingLeft() {
    EXPECT_TRUE(WaitUntil([this] { return IsIdle(); })) << client().GetModel("")->DebugString();
    for (const char* method : {"SubmitWave", "StreamWaves", "WatchModel", "WatchSamples", "SetWeights", "Watch"}) {
      EXPECT_TRUE(WaitUntil([&] { return Open(method) == 0; })) << method;
    }
    EXPECT_TRUE(client().SubmitWave(MakeWave(16, 16, 32)).ok());
  }
};

TEST_F(VanishingClientTest, InAWave) {
  const std::vector<std::string> submit = {"submit", "--m", "1024", "--n", "1024", "--k", "1024",
                                           "--bm",   "1",   "--bn", "1",   "--bk", "8"};
  const auto running = Bwrtctl(submit);
  ASSERT_TRUE(WaitUntil([this] { return GetMetrics().Sum("bwrt_waves_in_flight") == 1; }));
  const auto queued = Bwrtctl(submit);
  ASSERT_TRUE(WaitUntil([this] { return QueueDepth() == 1; }));
  queued->Signal(SIGKILL);
  EXPECT_TRUE(WaitUntil([this] { return QueueDepth() == 0; }));
  EXPECT_EQ(GetMetrics().Sum("bwrt_waves_in_flight"), 1);
  running->Signal(SIGKILL);
  ExpectNothingLeft();
  EXPECT_EQ(GetMetrics().Sum("bwrt_waves_total", {{"outcome", "cancelled"}}), 2);
}

TEST_F(VanishingClientTest, InAStream) {
  auto vanishing = Connect(daemon().tcp_address());
  auto stream = vanishing->StreamWaves();
  v1::StreamWavesRequest request;
  *request.mutable_wave() = MakeLongWave("");
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(WaitUntil([this] { return QueueDepth() == 2; }));
  stream.reset();
  vanishing.reset();
  ExpectNothingLeft();
  EXPECT_EQ(GetMetrics().Sum("bwrt_waves_total", {{"outcome", "cancelled"}}), 3);
}

TEST_F(VanishingClientTest, InAWatch) {
  const auto model = Bwrtctl({"watch"});
  const auto samples = Bwrtctl({"sample", "--watch", "--interval", "50ms"});
  ASSERT_TRUE(WaitUntil([this] { return Open("WatchModel") == 1 && Open("WatchSamples") == 1; }));
  model->Signal(SIGKILL);
  samples->Signal(SIGKILL);
  ExpectNothingLeft();
}

TEST_F(VanishingClientTest, InASwapThatWaits) {
  v1::SubmitWaveRequest tight = MakeWave(256, 256, 32);
  SetWindow(&tight, 0, 1);
  ASSERT_TRUE(client().SubmitWave(tight).ok());
  const auto set = Bwrtctl({"weights", "set", "default", "--tensor", "w:f32:4x4=random:1", "--policy", "wait"});
  const auto waiting = [this] { return client().GetModel("")->window().waiting_swaps(); };
  ASSERT_TRUE(WaitUntil([&] { return waiting() == 1; }));
  set->Signal(SIGKILL);
  EXPECT_TRUE(WaitUntil([&] { return waiting() == 0; }));
  ExpectNothingLeft();  // Its wave opens the window: nothing may be there to take it.
  EXPECT_EQ(client().GetModel("")->summary().version(), 0u);
  EXPECT_EQ(GetMetrics().Sum("bwrt_swap_total", {{"outcome", "cancelled"}}), 1);
  EXPECT_EQ(GetMetrics().Sum("bwrt_weight_bytes"), 0);
}

}  // namespace
}  // namespace bwrt::e2e
