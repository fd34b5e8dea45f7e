// The specification by test: random waves against an oracle, and broken ones against the error they must get.
//
// A failure names a seed and a wave. To have that wave alone again:
//   bazel test --test_env=BWRT_SEED=N --test_env=BWRT_WAVE=I //tests/e2e:random_waves_test
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/bad_wave_generator.h"
#include "client/dtype.h"
#include "client/status.h"
#include "client/wave_features.h"
#include "client/wave_generator.h"
#include "client/wave_oracle.h"
#include "tests/e2e/daemon_fixture.h"
#include "tests/e2e/waves.h"

namespace bwrt::e2e {
namespace {

using client::BadWave;
using client::BadWaveGenerator;
using client::DTypeName;
using client::GeneratedWave;
using client::PublishedModel;
using client::WaveGenerator;
using client::WaveOracle;

constexpr uint64_t kValidWaves = 5000;  // For each daemon.
constexpr uint64_t kBadWaves = 1000;
constexpr uint64_t kPreviews = 500;
constexpr int kEnoughFailures = 8;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  uint64_t value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

// What became of the wish for something the device may not do: "" where it was done or the result tells why not.
std::string Untold(const v1::SubmitWaveRequest& request, const v1::EffectiveSpec& effective) {
  const WaveSpec& spec = request.spec();
  const auto told = [&](absl::string_view field) {
    const auto& downgrades = effective.downgrades();
    return std::any_of(downgrades.begin(), downgrades.end(), [&](const v1::Downgrade& downgrade) {
      return absl::StartsWith(downgrade.field(), field) && !downgrade.reason().empty();
    });
  };
  const int stage_n = std::max(spec.tmem_layout().stage_n(), 1);
  const int stages = spec.stage_hint() != 0 ? spec.stage_hint() : stage_n;
  const TMemLayout& tmem = spec.tmem_layout();
  if (effective.stages() != stages && !told("spec.stage_hint") && !told("spec.tmem_layout.stage_n")) return "stages";
  if (effective.k_step() != spec.bk() && !told("spec.bk")) return "spec.bk";
  if ((effective.cluster().x() != std::max(spec.cluster_shape().x(), 1) ||
       effective.cluster().y() != std::max(spec.cluster_shape().y(), 1)) &&
      !told("spec.cluster_shape")) {
    return "spec.cluster_shape";
  }
  if ((tmem.columns() != 0 || tmem.phases() != 0 || tmem.double_buffer()) && !told("spec.tmem_layout")) {
    return "spec.tmem_layout";
  }
  if (!spec.io_extents().empty() && !told("spec.io_extents")) return "spec.io_extents";  // No page source here.
  return effective.traversal_honoured() ? "" : "traversal";
}

// A wave to validate may leave its operands out.
v1::SubmitWaveRequest WithoutBytes(v1::SubmitWaveRequest request) {
  request.clear_a();
  if (request.w().source_case() == v1::Operand::kInline) request.clear_w();
  request.mutable_c()->clear_inline_();
  return request;
}

class RandomWavesTest : public DaemonFixture, public testing::WithParamInterface<bool> {
 protected:
  using Answer = std::function<void(uint64_t index, const v1::StreamWavesResponse& response)>;

  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(StartDaemon(GetParam() ? std::vector<std::string>{kLenient} : std::vector<std::string>{}));
    const auto capabilities = client().GetCapabilities();
    ASSERT_TRUE(capabilities.ok()) << capabilities.status();
    client::WaveSpace space = client::SpaceOf(*capabilities);
    space.client_id = client().client_id();
    const uint64_t seed = FromEnvironment("BWRT_SEED", 20'240'607);
    for (const char* name : {"default", "adapters/a-1.5"}) {
      PublishedModel model = client::RandomModel(seed, name);
      const auto published = client().SetWeights(client::Publication(model));
      ASSERT_TRUE(published.ok()) << published.status();
      model.version = published->version();
      space.models.push_back(std::move(model));
    }
    waves_ = std::make_unique<WaveGenerator>(seed, std::move(space));
  }

  // Sends waves [0, count) while answers come in, in any order. Stops early once enough has failed.
  void Stream(uint64_t count, const std::function<v1::SubmitWaveRequest(uint64_t)>& make, const Answer& answer) {
    const auto stream = client().StreamWaves();
    uint64_t sent = 0;
    std::thread writer([&] {
      for (uint64_t index = 0; index < count; ++index) {
        if (!IsWanted(index)) continue;
        ++sent;
        v1::StreamWavesRequest request;
        request.set_sequence(index);
        *request.mutable_wave() = make(index);
        if (!stream->Write(request)) break;
      }
      stream->WritesDone();
    });
    uint64_t answers = 0;
    while (const auto response = stream->Read()) {
      ++answers;
      answer(response->sequence(), *response);
      if (failures_ >= kEnoughFailures) stream->Cancel();
    }
    writer.join();
    const absl::Status end = stream->Finish();
    if (failures_ >= kEnoughFailures) return;
    EXPECT_TRUE(end.ok()) << end;
    EXPECT_EQ(answers, sent);
  }

  static bool IsWanted(uint64_t index) { return FromEnvironment("BWRT_WAVE", index) == index; }

  void Fail(const std::string& reproduce, const std::string& description, const std::string& mismatch) {
    if (failures_++ < kEnoughFailures) ADD_FAILURE() << reproduce << "\n  " << description << "\n  " << mismatch;
  }

