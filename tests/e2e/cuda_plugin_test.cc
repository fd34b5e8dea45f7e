// bwrtd with the real libbwrt_cuda.so where there is no GPU. Built where there is a CUDA toolkit.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/e2e/daemon_fixture.h"

namespace bwrt::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kPlugin[] = "--cuda-plugin=runtime/libbwrt_cuda.so";
constexpr char kNoDriver[] = "no libcuda.so.1: install the NVIDIA driver (in a container: run it with the GPU)";

class CudaPluginTest : public DaemonFixture {
 protected:
  void SetUp() override {
    if (dlopen("libcuda.so.1", RTLD_LAZY) != nullptr) GTEST_SKIP() << "there is an NVIDIA driver";
  }

  Directory directory_;
};

TEST_F(CudaPluginTest, CudaWithoutADriverEndsAtOnce) {
  const Ended ended = RunDaemon({"--listen=unix:" + directory_ / "s", "--device=cuda", kPlugin});
  EXPECT_EQ(ended.status, 1);
  EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr(std::string("--device=cuda: ") + kNoDriver));
}

TEST_F(CudaPluginTest, AutoWithoutADriverServesOnTheCpuAndSaysWhy) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon({"--device=auto", kPlugin}));
  const auto caps = client().GetCapabilities();
  ASSERT_TRUE(caps.ok()) << caps.status();
  ASSERT_EQ(caps->devices_size(), 1);
  EXPECT_EQ(caps->devices(0).name(), "cpu");
  EXPECT_EQ(caps->device_choice(), std::string("--device=auto: the CPU serves, since no GPU can: ") + kNoDriver);
  EXPECT_THAT(caps->build().cuda_plugin(), StartsWith("CUDA toolkit 13."));
}

}  // namespace
}  // namespace bwrt::e2e
