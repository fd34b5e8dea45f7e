#include "server/served_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "runtime/system_clock.h"
#include "tests/runtime/fake_cuda_table.h"

namespace bwrt::server {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class ServedDeviceTest : public ::testing::Test {
 protected:
  absl::StatusOr<ServedDevice> Choose(DeviceChoice choice, int ordinal = 0) {
    Flags::Waves flags;
    flags.device = choice;
    flags.cuda.ordinal = ordinal;
    flags.cuda.plugin = "given";
    flags.cuda.counters = counters_;
    flags.cuda.counter_interval = std::chrono::seconds(30);
    DeviceSurroundings surroundings;
    surroundings.cpu.last_level.bytes = 1234;
    surroundings.clock = &clock_;
    surroundings.calibration_file = calibration_file_;
    surroundings.load_cuda = [this](const std::string& path) -> absl::StatusOr<const BwrtCudaTable*> {
      loaded_ = path;
      if (!load_status_.ok()) return load_status_;
      return fake_.table();
    };
    surroundings.on_counters = [this](const std::string& text, bool /*counting*/) { told_ = text; };
    return ChooseDevice(flags, surroundings);
  }

  runtime::SystemClock clock_;
  runtime::FakeCudaTable fake_;
  absl::Status load_status_;
  std::string loaded_;
  std::string calibration_file_;
  GpuCounters counters_ = GpuCounters::kAuto;
  std::string told_;
};

TEST_F(ServedDeviceTest, TheCpuLoadsNothing) {
  const auto served = Choose(DeviceChoice::kCpu);
  ASSERT_TRUE(served.ok()) << served.status();
  EXPECT_EQ(served->device->info().name, "cpu");
  EXPECT_EQ(served->why, "--device=cpu");
  EXPECT_EQ(served->device->info().cache.bytes, 1234);
  EXPECT_FALSE(served->weight_memory.has_value());
  EXPECT_EQ(loaded_, "");
}

TEST_F(ServedDeviceTest, AGpuThatWasAskedFor) {
  const auto served = Choose(DeviceChoice::kCuda, 2);
  ASSERT_TRUE(served.ok()) << served.status();
  EXPECT_EQ(served->device->info().name, "cuda:2");
  EXPECT_EQ(served->why, "--device=cuda:2");
  EXPECT_EQ(served->cuda_plugin, "fake");
  EXPECT_EQ(served->device->info().cache.bytes, int64_t{50} << 20);
  EXPECT_GT(served->device->info().cache.tiles, 1);
  EXPECT_EQ(served->weight_memory, runtime::Bytes((int64_t{1} << 30) / 10 * 9));
  EXPECT_EQ(loaded_, "given");
}

TEST_F(ServedDeviceTest, AutoCountsWithGpmAlone) {
  const auto served = Choose(DeviceChoice::kCuda);
  ASSERT_TRUE(served.ok()) << served.status();
  EXPECT_EQ(served->device->Counters(0).text, "fake GPM");
  EXPECT_EQ(told_, "fake GPM");
  EXPECT_EQ(fake_.gpm().interval_ns, 30'000'000'000);
  EXPECT_EQ(fake_.pm().starts, 0);
}

TEST_F(ServedDeviceTest, CountersThatAreAskedForAndFail) {
  counters_ = GpuCounters::kPm;
  fake_.pm().start = {cuda::CounterFault::kDenied, "insufficient privileges"};
  const auto served = Choose(DeviceChoice::kCuda);
  ASSERT_TRUE(served.ok()) << "waves run without";
  EXPECT_EQ(served->device->Counters(0).text, "fake GPM (fake PM: insufficient privileges)");
}

TEST_F(ServedDeviceTest, CountersThatAreOffAreNotTouched) {
  counters_ = GpuCounters::kOff;
  const auto served = Choose(DeviceChoice::kCuda);
  ASSERT_TRUE(served.ok()) << served.status();
  EXPECT_EQ(served->device->Counters(0).text, "none: switched off");
  EXPECT_EQ(fake_.gpm().starts, 0);
  EXPECT_EQ(told_, "");
}

TEST_F(ServedDeviceTest, AGpuThatWasAskedForAndIsNotThere) {
  fake_.FailOpen({BWRT_CUDA_NO_DRIVER, "no driver: install one"});
  const auto served = Choose(DeviceChoice::kCuda);
  EXPECT_TRUE(absl::IsUnavailable(served.status()));
  EXPECT_EQ(served.status().message(),
            "--device=cuda: no driver: install one; --device=cpu or --device=auto serves without a GPU");
}

TEST_F(ServedDeviceTest, AutoTakesBothAndMeasuresThemOnce) {
  calibration_file_ = testing::TempDir() + "served_device_calibration.json";
  std::remove(calibration_file_.c_str());
  {
    const auto served = Choose(DeviceChoice::kAuto);
    ASSERT_TRUE(served.ok()) << served.status();
    ASSERT_EQ(served->device->members().size(), 2u);
    EXPECT_EQ(served->device->members()[0]->name, "cpu");
    EXPECT_EQ(served->device->members()[1]->name, "cuda:0");
    EXPECT_TRUE(served->has_other);
    EXPECT_EQ(served->device->Counters(0).text, served->device->members()[0]->hardware_counters);
    EXPECT_EQ(served->device->Counters(1).text, "fake GPM");
    EXPECT_FALSE(served->weight_memory.has_value()) << "the host holds all weights";
    EXPECT_EQ(served->cuda_plugin, "fake");
    EXPECT_THAT(served->why, HasSubstr("cpu measured now, cuda:0 measured now"));
  }
  EXPECT_EQ(fake_.gpu().leftovers(), "") << "what was measured with is gone";
  fake_.gpu().ClearLog();
  const auto again = Choose(DeviceChoice::kAuto);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_THAT(again->why, HasSubstr("cpu measured before, cuda:0 measured before"));
  EXPECT_THAT(fake_.gpu().log(), Not(Contains("run Matmul")));
}

TEST_F(ServedDeviceTest, AutoWithAGpuThatFailsWhenMeasured) {
  fake_.gpu().FailNext("Record", BWRT_CUDA_DEVICE_LOST);
  const auto served = Choose(DeviceChoice::kAuto);
  ASSERT_TRUE(served.ok()) << served.status();
  EXPECT_EQ(served->device->info().name, "cpu");
  EXPECT_FALSE(served->has_other);
  EXPECT_THAT(served->why, HasSubstr("Record failed as asked"));
}

TEST_F(ServedDeviceTest, AutoWithoutAGpuSaysWhatIsMissingAndWhatWasLoaded) {
  fake_.FailOpen({BWRT_CUDA_NO_DEVICE, "no GPU"});
  const auto served = Choose(DeviceChoice::kAuto);
  ASSERT_TRUE(served.ok()) << served.status();
  EXPECT_EQ(served->device->info().name, "cpu");
  EXPECT_THAT(served->why, HasSubstr("no GPU can: no GPU"));
  EXPECT_EQ(served->cuda_plugin, "fake");
}

TEST_F(ServedDeviceTest, AutoWithoutAPlugin) {
  load_status_ = absl::UnavailableError("no plugin");
  const auto served = Choose(DeviceChoice::kAuto);
  ASSERT_TRUE(served.ok()) << served.status();
  EXPECT_EQ(served->device->info().name, "cpu");
  EXPECT_THAT(served->why, HasSubstr("no plugin"));
  EXPECT_EQ(served->cuda_plugin, "");
}

}  // namespace
}  // namespace bwrt::server
