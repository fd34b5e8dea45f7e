// What concerns the process as a whole: its memory limit, ready file and signals.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "server/drain_signal.h"
#include "server/host_memory.h"
#include "server/ready_file.h"

namespace bwrt::server {
namespace {

namespace fs = std::filesystem;

class ProcessTest : public testing::Test {
 protected:
  ProcessTest() {
    std::string pattern = testing::TempDir() + "/processXXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~ProcessTest() override { fs::remove_all(directory_); }

  void Write(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(directory_ + path).parent_path());
    std::ofstream(directory_ + path) << text;
  }

  std::string directory_;
};

// ---- host memory ----

TEST_F(ProcessTest, MemoryOfTheMachine) {
  EXPECT_EQ(HostMemoryBytes(directory_), 0u);
  Write("/proc/meminfo", "MemTotal:       1000 kB\nMemFree: 10 kB\n");
  EXPECT_EQ(HostMemoryBytes(directory_), 1024000u);
  EXPECT_GT(HostMemoryBytes(), 1u << 20);
}

TEST_F(ProcessTest, MemoryOfTheControlGroup) {
  Write("/proc/meminfo", "MemTotal:       1000 kB\n");
  Write("/sys/fs/cgroup/memory.max", "512000\n");  // As in a container.
  EXPECT_EQ(HostMemoryBytes(directory_), 512000u);
  Write("/proc/self/cgroup", "1:cpu:/x\n0::/system.slice/bwrtd.service\n");
  Write("/sys/fs/cgroup/system.slice/memory.max", "300000\n");
  Write("/sys/fs/cgroup/system.slice/bwrtd.service/memory.max", "max\n");
  EXPECT_EQ(HostMemoryBytes(directory_), 300000u);
  Write("/sys/fs/cgroup/system.slice/bwrtd.service/memory.max", "200000\n");
  EXPECT_EQ(HostMemoryBytes(directory_), 200000u);
}

// ---- ready file ----

TEST_F(ProcessTest, ReadyFile) {
  const std::string path = directory_ + "/ready";
  EXPECT_TRUE(ReadyFile::RemoveStale(path).ok());
  Write("/ready", "old");
  EXPECT_TRUE(ReadyFile::RemoveStale(path).ok());
  EXPECT_FALSE(fs::exists(path));
  {
    auto file = ReadyFile::Create(path, {"unix:/run/x", "127.0.0.1:4711"}, "127.0.0.1:9464");
    ASSERT_TRUE(file.ok()) << file.status();
    std::ifstream in(path);
    const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    EXPECT_EQ(text, "{\"pid\":" + std::to_string(getpid()) +
                        ",\"listen\":[\"unix:/run/x\",\"127.0.0.1:4711\"],\"metrics\":\"127.0.0.1:9464\"}\n");
    EXPECT_EQ(std::distance(fs::directory_iterator(directory_), fs::directory_iterator()), 1);
  }
  EXPECT_FALSE(fs::exists(path));
  auto file = ReadyFile::Create(path, {"unix:/run/x"}, "");
  ASSERT_TRUE(file.ok());
  std::ifstream in(path);
  EXPECT_FALSE(nlohmann::json::parse(in).contains("metrics"));
}

TEST_F(ProcessTest, ReadyFileErrors) {
  EXPECT_EQ(ReadyFile::Create(directory_ + "/none/ready", {}, "").status().code(), absl::StatusCode::kNotFound);
  fs::create_directory(directory_ + "/dir");
  fs::create_directory(directory_ + "/dir/x");
  EXPECT_FALSE(ReadyFile::Create(directory_ + "/dir", {}, "").ok());
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_), fs::directory_iterator()), 1);
  EXPECT_FALSE(ReadyFile::RemoveStale(directory_ + "/dir").ok());
}

// ---- signals; each in a process of its own ----

using ProcessDeathTest = ProcessTest;

TEST_F(ProcessDeathTest, ASignalIsReturned) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  for (const int sent : {SIGTERM, SIGINT}) {
    EXPECT_EXIT(
        {
          BlockDrainSignals();
          std::thread sender([sent] { kill(getpid(), sent); });
          const int got = WaitForDrainSignal();
          sender.join();
          kill(getpid(), SIGPIPE);  // Ignored.
          _exit(got == sent ? 42 : 1);
        },
        testing::ExitedWithCode(42), "");
  }
}

TEST_F(ProcessDeathTest, ASecondSignalEndsAtOnce) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        BlockDrainSignals();
        kill(getpid(), SIGTERM);
        WaitForDrainSignal();
        kill(getpid(), SIGINT);
        while (true) pause();
      },
      testing::ExitedWithCode(1), "second signal");
}

}  // namespace
}  // namespace bwrt::server
