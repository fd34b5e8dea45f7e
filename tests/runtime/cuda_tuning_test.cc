#include "runtime/cuda_tuning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "runtime/cuda_device.h"
#include "runtime/error.h"
#include "tests/runtime/cpu_wave_case.h"
#include "tests/runtime/fake_cuda_table.h"
#include "tests/support/manual_clock.h"

namespace bwrt::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

BwrtCudaTuning Distinct() {
  BwrtCudaTuning t{};
  t.size = sizeof(t);
  t.dtype = 2, t.c_dtype = 1, t.activation = 2, t.bias = 1, t.w_transposed = 1;
  t.m = 10, t.n = 11, t.k = 12, t.lda = 13, t.ldw = 14, t.ldc = 15;
  t.bm = 16, t.bn = 17, t.bk = 18, t.stages = 19, t.cluster_x = 20, t.cluster_y = 21, t.algorithm = 22;
  t.tile = 23, t.tile_stages = 24, t.cluster = 25, t.swizzling = 26, t.split_k = 27;
  t.reduction = 28, t.inner_shape = 29, t.custom = 30;
  t.median_ns = int64_t{1} << 40, t.first_ns = 32;
  return t;
}

TEST(CudaTuning, EveryNumberIsKept) {
  const std::string text = FormatCudaTuning(Distinct());
  EXPECT_EQ(text, "1 2 1 2 1 1 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 1099511627776 32");
  const auto parsed = ParseCudaTuning(text);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(FormatCudaTuning(*parsed), text);
  EXPECT_EQ(parsed->size, sizeof(BwrtCudaTuning));
}

TEST(CudaTuning, NothingElseIsRead) {
  const std::string good = FormatCudaTuning(Distinct());
  for (const std::string& bad :
       {std::string(), std::string("1"), "2" + good.substr(1), good + " 1", good.substr(0, good.size() - 3), good + "x",
        " " + good, "1 99999999999 " + good.substr(4), absl::StrCat("1 x", good.substr(3))}) {
    EXPECT_FALSE(ParseCudaTuning(bad)) << bad;
  }
}

class CudaDeviceTuningTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fake_.gpu().recommended = {Config(66), Config(67)};
    fake_.gpu().stages = {};
    fake_.gpu().legal = [](const cuda::LtConfig& c) { return (c.id == 66 || c.id == 67) && c.stages == 35; };
    fake_.gpu().time = [](const cuda::LtConfig& c) { return c.id == 67 ? int64_t{100'000} : int64_t{300'000}; };
    device_ = Open();
  }
  static cuda::LtConfig Config(int32_t id) {
    cuda::LtConfig config;
    config.id = id;
    config.tile = 20;
    config.stages = 35;
    config.cluster = 5;
    return config;
  }
  std::unique_ptr<CudaDevice> Open() {
    auto device = CudaDevice::Create(fake_.table(), {.memory_limit = Bytes(64 << 20)});
    EXPECT_TRUE(device.ok()) << device.status();
    return *std::move(device);
  }
  struct Asking final : WaveProgress {
    absl::Status Step(std::optional<int64_t> finished, std::optional<int64_t> started) override {
      EXPECT_FALSE(finished || started) << "it has no tiles";
      return answer;
    }
    absl::Status answer;
  };
  Wave MakeWave() {
    wave_.m = 20;
    wave_.n = 24;
    wave_.k = 16;
    wave_.bm = wave_.bn = 128;
    wave_.bk = 64;
    wave_.dtype = kernels::DType::kBF16;
    wave_.Draw();
    const WaveValidator validator(TileWhitelist::Default(), /*lenient=*/true, Limits{});
    auto wave = validator.Validate(wave_.Request().Tile({128, 128, 64, 2, 2, 1}).Build(),
                                   WaveValidator::Mode::kComplete, *WeightVersion::Empty(), clock_.Now());
    EXPECT_TRUE(wave.ok()) << wave.status();
    return *std::move(wave);
  }

  FakeCudaTable fake_;
  CpuWaveCase wave_;
  ManualClock clock_;
  std::unique_ptr<CudaDevice> device_;
};

