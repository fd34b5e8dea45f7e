#include "runtime/offload/calibration_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

namespace bwrt::runtime {
namespace {

using ::testing::Optional;

class CalibrationFileTest : public ::testing::Test {
 protected:
  CalibrationFileTest() { std::remove(path_.c_str()); }

  std::string Text() const {
    std::stringstream text;
    text << std::ifstream(path_).rdbuf();
    return text.str();
  }
  void Write(const std::string& text) const { std::ofstream(path_) << text; }

  const std::string path_ = testing::TempDir() + "calibration.json";
  const DeviceInfo gpu_ = {"cuda:0", "H200", {}, {}, {{"driver", "580.65.06"}, {"cublaslt", "13.1.0"}}};
  const DeviceCosts costs_ = {1.5e-6, {1e-12, 1.25e-15, 3e-15}, 2e-13, 0.1, 7e-11};
};

TEST_F(CalibrationFileTest, KeepsWhatWasMeasured) {
  EXPECT_FALSE(CalibrationFile(path_).Find(gpu_).has_value());
  ASSERT_TRUE(CalibrationFile(path_).Save(gpu_, costs_).ok());
  EXPECT_THAT(CalibrationFile(path_).Find(gpu_), Optional(costs_)) << "to the last bit";
}

TEST_F(CalibrationFileTest, AnotherDriverIsAnotherDevice) {
  ASSERT_TRUE(CalibrationFile(path_).Save(gpu_, costs_).ok());
  DeviceInfo updated = gpu_;
  updated.versions[0].second = "590.10";
  EXPECT_FALSE(CalibrationFile(path_).Find(updated).has_value());
  DeviceInfo other = gpu_;
  other.description = "H100";
  EXPECT_FALSE(CalibrationFile(path_).Find(other).has_value());
  DeviceInfo second = gpu_;
  second.name = "cuda:1";
  EXPECT_FALSE(CalibrationFile(path_).Find(second).has_value());
}

TEST_F(CalibrationFileTest, KeepsOtherDevices) {
  DeviceInfo cpu;
  cpu.name = "cpu";
  DeviceCosts other = costs_;
  other.fixed = 9;
  ASSERT_TRUE(CalibrationFile(path_).Save(gpu_, costs_).ok());
  ASSERT_TRUE(CalibrationFile(path_).Save(cpu, other).ok());
  EXPECT_THAT(CalibrationFile(path_).Find(gpu_), Optional(costs_));
  EXPECT_THAT(CalibrationFile(path_).Find(cpu), Optional(other));
}

TEST_F(CalibrationFileTest, WhatMakesNoSenseCountsAsEmpty) {
  ASSERT_TRUE(CalibrationFile(path_).Save(gpu_, costs_).ok());
  const std::string good = Text();
  const auto without = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  for (const std::string& bad :
       {std::string(), std::string("[]"), std::string("{"), good.substr(0, good.size() / 2),
        without("\"format\": 1", "\"format\": 2"), without("\"fixed\"", "\"fxied\""), without("1.5e-06", "-1.5e-06"),
        without("1.5e-06", "\"1.5e-06\""), without("\"devices\"", "\"devcies\""),
        std::string("{\"format\":1,\"devices\":[]}"), std::string("{\"format\":1,\"devices\":{\"x\":null}}")}) {
    Write(bad);
    EXPECT_FALSE(CalibrationFile(path_).Find(gpu_).has_value()) << bad;
  }
  ASSERT_TRUE(CalibrationFile(path_).Save(gpu_, costs_).ok());
  EXPECT_THAT(CalibrationFile(path_).Find(gpu_), Optional(costs_)) << "and is replaced";
}

TEST_F(CalibrationFileTest, AFolderThatIsNotThere) {
  CalibrationFile file(testing::TempDir() + "no/such/calibration.json");
  EXPECT_TRUE(absl::IsUnavailable(file.Save(gpu_, costs_)));
  EXPECT_THAT(file.Find(gpu_), Optional(costs_)) << "known all the same while the daemon lives";
}

}  // namespace
}  // namespace bwrt::runtime