  // Compares one result with the oracle.
  void Judge(uint64_t index, const GeneratedWave& wave, const v1::StreamWavesResponse& response) {
    const auto fail = [&](const std::string& mismatch) {
      Fail(waves_->Reproduce(index), client::DescribeWave(wave.request), mismatch);
    };
    if (response.has_error()) return fail(client::FormatError(client::FromRpcStatus(response.error())));
    const auto oracle = WaveOracle::Create(wave.request, wave.stored_w);
    if (!oracle.ok()) return fail(oracle.status().ToString());
    const client::Verdict verdict = oracle->Judge(response.result());
    double& worst = worst_[absl::StrCat(DTypeName(oracle->dtype()), "_", DTypeName(oracle->c_dtype()))];
    worst = std::max(worst, verdict.worst_rel_error);
    if (!verdict.ok()) return fail(verdict.mismatch);
    const v1::EffectiveSpec& effective = response.result().effective();
    const std::string untold = Untold(wave.request, effective);
    if (!untold.empty()) fail(absl::StrCat("no downgrade tells what became of ", untold));
  }

  using Preview =
      std::function<std::string(const GeneratedWave& wave, const WaveOracle& oracle, const v1::ValidateWaveResponse&)>;

  // Asks what would become of some waves; `mismatch` says what is wrong with an answer.
  void Validate(const Preview& mismatch) {
    for (uint64_t index = 0; index < kPreviews && failures_ < kEnoughFailures; ++index) {
      if (!IsWanted(index)) continue;
      const GeneratedWave wave = waves_->Generate(index);
      const auto oracle = WaveOracle::Create(wave.request, wave.stored_w);
      ASSERT_TRUE(oracle.ok()) << waves_->Reproduce(index) << ": " << oracle.status();
      const auto preview = client().ValidateWave(index % 2 == 0 ? wave.request : WithoutBytes(wave.request));
      const std::string wrong =
          preview.ok() ? mismatch(wave, *oracle, *preview) : client::FormatError(preview.status());
      if (!wrong.empty()) Fail(waves_->Reproduce(index), client::DescribeWave(wave.request), wrong);
    }
  }

  std::unique_ptr<WaveGenerator> waves_;
  std::map<std::string, double> worst_;  // Tile of each combination of types.

 private:
  int failures_ = 0;
};

TEST_P(RandomWavesTest, ValidWavesAgreeWithTheOracle) {
  std::mutex mu;
  std::map<uint64_t, GeneratedWave> sent;  // What waits for its answer.
  Stream(
      kValidWaves,
      [&](uint64_t index) {
        GeneratedWave wave = waves_->Generate(index);
        const std::lock_guard<std::mutex> lock(mu);
        return sent.emplace(index, std::move(wave)).first->second.request;
      },
      [&](uint64_t index, const v1::StreamWavesResponse& response) {
        std::map<uint64_t, GeneratedWave>::node_type wave;
        {
          const std::lock_guard<std::mutex> lock(mu);
          wave = sent.extract(index);
        }
        ASSERT_FALSE(wave.empty()) << "two answers to wave " << index;
        Judge(index, wave.mapped(), response);
      });
  for (const auto& [types, error] : worst_) {
    RecordProperty("worst_" + types, absl::StrCat(error));
    GTEST_LOG_(INFO) << "worst tile, " << types << ": " << error;
  }
}

TEST_P(RandomWavesTest, ValidateWaveShowsTheOrderOfTiles) {
  Validate([](const GeneratedWave&, const WaveOracle& oracle, const v1::ValidateWaveResponse& preview) {
    return oracle.Judge(preview).mismatch;
  });
}

TEST_P(RandomWavesTest, WhatOnlyALenientDaemonRunsIsSaid) {
  Validate([&](const GeneratedWave& wave, const WaveOracle& oracle, const v1::ValidateWaveResponse& preview) {
    const bool want = client::NeedsLeniency(waves_->space(), wave.request, oracle.dtype());
    const bool got = preview.effective().unlisted_shape();
    return got == want ? "" : absl::StrCat("effective.unlisted_shape is ", got, ", want ", want);
  });
}

TEST_P(RandomWavesTest, BadWavesGetTheirReason) {
  const BadWaveGenerator bad(waves_.get());
  Stream(
      kBadWaves, [&](uint64_t index) { return bad.Generate(index).request; },
      [&](uint64_t index, const v1::StreamWavesResponse& response) {
        const BadWave wave = bad.Generate(index);
        const std::string misjudged =
            response.has_error() ? Misjudged(wave, client::FromRpcStatus(response.error())) : "it ran";
        if (misjudged.empty()) return;
        Fail(bad.Reproduce(index), absl::StrCat(wave.flaw, ": ", client::DescribeWave(wave.request)), misjudged);
      });
}

TEST_P(RandomWavesTest, ValidateWaveRefusesBadWavesAsSubmitWaveDoes) {
  const BadWaveGenerator bad(waves_.get());
  for (uint64_t index = 0; index < kPreviews; ++index) {
    if (!IsWanted(index)) continue;
    const BadWave wave = bad.Generate(index);
    const auto is_absence = [](const client::ExpectedViolation& violation) {
      return violation.field == "a" || violation.field == "w" || violation.reason == "BETA_WITHOUT_C";
    };
    if (std::any_of(wave.violations.begin(), wave.violations.end(), is_absence)) continue;
    const auto preview = client().ValidateWave(wave.request);
    const std::string misjudged = Misjudged(wave, preview.status());
    if (!misjudged.empty()) Fail(bad.Reproduce(index), wave.flaw, misjudged);
  }
}

INSTANTIATE_TEST_SUITE_P(, RandomWavesTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Lenient" : "Strict"; });

}  // namespace
}  // namespace bwrt::e2e
