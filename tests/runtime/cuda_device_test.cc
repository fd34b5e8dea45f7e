#include "runtime/cuda_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/cuda_wave.h"
#include "runtime/error.h"
#include "tests/runtime/cpu_wave_case.h"
#include "tests/runtime/fake_cuda_table.h"
#include "tests/support/manual_clock.h"

namespace bwrt::runtime {
namespace {

using kernels::DType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

using Kind = WeightBudget::Kind;
using TokenStep = std::pair<std::optional<int64_t>, std::optional<int64_t>>;

class Steps final : public WaveProgress {
 public:
  explicit Steps(absl::Status answer = absl::OkStatus()) : answer_(std::move(answer)) {}
  absl::Status Step(std::optional<int64_t> finished, std::optional<int64_t> started) override {
    steps.emplace_back(finished, started);
    return answer_;
  }
  std::vector<TokenStep> steps;

 private:
  const absl::Status answer_;
};

class CudaDeviceTest : public ::testing::Test {
 protected:
  ~CudaDeviceTest() override {
    device_.reset();
    EXPECT_EQ(fake_.gpu().leftovers(), "");
    EXPECT_THAT(fake_.gpu().violations(), IsEmpty());
  }

  absl::Status Open(CudaOptions options = {}) {
    options.memory_limit = Bytes(int64_t{64} << 20);
    options.on_state = [this](const absl::Status& state) {
      MutexLock lock(mu_);
      states_.push_back(state);
      changed_.NotifyAll();
    };
    auto device = CudaDevice::Create(fake_.table(), std::move(options));
    if (!device.ok()) return device.status();
    device_ = *std::move(device);
    return absl::OkStatus();
  }

  // The device's n-th change of state, once it has come.
  absl::Status AwaitState(size_t n) {
    MutexLock lock(mu_);
    while (states_.size() < n) changed_.Wait(mu_);
    return states_[n - 1];
  }

  Wave Validated(const WaveRequestBuilder& request) {
    const WaveValidator validator(TileWhitelist::Default(), /*lenient=*/true, Limits{});
    auto wave =
        validator.Validate(request.Build(), WaveValidator::Mode::kComplete, *WeightVersion::Empty(), clock_.Now());
    EXPECT_TRUE(wave.ok()) << wave.status();
    return wave.ok() ? *std::move(wave) : Wave{};
  }

  std::shared_ptr<const DeviceTensor> Uploaded(const ByteMatrix& w) {
    auto tensor = device_->Upload({"w", {w.dtype, {w.rows, w.cols}}, WeightBuffer(w.bytes)}, budget_);
    EXPECT_TRUE(tensor.ok()) << tensor.status();
    return tensor.ok() ? *tensor : nullptr;
  }

  absl::StatusOr<WaveReport> Run(const Wave& wave, std::string* c, const DeviceTensor* w = nullptr) {
    Steps steps;
    return device_->Run(wave, w, steps, *c);
  }

