#include "runtime/offload/calibration.h"

#include <gtest/gtest.h>

#include "tests/runtime/offload/scripted_device.h"

namespace bwrt::runtime {
namespace {

// Within a thousandth: times are whole nanoseconds.
void ExpectNear(double measured, double scripted, const char* what) {
  EXPECT_NEAR(measured, scripted, scripted * 1e-3) << what;
}

class CalibrationTest : public ::testing::Test {
 protected:
  ManualClock clock_;
};

TEST_F(CalibrationTest, FindsWhatADeviceCosts) {
  ScriptedDevice::Script script;
  script.fixed = 20e-6;
  script.per_flop = {1e-11, 4e-12, 2e-12};
  script.per_weight_byte = 5e-11;
  script.per_operand_byte = 2e-10;
  script.per_load_byte = 3e-10;
  ScriptedDevice device("d", script, &clock_);
  const auto costs = Calibrate(device, clock_);
  ASSERT_TRUE(costs.ok()) << costs.status();
  ExpectNear(costs->per_flop[0], 1e-11, "f32");
  ExpectNear(costs->per_flop[1], 4e-12, "f16");
  ExpectNear(costs->per_flop[2], 2e-12, "bf16");
  ExpectNear(costs->per_weight_byte, 5e-11, "weights");
  ExpectNear(costs->per_load_byte, 3e-10, "loads");
  // A tiny wave has some copies too, which count as fixed.
  EXPECT_NEAR(costs->fixed, 20e-6, 2e-6);
  EXPECT_NEAR(costs->per_operand_byte, 2e-10, 2e-12);
  EXPECT_EQ(device.tensors(), 0) << "nothing is left on the device";
}

// Once the costs are known, other waves take what is predicted.
TEST_F(CalibrationTest, PredictsOtherWaves) {
  ScriptedDevice::Script script;
  script.fixed = 5e-6;
  script.per_flop = {1e-12, 1e-12, 1e-12};
  script.per_weight_byte = 1e-11;
  script.per_operand_byte = 1e-10;
  script.per_load_byte = 1e-10;
  ScriptedDevice device("d", script, &clock_);
  const auto costs = Calibrate(device, clock_);
  ASSERT_TRUE(costs.ok()) << costs.status();
  WaveWork work;
  work.flops = 2.0 * 512 * 3000 * 700;
  work.weight_bytes = 4.0 * 3000 * 700;
  work.operand_bytes = 4.0 * (512 * 700 + 512 * 3000);
  work.load_bytes = work.weight_bytes;
  const double expected = 5e-6 + work.flops * 1e-12 + (work.operand_bytes + work.load_bytes) * 1e-10;
  EXPECT_NEAR(Seconds(Predict(*costs, work)), expected, expected * 0.02);
}

TEST_F(CalibrationTest, ASlowDeviceIsNotAskedForMuch) {
  ScriptedDevice::Script script;
  script.per_flop = {1e-8, 1e-8, 1e-8};  // 256^3 takes a third of a second.
  ScriptedDevice device("d", script, &clock_);
  const Time begin = clock_.Now();
  ASSERT_TRUE(Calibrate(device, clock_).ok());
  EXPECT_LT(Seconds(clock_.Now() - begin), 10);
}

TEST_F(CalibrationTest, ADeviceThatCopiesNothingCostsNothingForIt) {
  ScriptedDevice::Script script;
  script.per_flop = {1e-11, 1e-11, 1e-11};
  ScriptedDevice device("d", script, &clock_);
  const auto costs = Calibrate(device, clock_);
  ASSERT_TRUE(costs.ok()) << costs.status();
  EXPECT_EQ(costs->per_operand_byte, 0);
  EXPECT_EQ(costs->per_load_byte, 0);
}

TEST_F(CalibrationTest, ErrorsAreTheDevices) {
  ScriptedDevice device("d", {}, &clock_);
  device.FailRuns(absl::UnavailableError("lost"));
  EXPECT_EQ(Calibrate(device, clock_).status(), absl::UnavailableError("lost"));
  device.FailUploads(absl::ResourceExhaustedError("full"));
  EXPECT_EQ(Calibrate(device, clock_).status(), absl::ResourceExhaustedError("full"));
}

}  // namespace
}  // namespace bwrt::runtime
