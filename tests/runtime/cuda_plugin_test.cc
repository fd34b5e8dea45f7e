#include "runtime/cuda_plugin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <string>

#include "runtime/error.h"
#include "tests/runtime/fake_cuda_table.h"

namespace bwrt::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Text(const absl::Status& status) { return std::string(status.message()); }

TEST(CudaPluginTest, LooksBesideTheProgram) {
  EXPECT_THAT(CudaPlugin::SearchPaths("/opt/bwrt/bin/bwrtd"),
              ElementsAre("/opt/bwrt/bin/libbwrt_cuda.so", "/opt/bwrt/bin/../lib/bwrt/libbwrt_cuda.so",
                          "/opt/bwrt/bin/../runtime/libbwrt_cuda.so"));
}

TEST(CudaPluginTest, AFileThatIsNotThere) {
  const auto table = CudaPlugin::Load(testing::TempDir() + "/no/such/libbwrt_cuda.so");
  EXPECT_TRUE(absl::IsUnavailable(table.status()));
  EXPECT_EQ(GetReason(table.status()), "NO_CUDA_PLUGIN");
  EXPECT_THAT(Text(table.status()), HasSubstr("can't be loaded"));
  EXPECT_THAT(Text(table.status()), Not(HasSubstr("/no/such"))) << "clients read this";
}

TEST(CudaPluginTest, AFileThatIsNoLibrary) {
  const std::string path = testing::TempDir() + "/not_a_library.so";
  std::ofstream(path) << "text";
  const auto table = CudaPlugin::Load(path);
  EXPECT_EQ(GetReason(table.status()), "NO_CUDA_PLUGIN");
}

TEST(CudaPluginTest, ALibraryThatIsNoPlugin) {
  const auto table = CudaPlugin::Load("/lib/x86_64-linux-gnu/libc.so.6");
  EXPECT_EQ(GetReason(table.status()), "CUDA_PLUGIN_MISMATCH");
  EXPECT_THAT(Text(table.status()), HasSubstr("bwrt_cuda_plugin"));
}

TEST(CudaPluginTest, ATableMustFit) {
  FakeCudaTable fake;
  EXPECT_TRUE(CudaPlugin::Check(fake.table()).ok());
  EXPECT_EQ(GetReason(CudaPlugin::Check(nullptr)), "CUDA_PLUGIN_MISMATCH");

  BwrtCudaTable table = *fake.table();
  table.abi_version = BWRT_CUDA_ABI_VERSION + 1;
  EXPECT_THAT(Text(CudaPlugin::Check(&table)), HasSubstr("version 2, bwrtd needs 1"));
  table = *fake.table();
  table.size = sizeof(table) - 8;
  EXPECT_THAT(Text(CudaPlugin::Check(&table)), HasSubstr("bytes"));
  table = *fake.table();
  table.size += 64;
  EXPECT_TRUE(CudaPlugin::Check(&table).ok()) << "a table may have grown at its end";
  table = *fake.table();
  table.recreate = nullptr;
  EXPECT_THAT(Text(CudaPlugin::Check(&table)), HasSubstr("lacks a function"));
  table = *fake.table();
  table.stop_counters = nullptr;
  EXPECT_THAT(Text(CudaPlugin::Check(&table)), HasSubstr("lacks a function"));
}

TEST(CudaPluginTest, EveryCodeHasAReason) {
  for (const auto& [code, reason] :
       {std::pair(BWRT_CUDA_OUT_OF_DEVICE_MEMORY, "DEVICE_MEMORY"),
        std::pair(BWRT_CUDA_OUT_OF_HOST_MEMORY, "NO_MEMORY"), std::pair(BWRT_CUDA_STOPPED, "CANCELLED"),
        std::pair(BWRT_CUDA_DEVICE_LOST, "DEVICE_LOST"), std::pair(BWRT_CUDA_INVALID, "CUDA_ERROR"),
        std::pair(BWRT_CUDA_FAILED, "CUDA_ERROR")}) {
    BwrtCudaError error{};
    error.code = code;
    std::strcpy(error.text, "why");
    EXPECT_EQ(GetReason(CudaError(error)), reason);
    EXPECT_EQ(Text(CudaError(error)), "why");
  }
}

TEST(CudaPluginTest, AnErrorTextNeedsNoEnd) {
  BwrtCudaError error{};
  error.code = BWRT_CUDA_FAILED;
  std::memset(error.text, 'x', sizeof(error.text));
  EXPECT_EQ(Text(CudaError(error)), std::string(sizeof(error.text), 'x'));
}

}  // namespace
}  // namespace bwrt::runtime