TEST_F(CudaDeviceTuningTest, TunesAndHandsOverWhatItFound) {
  const Wave wave = MakeWave();
  EXPECT_THAT(device_->Plan(wave).kernel, StartsWith("cublaslt-66-"));
  EXPECT_THAT(device_->Tunings(), IsEmpty());
  Asking progress;
  const auto tuned = device_->Tune(wave, std::chrono::seconds(60), progress);
  ASSERT_TRUE(tuned.ok()) << tuned.status();
  ASSERT_TRUE(*tuned);
  EXPECT_THAT((*tuned)->algorithm, StartsWith("cublaslt-67-"));
  EXPECT_EQ((*tuned)->median, std::chrono::microseconds(100));
  EXPECT_EQ((*tuned)->first_choice, std::chrono::microseconds(300));
  EXPECT_EQ((*tuned)->timed, 2);
  EXPECT_THAT((*tuned)->rejected, IsEmpty());
  EXPECT_THAT(device_->Plan(wave).kernel, StartsWith("cublaslt-67-"));
  const std::vector<std::string> kept = device_->Tunings();
  ASSERT_THAT(kept, SizeIs(1));

  device_ = Open();
  EXPECT_THAT(device_->Plan(wave).kernel, StartsWith("cublaslt-66-"));
  ASSERT_TRUE(device_->RestoreTuning(kept[0]).ok());
  EXPECT_THAT(device_->Plan(wave).kernel, StartsWith("cublaslt-67-"));
  EXPECT_EQ(device_->Tunings(), kept);

  fake_.gpu().legal = [](const cuda::LtConfig& c) { return c.id == 66; };
  device_ = Open();
  EXPECT_FALSE(device_->RestoreTuning(kept[0]).ok());
  EXPECT_THAT(device_->Tunings(), IsEmpty());
  EXPECT_THAT(device_->Plan(wave).kernel, StartsWith("cublaslt-66-"));
}

TEST_F(CudaDeviceTuningTest, HostileEntriesAreRefused) {
  // What the device would take: so it is the broken number that is refused.
  BwrtCudaTuning good = Distinct();
  good.algorithm = 66;
  good.tile_stages = 35;
  {
    const auto other = Open();
    ASSERT_TRUE(other->RestoreTuning(FormatCudaTuning(good)).ok());
  }
  for (const auto break_it :
       {+[](BwrtCudaTuning& t) { t.dtype = 77; }, +[](BwrtCudaTuning& t) { t.c_dtype = -1; },
        +[](BwrtCudaTuning& t) { t.activation = 9; }, +[](BwrtCudaTuning& t) { t.m = 0; },
        +[](BwrtCudaTuning& t) { t.n = int64_t{1} << 40; }, +[](BwrtCudaTuning& t) { t.lda = 1; },
        +[](BwrtCudaTuning& t) { t.bm = -5; }, +[](BwrtCudaTuning& t) { t.tile = 1u << 20; },
        +[](BwrtCudaTuning& t) { t.cluster = 1u << 16; }, +[](BwrtCudaTuning& t) { t.split_k = 0; },
        +[](BwrtCudaTuning& t) { t.median_ns = -1; }}) {
    BwrtCudaTuning bad = good;
    break_it(bad);
    const absl::Status refused = device_->RestoreTuning(FormatCudaTuning(bad));
    EXPECT_THAT(refused.message(), HasSubstr("a number is out of range")) << FormatCudaTuning(bad);
  }
  EXPECT_FALSE(device_->RestoreTuning("nonsense").ok());
  EXPECT_THAT(device_->Tunings(), IsEmpty());
}

TEST_F(CudaDeviceTuningTest, StopsForTheReasonGiven) {
  Asking progress;
  progress.answer = absl::DeadlineExceededError("enough");
  EXPECT_EQ(device_->Tune(MakeWave(), std::chrono::seconds(60), progress).status(), progress.answer);
}

TEST_F(CudaDeviceTuningTest, ALostDeviceIsSaid) {
  fake_.gpu().FailNext("Elapsed", BWRT_CUDA_DEVICE_LOST);
  Asking progress;
  const auto tuned = device_->Tune(MakeWave(), std::chrono::seconds(60), progress);
  EXPECT_TRUE(absl::IsUnavailable(tuned.status()));
  EXPECT_EQ(GetReason(tuned.status()), "DEVICE_LOST");
  EXPECT_FALSE(device_->CheckServing().ok());
}

TEST_F(CudaDeviceTuningTest, WhatIsWrongIsNamed) {
  fake_.gpu().wrong = [](const cuda::LtConfig& c) { return c.id == 67; };
  Asking progress;
  const auto tuned = device_->Tune(MakeWave(), std::chrono::seconds(60), progress);
  ASSERT_TRUE(tuned.ok() && *tuned);
  EXPECT_THAT((*tuned)->algorithm, StartsWith("cublaslt-66-"));
  EXPECT_THAT((*tuned)->rejected, testing::ElementsAre(StartsWith("cublaslt-67-")));
}

}  // namespace
}  // namespace bwrt::runtime
