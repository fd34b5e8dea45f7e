// CpuDeviceTest: a CPU device of one thread, and one whose threads share every wave.
#ifndef BWRT_TESTS_RUNTIME_CPU_DEVICE_FIXTURE_H_
#define BWRT_TESTS_RUNTIME_CPU_DEVICE_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "runtime/cpu_device.h"
#include "tests/runtime/cpu_wave_case.h"
#include "tests/support/manual_clock.h"

namespace bwrt::runtime {

inline void PrintTo(const TileCoord& t, std::ostream* out) { *out << "(" << t.m << "," << t.n << ")"; }

using Order = std::vector<TileCoord>;
using Step = std::pair<std::optional<int64_t>, std::optional<int64_t>>;

// Records every step, and lets a test look around, or stop the wave, at each.
class Steps final : public WaveProgress {
 public:
  using AtStep = std::function<absl::Status(size_t index)>;
  explicit Steps(AtStep at_step = nullptr) : at_step_(std::move(at_step)) {}
  absl::Status Step(std::optional<int64_t> finished, std::optional<int64_t> started) override {
    steps_.emplace_back(finished, started);
    return at_step_ ? at_step_(steps_.size() - 1) : absl::OkStatus();
  }
  const std::vector<runtime::Step>& steps() const { return steps_; }

 private:
  const AtStep at_step_;
  std::vector<runtime::Step> steps_;
};

class CpuDeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    cpu_.model = "test";
    cpu_.l2_bytes = 1 << 20;
    cpu_.last_level = {.level = 3, .bytes = 32 << 20, .processors = 8};
    auto device = CpuDevice::Create(cpu_, &clock_);
    if (absl::IsUnavailable(device.status())) GTEST_SKIP() << device.status();
    ASSERT_TRUE(device.ok()) << device.status();
    device_ = *std::move(device);
    shared_ = *CpuDevice::Create(cpu_, &clock_, {.threads = 4, .worth_sharing = Duration(0)});
  }

  // Waves here have small tiles of any shape, so the daemon is lenient.
  Wave Validated(const WaveRequestBuilder& request, const WeightVersion& version = *WeightVersion::Empty()) {
    const WaveValidator validator(TileWhitelist::Default(), /*lenient=*/true, Limits{});
    auto wave = validator.Validate(request.Build(), WaveValidator::Mode::kComplete, version, clock_.Now());
    EXPECT_TRUE(wave.ok()) << wave.status();
    return wave.ok() ? *std::move(wave) : Wave{};
  }

  std::shared_ptr<const DeviceTensor> Uploaded(const ByteMatrix& w) {
    auto tensor = device_->Upload({"w", {w.dtype, {w.rows, w.cols}}, WeightBuffer(w.bytes)}, budget_);
    EXPECT_TRUE(tensor.ok()) << tensor.status();
    if (!tensor.ok()) return nullptr;
    EXPECT_TRUE(device_->Prepare(**tensor, nullptr, {}).ok());
    return *tensor;
  }

  // On one thread; several threads that share the wave give the same, bit by bit.
  std::string Run(const Wave& wave, const DeviceTensor* w = nullptr) {
    Steps steps;
    std::string c;
    const auto report = device_->Run(wave, w, steps, c);
    EXPECT_TRUE(report.ok()) << report.status();
    Steps steps_of_shared;
    std::string c_of_shared;
    EXPECT_TRUE(shared_->Run(wave, w, steps_of_shared, c_of_shared).ok());
    EXPECT_EQ(c, c_of_shared);
    return c;
  }

  // Every tile of the grid against the reference.
  void ExpectRight(const CpuWaveCase& wave, const std::string& result) {
    ASSERT_EQ(result.size(), wave.c.bytes.size());
    for (int32_t i = 0; i < (wave.m + wave.bm - 1) / wave.bm; ++i) {
      for (int32_t j = 0; j < (wave.n + wave.bn - 1) / wave.bn; ++j) {
        // Written so that a NaN fails.
        EXPECT_TRUE(wave.TileError(result, {i, j}) <= wave.Tolerance())
            << "tile (" << i << "," << j << "): " << wave.TileError(result, {i, j});
      }
    }
    EXPECT_TRUE(wave.GapsKept(result));
  }

  kernels::CpuInfo cpu_;
  ManualClock clock_;
  WeightBudget budget_{Bytes(1 << 26)};
  std::unique_ptr<CpuDevice> device_;  // One thread,
  std::unique_ptr<CpuDevice> shared_;  // and four that share the smallest waves.
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_RUNTIME_CPU_DEVICE_FIXTURE_H_
