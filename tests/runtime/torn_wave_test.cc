// The planted bug: a device that looks for its weights anew in each tile, instead of using the tensor that the wave
// leased. The checker of histories must tell it from one that does what it should, or it proves nothing elsewhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/cpu_tensor.h"
#include "runtime/executor.h"
#include "runtime/runtime.h"
#include "runtime/system_clock.h"
#include "tests/support/history.h"
#include "tests/support/one_shot.h"
#include "tests/support/unobserved.h"
#include "tests/support/wave_request_builder.h"

namespace bwrt::runtime {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kTiles = 6;
constexpr int64_t kTile = 16;
constexpr int64_t kDepth = 8;

std::string Filled(int64_t count, float value) {
  std::string bytes(static_cast<size_t>(count) * sizeof(float), '\0');
  for (size_t at = 0; at < bytes.size(); at += sizeof(float)) std::memcpy(&bytes[at], &value, sizeof(value));
  return bytes;
}

// Each tile of C is filled with the first element of W. Thread-safe once it is set up.
class TileDevice final : public Device {
 public:
  // Where a wave with the planted bug finds the tensor; null: it has none.
  std::function<std::shared_ptr<const DeviceTensor>()> current;
  // Called before each tile but the first.
  std::function<void()> between;

  const DeviceInfo& info() const override { return info_; }
  absl::StatusOr<std::shared_ptr<const DeviceTensor>> Upload(HostTensor tensor, WeightBudget& budget) override {
    return CpuTensor::Create(std::move(tensor), budget);
  }
  Bytes LayoutBytes(const TensorType& /*type*/, const DeviceTensor* /*predecessor*/) const override { return Bytes(0); }
  absl::Status Prepare(const DeviceTensor& /*tensor*/, const DeviceTensor* /*predecessor*/,
                       WeightBudget::Reservation /*room*/) override {
    return absl::OkStatus();
  }
  EffectiveSpec Plan(const Wave& /*wave*/) const override { return {}; }
  Bytes WorkingBytes(const Wave& /*wave*/) const override { return Bytes(0); }
  absl::StatusOr<WaveReport> Run(const Wave& wave, const DeviceTensor* w, WaveProgress& progress,
                                 std::string& c) override {
    c.clear();
    for (int64_t token = 0; token < kTiles; ++token) {
      const auto finished = token == 0 ? std::nullopt : std::optional(token - 1);
      if (absl::Status status = progress.Step(finished, token); !status.ok()) return status;
      if (token > 0 && between) between();
      const std::shared_ptr<const DeviceTensor> anew = current ? current() : nullptr;
      float value = 0;
      const absl::Status read = (anew != nullptr ? *anew : *w).Read(0, sizeof(value), reinterpret_cast<char*>(&value));
      if (!read.ok()) return read;
      c += Filled(wave.grid.bm * wave.grid.n, value);
    }
    return WaveReport();
  }

 private:
  const DeviceInfo info_ = {"tiles", "a device for a test", {kernels::DType::kF32}, {"none"}};
};

class TornWaveTest : public testing::Test {
 protected:
  void SetUp() override {
    auto device = std::make_unique<TileDevice>();
    device_ = device.get();
    RuntimeOptions options;
    options.lenient_shapes = true;
    RuntimeContext context;
    context.clock = &clock_;
    context.bulk = &bulk_;
    context.reclaim = &reclaim_;
    context.journal = &journal_;
    context.observer = &observer_;
    runtime_ = std::make_unique<Runtime>(std::move(options), std::move(device), context);
  }
  void TearDown() override {
    EXPECT_TRUE(runtime_->Drain(std::chrono::minutes(1)));
    runtime_ = nullptr;
  }

  void Commit(uint64_t value) {
    SetWeightsRequest request;
    request.tensors.push_back(
        {"w", DTypeWish::kF32, {kDepth, kTile}, Filled(kDepth * kTile, static_cast<float>(value))});
    HistoryCommit commit;
    commit.time.invoked = ++now_;
    OneShot<absl::StatusOr<SwapResult>> end;
    const auto swap = runtime_->weights().SetWeights(std::move(request),
                                                     [&](absl::StatusOr<SwapResult> r) { end.Set(std::move(r)); });
    ASSERT_TRUE(swap.ok()) << swap.status();
    ASSERT_TRUE(end.Get().ok()) << end.Get().status();
    commit.time.returned = ++now_;
    commit.parts.push_back({"default", value, 0, end.Get()->version.value()});
    history_.commits.push_back(std::move(commit));
  }

  void RunWave() {
    WaveRequestBuilder builder;
    builder.Tile({kTile, kTile, kDepth, 1, 1, 1})
        .Dims(kTiles * kTile, kTile, kDepth)
        .A(Filled(kTiles * kTile * kDepth, 1))
        .WTensor("w")
        .Window(0, kTiles);
    HistoryWave wave;
    wave.time.invoked = ++now_;
    OneShot<absl::StatusOr<WaveResult>> end;
    const auto ticket =
        runtime_->Submit(builder.Build(), [&](const Wave&, absl::StatusOr<WaveResult> r) { end.Set(std::move(r)); });
    ASSERT_TRUE(ticket.ok()) << ticket.status();
    ASSERT_TRUE(end.Get().ok()) << end.Get().status();
    wave.time.returned = ++now_;
    wave.model = "default";
    wave.version = end.Get()->version.value();
    for (int64_t tile = 0; tile < kTiles; ++tile) {
      float value = 0;
      std::memcpy(&value, &end.Get()->c[static_cast<size_t>(tile * kTile * kTile) * sizeof(float)], sizeof(value));
      wave.values.push_back(static_cast<uint64_t>(value));
    }
    history_.waves.push_back(std::move(wave));
  }

  // A wave between whose third and fourth tile another version is committed.
  void SwapWithinAWave() {
    ASSERT_NO_FATAL_FAILURE(Commit(7));
    int tile = 0;
    device_->between = [this, &tile] {
      if (++tile == 3) Commit(8);
    };
    ASSERT_NO_FATAL_FAILURE(RunWave());
    device_->between = nullptr;
    ASSERT_NO_FATAL_FAILURE(RunWave());
  }

  // The test's thread waits while a lane commits: they take turns.
  std::atomic<int64_t> now_{0};
  History history_;
  SystemClock clock_;
  ThreadExecutor bulk_;
  ThreadExecutor reclaim_;
  ThreadExecutor journal_;
  Unobserved observer_;
  TileDevice* device_ = nullptr;  // Owned by runtime_.
  std::unique_ptr<Runtime> runtime_;
};

TEST_F(TornWaveTest, ADeviceThatUsesTheLease) {
  ASSERT_NO_FATAL_FAILURE(SwapWithinAWave());
  EXPECT_THAT(history_.waves[0].values, ElementsAre(7, 7, 7, 7, 7, 7));
  EXPECT_EQ(history_.waves[1].version, 2u);
  EXPECT_THAT(FindContradictions(history_), IsEmpty());
}

TEST_F(TornWaveTest, ADeviceThatLooksForItsWeightsInEachTile) {
  device_->current = [this] { return (*runtime_->weights().FindModel(""))->current()->Find("w")->tensor; };
  ASSERT_NO_FATAL_FAILURE(SwapWithinAWave());
  EXPECT_THAT(FindContradictions(history_),
              ElementsAre(AllOf(HasSubstr("wave[0]"), HasSubstr("torn"), HasSubstr("tile 3 has 8"))));
}

}  // namespace
}  // namespace bwrt::runtime