  FakeCudaTable fake_;
  ManualClock clock_;
  WeightBudget budget_{Bytes(1 << 26)};
  Mutex mu_;
  CondVar changed_;
  std::vector<absl::Status> states_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<CudaDevice> device_;
};

TEST_F(CudaDeviceTest, SaysWhatItIs) {
  ASSERT_TRUE(Open({.ordinal = 3}).ok());
  EXPECT_EQ(device_->info().name, "cuda:3");
  EXPECT_THAT(device_->info().description, StartsWith("Fake H200, 2 SMs, 1024 MiB of memory"));
  EXPECT_THAT(device_->info().versions,
              ElementsAre(Pair("nvidia_driver", "580.65.06"), Pair("cuda_driver", "13.0"), Pair("cuda_runtime", "13.0"),
                          Pair("cublaslt", "13.1.0"), Pair("compute_capability", "9.0"), Pair("plugin", "fake")));
  EXPECT_EQ(device_->memory(), Bytes(int64_t{64} << 20));
}

TEST_F(CudaDeviceTest, WhatIsMissingHasAReason) {
  for (const auto& [code, reason] : std::map<BwrtCudaCode, std::string>{{BWRT_CUDA_NO_DRIVER, "NO_CUDA_DRIVER"},
                                                                        {BWRT_CUDA_NO_DEVICE, "NO_CUDA_DEVICE"},
                                                                        {BWRT_CUDA_OLD_DEVICE, "CUDA_DEVICE_TOO_OLD"},
                                                                        {BWRT_CUDA_NO_CUBLASLT, "NO_CUBLASLT"}}) {
    fake_.FailOpen({code, "this is missing"});
    const absl::Status status = Open();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_EQ(GetReason(status), reason);
    EXPECT_EQ(status.message(), "this is missing");
  }
}

// --------------------------------------------------------------------------------------------- numbers

// Waves of every kind against a reference in double precision: strides, orders, tails, packing, epilogues; on what
// stands in for cuBLASLt and for the plain kernel. What no tile covers must be as supplied.
TEST_F(CudaDeviceTest, RandomWavesAreRight) {
  ASSERT_TRUE(Open().ok());
  std::mt19937 random(20);
  const auto draw = [&](int from, int to) { return std::uniform_int_distribution<int>(from, to)(random); };
  int on_library = 0;
  for (int i = 0; i < 300; ++i) {
    CpuWaveCase wave;
    wave.m = draw(1, 40);
    wave.n = draw(1, 40);
    wave.k = draw(1, 40);
    wave.bm = draw(1, 24);
    wave.bn = draw(1, 24);
    wave.dtype = std::vector<DType>{DType::kF32, DType::kF16, DType::kBF16}[static_cast<size_t>(draw(0, 2))];
    wave.c_dtype = draw(0, 1) == 0 ? DType::kF32 : wave.dtype;
    wave.a_gap = draw(0, 3);
    wave.w_gap = draw(0, 1) == 0 ? 0 : draw(1, 3);
    wave.c_gap = draw(0, 3);
    wave.transposed = draw(0, 1) == 1;
    wave.alpha = draw(0, 1) == 0 ? 1.0f : 0.5f;
    wave.beta = draw(0, 2) == 0 ? 1.5f : 0.0f;
    wave.with_bias = draw(0, 1) == 1;
    wave.activation = static_cast<ActivationWish>(draw(0, 4));
    const auto tails = static_cast<TailPolicy>(draw(0, 2));
    wave.Draw(static_cast<uint32_t>(i));
    const auto rows = static_cast<int32_t>((wave.m + wave.bm - 1) / wave.bm);
    const auto cols = static_cast<int32_t>((wave.n + wave.bn - 1) / wave.bn);
    std::vector<TileCoord> order;
    for (int32_t m = 0; m < rows; ++m) {
      for (int32_t n = 0; n < cols; ++n) order.push_back({m, n});
    }
    std::shuffle(order.begin(), order.end(), random);
    order.resize(static_cast<size_t>(draw(1, static_cast<int>(order.size()))));
    const Coverage coverage = draw(0, 1) == 0 ? Coverage::kComplete : Coverage::kPartial;
    WaveRequestBuilder request = wave.Request().Tails(tails).Order(order).Covers(coverage);
    SCOPED_TRACE(absl::StrCat("wave ", i, ": ", wave.m, "x", wave.n, "x", wave.k, " tiles ", wave.bm, "x", wave.bn));

    const Wave valid = Validated(request);
    std::shared_ptr<const DeviceTensor> stored;
    Wave run = valid;
    if (wave.w_gap == 0 && draw(0, 1) == 0) {
      stored = Uploaded(wave.w);
      run.w.reset();
    }
    std::string c;
    const auto report = Run(run, &c, stored.get());
    ASSERT_TRUE(report.ok()) << report.status();
    if (report->effective.kernel.rfind("cublaslt", 0) == 0) ++on_library;
    ASSERT_TRUE(wave.GapsKept(c));
    // Absolute below 1: a tile may be one element, and a sum may cancel.
    const ByteMatrix got{wave.c_dtype, wave.m, wave.n, wave.c.stride, c};
    for (int64_t row = 0; row < wave.m; ++row) {
      for (int64_t col = 0; col < wave.n; ++col) {
        const TileCoord tile{static_cast<int32_t>(row / wave.bm), static_cast<int32_t>(col / wave.bn)};
        const bool listed = std::find(order.begin(), order.end(), tile) != order.end();
        const bool dropped = tails == TailPolicy::kDrop && valid.grid.Partial(tile);
        if (dropped || (coverage == Coverage::kPartial && !listed)) {
          const auto at = static_cast<size_t>((row * wave.c.stride + col) * kernels::SizeOf(wave.c_dtype));
          const auto size = static_cast<size_t>(kernels::SizeOf(wave.c_dtype));
          ASSERT_EQ(c.compare(at, size, wave.c.bytes, at, size), 0) << row << "," << col;
        } else {
          const double want = wave.Reference(row, col);
          // Written so that a NaN fails.
          ASSERT_TRUE(std::abs(got.At(row, col) - want) <= wave.Tolerance() * std::max(1.0, std::abs(want)))
              << row << "," << col << ": " << got.At(row, col) << " instead of " << want;
        }
      }
    }
  }
  EXPECT_GT(on_library, 30);
  EXPECT_LT(on_library, 270);
}

TEST_F(CudaDeviceTest, PackedRowsComeBackInTheirOwnOrder) {
  ASSERT_TRUE(Open().ok());
  CpuWaveCase wave;
  wave.m = 10;
  wave.n = 12;
  wave.k = 8;
  wave.bm = 4;
  wave.bn = 4;
  wave.Draw();
  WaveRequestBuilder request = wave.Request();
  request.Edit([](WaveRequest& r) {
    r.rows = {{7, 0, 3}, {8, 3, 10}};
    r.spec.pack_order = {8};
    // The first two tile rows hold the rows of request 8, and one row of request 7.
    for (int32_t n = 0; n < 3; ++n) r.spec.tile_order.push_back({2, n});
    r.coverage = Coverage::kPartial;
  });
  const Wave valid = Validated(request);
  ASSERT_FALSE(valid.packed_rows.empty());
  std::string c;
  ASSERT_TRUE(Run(valid, &c).ok());
  // Packed rows 8 and 9 are rows 1 and 2 of A.
  const ByteMatrix got{wave.c_dtype, wave.m, wave.n, wave.c.stride, c};
  for (int64_t i = 0; i < wave.m; ++i) {
    const bool ran = i == valid.packed_rows[8] || i == valid.packed_rows[9];
    EXPECT_EQ(std::isnan(got.At(i, 5)), !ran) << "row " << i;
    if (ran) {
      EXPECT_NEAR(got.At(i, 5), wave.Reference(i, 5), 1e-5);
    }
  }
}

// --------------------------------------------------------------------------------------------- tokens

Wave Tokens(int64_t prefetch, std::vector<TileCoord> order, int64_t listed, TailPolicy tails = TailPolicy::kPad) {
  Wave wave;
  wave.grid = {10, 4, 4, 4};  // Three tiles of which the last is partial.
  wave.tails = tails;
  wave.traversal.order = std::move(order);
  wave.traversal.listed = listed;
  wave.tokens = {prefetch, listed};
  return wave;
}

TokenStep Started(int64_t token) { return {std::nullopt, token}; }
TokenStep Finished(int64_t token) { return {token, std::nullopt}; }

TEST(CudaTokensTest, AWaveOfOneLaunchHasTheWholeRange) {
  const Wave wave = Tokens(2, {{0, 0}, {1, 0}, {2, 0}}, 3);
  Steps steps;
  CudaTokens tokens(wave, steps);
  EXPECT_TRUE(tokens.Advance(0, 3).ok());
  // With the last extent's end, so that no state between is seen.
  EXPECT_THAT(steps.steps, ElementsAre(TokenStep{1, 4}));
}

TEST(CudaTokensTest, LaunchesMoveTheClock) {
  const Wave wave = Tokens(0, {{0, 0}, {1, 0}, {2, 0}}, 3);
  Steps steps;
  CudaTokens tokens(wave, steps);
  EXPECT_EQ(CudaTokens::Step(&tokens, 0, 1), 0);
  EXPECT_EQ(CudaTokens::Step(&tokens, 0, 2), 0);
  EXPECT_EQ(CudaTokens::Step(&tokens, 1, 3), 0);
  EXPECT_EQ(CudaTokens::Step(&tokens, 3, 3), 0);
  EXPECT_THAT(steps.steps, ElementsAre(Started(0), Started(1), Started(2), Finished(0),
                                       TokenStep{std::nullopt, std::nullopt}, Finished(1)))
      << "the last token ends with the wave";
}

TEST(CudaTokensTest, AppendedTilesBelongToTheLastToken) {
  const Wave wave = Tokens(0, {{0, 0}, {1, 0}, {2, 0}}, 1);
  Steps steps;
  CudaTokens tokens(wave, steps);
  EXPECT_TRUE(tokens.Advance(0, 1).ok());
  EXPECT_TRUE(tokens.Advance(1, 3).ok());
  EXPECT_THAT(steps.steps, ElementsAre(Started(0), Started(0)));
}

TEST(CudaTokensTest, DroppedTilesAreDoneAtOnce) {
  const Wave wave = Tokens(0, {{2, 0}, {0, 0}, {1, 0}}, 3, TailPolicy::kDrop);
  Steps steps;
  CudaTokens tokens(wave, steps);
  EXPECT_TRUE(tokens.Advance(0, 1).ok());
  EXPECT_TRUE(tokens.Advance(1, 2).ok());
  EXPECT_THAT(steps.steps, ElementsAre(Started(1), Finished(0), Started(2), Finished(1)));
}

TEST(CudaTokensTest, StopsWithTheReasonItWasGiven) {
  const Wave wave = Tokens(0, {{0, 0}}, 1);
  Steps steps(absl::DeadlineExceededError("late"));
  CudaTokens tokens(wave, steps);
  EXPECT_NE(CudaTokens::Step(&tokens, 0, 1), 0);
  EXPECT_NE(CudaTokens::Step(&tokens, 1, 1), 0);
  EXPECT_TRUE(absl::IsDeadlineExceeded(tokens.status()));
  EXPECT_EQ(steps.steps.size(), 1u) << "not asked again";
}

TEST_F(CudaDeviceTest, AStoppedWaveSaysWhy) {
  ASSERT_TRUE(Open().ok());
  CpuWaveCase wave;
  wave.Draw();
  Steps steps(absl::DeadlineExceededError("late"));
  std::string c;
  EXPECT_EQ(device_->Run(Validated(wave.Request()), nullptr, steps, c).status(), absl::DeadlineExceededError("late"));
  EXPECT_FALSE(fake_.gpu().busy());
}

// --------------------------------------------------------------------------------------------- the plan

TEST_F(CudaDeviceTest, ThePlanIsWhatRuns) {
  ASSERT_TRUE(Open().ok());
  CpuWaveCase wave;
  wave.bm = wave.bn = 128;
  wave.m = wave.n = 256;
  wave.Draw();
  const Wave valid = Validated(wave.Request());
  const EffectiveSpec planned = device_->Plan(valid);
  EXPECT_EQ(planned.device, "cuda:0");
  EXPECT_THAT(planned.kernel, StartsWith("cublaslt-66-tile20"));
  EXPECT_FALSE(planned.traversal_honoured);
  std::string c;
  const auto report = Run(valid, &c);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->effective.kernel, planned.kernel);
  EXPECT_EQ(report->effective.downgrades.size(), planned.downgrades.size());
  EXPECT_EQ(report->readings, Readings{}) << "nothing was counted, so nothing is said";
  EXPECT_GT(report->timings.compute, Duration(0));
}

// The largest grid that validation lets through.
TEST_F(CudaDeviceTest, EveryWaveHasATable) {
  Wave wave;
  wave.grid = {65536, 1, 1, 1};
  wave.tile = {1, 1, 8, 1, 1, 1};
  wave.k = 8;
  wave.traversal = ResolveTraversal(wave.grid, {}, 0, Coverage::kComplete, TailPolicy::kPad);
  const CudaWave prepared(wave);
  ASSERT_EQ(prepared.abi().tile_count, 65536);
  EXPECT_EQ(prepared.abi().tiles[65535], 0xffff0000u);
  EXPECT_EQ(prepared.abi().whole, 1);
}

TEST_F(CudaDeviceTest, WorkingBytesCountWhatTheDeviceCopies) {
  ASSERT_TRUE(Open().ok());
  CpuWaveCase wave;
  wave.Draw();
  Wave valid = Validated(wave.Request());
  const int64_t own = device_->WorkingBytes(valid).value();
  EXPECT_GE(own, (100 * 64 + 64 * 80 + 100 * 80) * 4);
  valid.w.reset();
  EXPECT_LT(device_->WorkingBytes(valid).value(), own);
  valid.grid.m = valid.grid.n = valid.k = int64_t{1} << 40;
  EXPECT_GT(device_->WorkingBytes(valid).value(), int64_t{1} << 60) << "saturates";
}

// --------------------------------------------------------------------------------------------- weights

TEST_F(CudaDeviceTest, ATensorTakesTheHostsPlaceInTheBudget) {
  ASSERT_TRUE(Open().ok());
  const ByteMatrix w = Random(DType::kF32, 16, 8, 0, 1);
  const Bytes bytes(16 * 8 * 4);
  WeightBuffer staged(w.bytes);
  staged.Charge(*budget_.Reserve(bytes, Kind::kContent));
  auto tensor = device_->Upload({"w", {w.dtype, {16, 8}}, std::move(staged)}, budget_);
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(budget_.reserved(Kind::kContent), bytes);
  std::string slice(20, '\0');
  ASSERT_TRUE((*tensor)->Read(40, 20, slice.data()).ok());
  EXPECT_EQ(slice, w.bytes.substr(40, 20));
  EXPECT_EQ(device_->LayoutBytes((*tensor)->type(), nullptr), Bytes(0));
  tensor->reset();
  EXPECT_EQ(budget_.reserved(Kind::kContent), Bytes(0));
}

TEST_F(CudaDeviceTest, WhatDoesNotFitIsRefusedAndLeavesNothing) {
  ASSERT_TRUE(Open().ok());
  WeightBudget small(Bytes(100));
  auto tensor = device_->Upload({"w", {DType::kF32, {16, 8}}, WeightBuffer(std::string(512, 'x'))}, small);
  EXPECT_EQ(GetReason(tensor.status()), "WEIGHT_MEMORY");
  fake_.gpu().FailNext("Allocate", BWRT_CUDA_OUT_OF_DEVICE_MEMORY);
  tensor = device_->Upload({"w", {DType::kF32, {16, 8}}, WeightBuffer(std::string(512, 'x'))}, budget_);
  EXPECT_TRUE(absl::IsResourceExhausted(tensor.status()));
  EXPECT_EQ(GetReason(tensor.status()), "WEIGHT_MEMORY");
  EXPECT_EQ(budget_.reserved(Kind::kContent), Bytes(0));
}

TEST_F(CudaDeviceTest, ATensorMayOutliveTheDevice) {
  ASSERT_TRUE(Open().ok());
  auto tensor = Uploaded(Random(DType::kF32, 4, 4, 0, 1));
  device_.reset();
  tensor.reset();
}

// --------------------------------------------------------------------------------------------- a lost device

TEST_F(CudaDeviceTest, AStickyErrorTakesTheDeviceOutOfService) {
  ASSERT_TRUE(Open().ok());
  CpuWaveCase wave;
  wave.Draw();
  const auto stored = Uploaded(wave.w);
  const Wave valid = Validated(wave.Request());
  std::string c;
  fake_.gpu().FailNext("Synchronize", BWRT_CUDA_DEVICE_LOST);
  const absl::Status first = Run(valid, &c).status();
  EXPECT_TRUE(absl::IsUnavailable(first));
  EXPECT_EQ(GetReason(first), "DEVICE_LOST");
  EXPECT_THAT(std::string(first.message()), HasSubstr("Synchronize failed as asked"));
  EXPECT_THAT(std::string(first.message()), HasSubstr("SERVING again"));
  EXPECT_EQ(GetReason(AwaitState(1)), "DEVICE_LOST");

  EXPECT_EQ(Run(valid, &c).status(), first) << "why it was lost, not what came after";
  char byte = 0;
  EXPECT_EQ(GetReason(stored->Read(0, 1, &byte)), "DEVICE_LOST");
  EXPECT_EQ(GetReason(device_->Upload({"w", {DType::kF32, {1}}, WeightBuffer("abcd")}, budget_).status()),
            "DEVICE_LOST");
  EXPECT_EQ(device_->Plan(valid).kernel, "none");
  MutexLock lock(mu_);
  EXPECT_EQ(states_.size(), 1u) << "told once";
}

TEST_F(CudaDeviceTest, AnErrorThatIsNotStickyFailsOneWave) {
  ASSERT_TRUE(Open().ok());
  CpuWaveCase wave;
  wave.Draw();
  const Wave valid = Validated(wave.Request());
  std::string c;
  fake_.gpu().FailNext("CopyToHost", BWRT_CUDA_FAILED);
  EXPECT_EQ(GetReason(Run(valid, &c).status()), "CUDA_ERROR");
  EXPECT_TRUE(Run(valid, &c).ok());
}

TEST_F(CudaDeviceTest, RecreatesTheContextAndItsWeights) {
  CudaOptions options;
  options.recreate = true;
  ASSERT_TRUE(Open(options).ok());
  CpuWaveCase wave;
  wave.Draw();
  const auto stored = Uploaded(wave.w);
  Uploaded(Random(DType::kF32, 4, 4, 0, 1));  // Freed before the loss.
  EXPECT_EQ(budget_.reserved(Kind::kContent), Bytes(64 * 80 * 4)) << "the copy in host memory";
  Wave valid = Validated(wave.Request());
  valid.w.reset();
  std::string c;
  fake_.gpu().FailNext("Matmul", BWRT_CUDA_DEVICE_LOST);
  EXPECT_EQ(GetReason(Run(valid, &c, stored.get()).status()), "DEVICE_LOST");
  EXPECT_EQ(GetReason(AwaitState(1)), "DEVICE_LOST");
  EXPECT_TRUE(AwaitState(2).ok());
  ASSERT_TRUE(Run(valid, &c, stored.get()).ok());
  EXPECT_TRUE(wave.TileError(c, {0, 0}) <= wave.Tolerance());

  // And a second time.
  fake_.gpu().FailNext("Elapsed", BWRT_CUDA_DEVICE_LOST);
  EXPECT_EQ(GetReason(Run(valid, &c, stored.get()).status()), "DEVICE_LOST");
  EXPECT_TRUE(AwaitState(4).ok());
  EXPECT_TRUE(Run(valid, &c, stored.get()).ok());
}

TEST_F(CudaDeviceTest, ARecreationThatFailsLeavesItOutOfService) {
  CudaOptions options;
  options.recreate = true;
  ASSERT_TRUE(Open(options).ok());
  CpuWaveCase wave;
  wave.Draw();
  const Wave valid = Validated(wave.Request());
  std::string c;
  // Two in a row: the wave, and then the re-creation, which is the only one to call Reset.
  fake_.gpu().FailNext("Record", BWRT_CUDA_DEVICE_LOST);
  fake_.gpu().FailNext("Reset", BWRT_CUDA_FAILED);
  EXPECT_EQ(GetReason(Run(valid, &c).status()), "DEVICE_LOST");
  EXPECT_FALSE(AwaitState(1).ok());
  const absl::Status second = AwaitState(2);
  EXPECT_THAT(std::string(second.message()), HasSubstr("Reset failed as asked"));
  EXPECT_EQ(GetReason(Run(valid, &c).status()), "DEVICE_LOST");
}

}  // namespace
}  // namespace bwrt::runtime
