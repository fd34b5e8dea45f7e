#include "server/flags.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <string>
#include <vector>

namespace bwrt::server {
namespace {

using namespace std::chrono_literals;

absl::StatusOr<Flags> Parse(const std::vector<std::string>& arguments) {
  std::vector<const char*> argv = {"bwrtd"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  return ParseFlags(static_cast<int>(argv.size()), argv.data());
}

Flags Good(const std::vector<std::string>& arguments) {
  auto flags = Parse(arguments);
  EXPECT_TRUE(flags.ok()) << arguments.front() << ": " << flags.status();
  return flags.ok() ? *std::move(flags) : Flags();
}

std::string Error(const std::vector<std::string>& arguments) {
  const auto flags = Parse(arguments);
  EXPECT_FALSE(flags.ok()) << arguments.front();
  EXPECT_EQ(flags.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(flags.status().message());
}

class FlagFile {
 public:
  explicit FlagFile(const std::string& text) : path_(testing::TempDir() + "/test.flags") {
    std::ofstream(path_) << text;
  }
  ~FlagFile() { std::remove(path_.c_str()); }
  std::string flag() const { return "--flagfile=" + path_; }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

TEST(FlagsTest, Defaults) {
  const Flags flags = *Parse({});
  EXPECT_TRUE(flags.rpc.listen.empty());
  EXPECT_FALSE(flags.rpc.insecure_listen);
  EXPECT_EQ(flags.rpc.max_message_bytes, 67108864u);
  EXPECT_FALSE(flags.metrics.address.has_value());
  EXPECT_EQ(flags.waves.device, DeviceChoice::kAuto);
  EXPECT_EQ(flags.waves.lanes, 0u);
  EXPECT_EQ(flags.waves.cpu_threads, 0u);
  EXPECT_FALSE(flags.waves.lenient_shapes);
  EXPECT_EQ(flags.waves.tile_whitelist_file, "");
  EXPECT_EQ(flags.waves.tune_file, "");
  EXPECT_EQ(flags.waves.queue_waves, 1024u);
  EXPECT_EQ(flags.waves.queue_bytes, 1073741824u);
  EXPECT_EQ(flags.weights.max_models, 64u);
  EXPECT_EQ(flags.weights.memory_limit, 0u);
  EXPECT_TRUE(flags.weights.allow_when_idle);
  EXPECT_EQ(flags.weights.max_hold, 10s);
  EXPECT_EQ(flags.weights.max_pause, 5s);
  EXPECT_EQ(flags.weights.state_dir, "");
  EXPECT_EQ(flags.weights.root, "");
  EXPECT_EQ(flags.weights.keep_versions, 1u);
  EXPECT_EQ(flags.weights.stage_bandwidth, 0u);
  EXPECT_EQ(flags.weights.stage_idle_timeout, 60s);
  EXPECT_EQ(flags.process.grace_period, 30s);
  EXPECT_EQ(flags.process.ready_file, "");
  EXPECT_EQ(flags.process.log_level, LogLevel::kInfo);
  EXPECT_FALSE(flags.version);
  EXPECT_EQ(flags.help, "");
}

TEST(FlagsTest, Listen) {
  const Flags flags = Good({"--listen=unix:/tmp/x", "--listen=127.0.0.1:0", "--listen", "[::1]:80"});
  ASSERT_EQ(flags.rpc.listen.size(), 3u);
  EXPECT_EQ(flags.rpc.listen[0].ToString(), "unix:/tmp/x");
  EXPECT_EQ(flags.rpc.listen[1].ToString(), "127.0.0.1:0");
  EXPECT_EQ(flags.rpc.listen[2].ToString(), "[::1]:80");
  EXPECT_EQ(Error({"--listen=nonsense"}),
            "--listen=nonsense: address 'nonsense': has no port; write unix:PATH, HOST:PORT or [V6]:PORT");
}

TEST(FlagsTest, InsecureListen) {
  EXPECT_NE(Error({"--listen=0.0.0.0:80"}).find("--insecure-listen"), std::string::npos);
  EXPECT_NE(Error({"--listen=0.0.0.0:80", "--insecure-listen=false"}).find("--insecure-listen"), std::string::npos);
  EXPECT_TRUE(Good({"--listen=0.0.0.0:80", "--insecure-listen"}).rpc.insecure_listen);
  EXPECT_TRUE(Good({"--insecure-listen=true"}).rpc.insecure_listen);
}

TEST(FlagsTest, Metrics) {
  EXPECT_EQ(Good({"--metrics=127.0.0.1:9464"}).metrics.address->ToString(), "127.0.0.1:9464");
  EXPECT_EQ(Error({"--metrics=unix:/tmp/x"}), "--metrics=unix:/tmp/x: must be HOST:PORT");
  EXPECT_NE(Error({"--metrics=0.0.0.0:9464"}).find("can be read from other machines"), std::string::npos);
  EXPECT_TRUE(Good({"--metrics=0.0.0.0:9464", "--insecure-listen"}).metrics.address.has_value());
}

TEST(FlagsTest, Choices) {
  EXPECT_EQ(Good({"--device=cpu"}).waves.device, DeviceChoice::kCpu);
  EXPECT_EQ(Good({"--device=cuda"}).waves.device, DeviceChoice::kCuda);
  EXPECT_EQ(Error({"--device=tpu"}), "--device=tpu: must be one of auto, cpu, cuda");
  EXPECT_EQ(Good({"--device=cuda:3"}).waves.device, DeviceChoice::kCuda);
  EXPECT_EQ(Good({"--device=cuda:3"}).waves.cuda.ordinal, 3);
  EXPECT_EQ(Good({"--device=cuda:3", "--device=cuda"}).waves.cuda.ordinal, 0);
  EXPECT_EQ(Error({"--device=cuda:"}), "--device=cuda:: the GPU's number must be from 0 to 255");
  EXPECT_EQ(Error({"--device=cuda:-1"}), "--device=cuda:-1: the GPU's number must be from 0 to 255");
  EXPECT_EQ(Good({}).waves.cuda.plugin, "");
  EXPECT_FALSE(Good({}).waves.cuda.recreate);
  EXPECT_EQ(Good({"--cuda-plugin=/opt/x.so"}).waves.cuda.plugin, "/opt/x.so");
  EXPECT_TRUE(Good({"--cuda-recreate"}).waves.cuda.recreate);
  EXPECT_FALSE(Good({}).waves.cuda.poison);
  EXPECT_TRUE(Good({"--cuda-poison"}).waves.cuda.poison);
  EXPECT_EQ(Good({"--cuda-graphs=0"}).waves.cuda.graphs, 0u);
  EXPECT_EQ(Good({}).waves.cuda.counters, GpuCounters::kAuto);
  EXPECT_EQ(Good({"--gpu-counters=off"}).waves.cuda.counters, GpuCounters::kOff);
  EXPECT_EQ(Good({"--gpu-counters=gpm"}).waves.cuda.counters, GpuCounters::kGpm);
  EXPECT_EQ(Good({"--gpu-counters=pm"}).waves.cuda.counters, GpuCounters::kPm);
  EXPECT_EQ(Error({"--gpu-counters=on"}), "--gpu-counters=on: must be one of auto, off, gpm, pm");
  EXPECT_EQ(Good({}).waves.cuda.counter_interval, std::chrono::seconds(1));
  EXPECT_EQ(Good({"--gpu-counter-interval=100ms"}).waves.cuda.counter_interval, std::chrono::milliseconds(100));
  EXPECT_EQ(Error({"--gpu-counter-interval=99ms"}), "--gpu-counter-interval=99ms: must be at least 100ms");
  EXPECT_EQ(Error({"--gpu-counter-interval=61s"}), "--gpu-counter-interval=61s: must be at most 60s");
  EXPECT_EQ(Good({}).waves.cuda.kernel, CudaKernel::kAuto);
  EXPECT_EQ(Good({"--cuda-kernel=own"}).waves.cuda.kernel, CudaKernel::kOwn);
  EXPECT_EQ(Good({"--cuda-kernel=plain"}).waves.cuda.kernel, CudaKernel::kPlain);
  EXPECT_EQ(Good({"--cuda-kernel=cublaslt"}).waves.cuda.kernel, CudaKernel::kCublasLt);
  EXPECT_EQ(Error({"--cuda-kernel=mine"}), "--cuda-kernel=mine: must be one of auto, own, cublaslt, plain");
  EXPECT_TRUE(Good({}).waves.cuda.kernel_counters);
  EXPECT_FALSE(Good({"--cuda-counters=off"}).waves.cuda.kernel_counters);
  EXPECT_EQ(Good({"--cuda-memory=2G"}).waves.cuda.memory, uint64_t{2} << 30);
  EXPECT_TRUE(Good({"--shape-check=lenient"}).waves.lenient_shapes);
  EXPECT_FALSE(Good({"--shape-check=strict"}).waves.lenient_shapes);
  EXPECT_EQ(Error({"--shape-check=loose"}), "--shape-check=loose: must be one of strict, lenient");
  EXPECT_EQ(Good({"--log-level=debug"}).process.log_level, LogLevel::kDebug);
  EXPECT_EQ(Error({"--log-level=loud"}), "--log-level=loud: must be one of debug, info, warning, error");
  EXPECT_FALSE(Good({"--allow-when-idle=false"}).weights.allow_when_idle);
  EXPECT_TRUE(Good({"--allow-when-idle=true"}).weights.allow_when_idle);
  EXPECT_EQ(Error({"--allow-when-idle=no"}), "--allow-when-idle=no: must be true or false");
}

TEST(FlagsTest, Counts) {
  EXPECT_EQ(Good({"--max-models=1"}).weights.max_models, 1u);
  EXPECT_EQ(Error({"--max-models=0"}), "--max-models=0: must be a whole number from 1 to 10000");
  EXPECT_EQ(Good({"--queue-waves=1000000"}).waves.queue_waves, 1000000u);
  EXPECT_EQ(Error({"--queue-waves=1000001"}), "--queue-waves=1000001: must be a whole number from 1 to 1000000");
  EXPECT_EQ(Good({"--keep-versions=0"}).weights.keep_versions, 0u);
  EXPECT_EQ(Error({"--keep-versions=101"}), "--keep-versions=101: must be a whole number from 0 to 100");
  EXPECT_EQ(Good({"--lanes=64"}).waves.lanes, 64u);
  EXPECT_EQ(Error({"--lanes=65"}), "--lanes=65: must be a whole number from 0 to 64");
  EXPECT_EQ(Good({"--cpu-threads=256"}).waves.cpu_threads, 256u);
  EXPECT_EQ(Error({"--cpu-threads=257"}), "--cpu-threads=257: must be a whole number from 0 to 256");
  for (const char* bad : {"-1", "1.5", "x", "1x", "99999999999999999999999"}) {
    EXPECT_NE(Error({std::string("--lanes=") + bad}).find("whole number"), std::string::npos) << bad;
  }
}

TEST(FlagsTest, Bytes) {
  EXPECT_EQ(Good({"--max-message-bytes=1M"}).rpc.max_message_bytes, 1048576u);
  EXPECT_EQ(Good({"--max-message-bytes=2147483647"}).rpc.max_message_bytes, 2147483647u);
  EXPECT_EQ(Error({"--max-message-bytes=2G"}), "--max-message-bytes=2G: must be from 4096 to 2147483647 bytes");
  EXPECT_EQ(Good({"--queue-bytes=2G"}).waves.queue_bytes, uint64_t{2} << 30);
  EXPECT_NE(Error({"--queue-bytes=0"}).find("must be from 1048576"), std::string::npos);
  EXPECT_EQ(Good({"--weight-memory-limit=0"}).weights.memory_limit, 0u);
  EXPECT_EQ(Good({"--weight-memory-limit=1T"}).weights.memory_limit, uint64_t{1} << 40);
  EXPECT_EQ(Good({"--stage-bandwidth=0"}).weights.stage_bandwidth, 0u);
  EXPECT_EQ(Good({"--stage-bandwidth=1M"}).weights.stage_bandwidth, 1048576u);
  EXPECT_NE(Error({"--stage-bandwidth=5K"}).find(", or 0"), std::string::npos);
  EXPECT_NE(Error({"--weight-memory-limit=5K"}).find(", or 0"), std::string::npos);
  EXPECT_EQ(Error({"--weight-memory-limit=99999999999T"}), "--weight-memory-limit=99999999999T: is too large");
  for (const char* bad : {"1MB", "M", "-1", "1.5G", "1m"}) {
    EXPECT_NE(Error({std::string("--queue-bytes=") + bad}).find("number of bytes"), std::string::npos) << bad;
  }
}

TEST(FlagsTest, Durations) {
  EXPECT_EQ(Good({"--max-hold=5s"}).weights.max_hold, 5s);
  EXPECT_EQ(Good({"--max-hold=250ms"}).weights.max_hold, 250ms);
  EXPECT_EQ(Good({"--max-hold=0s"}).weights.max_hold, 0s);
  EXPECT_EQ(Good({"--max-pause=2s"}).weights.max_pause, 2s);
  EXPECT_EQ(Error({"--max-pause=11m"}), "--max-pause=11m: must be at most 600s");
  EXPECT_EQ(Good({"--stage-idle-timeout=5s"}).weights.stage_idle_timeout, 5s);
  EXPECT_EQ(Error({"--stage-idle-timeout=0s"}), "--stage-idle-timeout=0s: must be at least 1ms");
  EXPECT_EQ(Error({"--stage-idle-timeout=2h"}), "--stage-idle-timeout=2h: must be at most 3600s");
  EXPECT_EQ(Good({"--grace-period=1.5m"}).process.grace_period, 90s);
  EXPECT_EQ(Good({"--grace-period=1h"}).process.grace_period, 1h);
  EXPECT_EQ(Error({"--max-hold=11m"}), "--max-hold=11m: must be at most 600s");
  EXPECT_EQ(Error({"--grace-period=61m"}), "--grace-period=61m: must be at most 3600s");
  for (const char* bad : {"5", "s", "-5s", "5 s", "5sec", "nans", "infs", "1e3s"}) {
    EXPECT_NE(Error({std::string("--max-hold=") + bad}).find("duration with its unit"), std::string::npos) << bad;
  }
  EXPECT_EQ(Error({"--max-hold=99999999999999h"}), "--max-hold=99999999999999h: is too long");
}

TEST(FlagsTest, Files) {
  EXPECT_EQ(Good({"--ready-file=/tmp/r"}).process.ready_file, "/tmp/r");
  EXPECT_EQ(Good({"--tile-whitelist=/tmp/w"}).waves.tile_whitelist_file, "/tmp/w");
  EXPECT_EQ(Good({"--tune-at-start=/tmp/s"}).waves.tune_file, "/tmp/s");
  EXPECT_EQ(Good({"--decision-log=/tmp/d"}).waves.decision_log, "/tmp/d");
  EXPECT_EQ(Good({"--state-dir=/tmp/s"}).weights.state_dir, "/tmp/s");
  EXPECT_EQ(Good({"--weights-root=/tmp/r"}).weights.root, "/tmp/r");
}

TEST(FlagsTest, HelpAndVersion) {
  EXPECT_TRUE(Good({"--version"}).version);
  const std::string help = Good({"--help"}).help;
  for (const char* name : {"--listen",
                           "--insecure-listen",
                           "--metrics",
                           "--device",
                           "--cuda-plugin",
                           "--cuda-memory",
                           "--cuda-graphs",
                           "--cuda-kernel",
                           "--cuda-counters",
                           "--cuda-recreate",
                           "--decision-log",
                           "--flagfile",
                           "--ready-file",
                           "--version",
                           "--log-level",
                           "--shape-check",
                           "--tile-whitelist",
                           "--max-models",
                           "--max-message-bytes",
                           "--queue-waves",
                           "--queue-bytes",
                           "--lanes",
                           "--cpu-threads",
                           "--weight-memory-limit",
                           "--allow-when-idle",
                           "--max-hold",
                           "--grace-period",
                           "--max-pause",
                           "--state-dir",
                           "--weights-root",
                           "--keep-versions",
                           "--stage-bandwidth",
                           "--stage-idle-timeout"}) {
    EXPECT_NE(help.find(name), std::string::npos) << name;
  }
}

TEST(FlagsTest, WhatIsNotAFlag) {
  EXPECT_NE(Error({"--no-such-flag=1"}).find("--no-such-flag"), std::string::npos);
  EXPECT_NE(Error({"--state-directory=/tmp"}).find("--state-directory"), std::string::npos);
  EXPECT_NE(Error({"word"}).find("word"), std::string::npos);
  EXPECT_NE(Error({"--lanes"}).find("--lanes"), std::string::npos);
  for (const char* name : {"--lanes=", "--ready-file=", "--max-hold=", "--queue-bytes=", "--listen="}) {
    EXPECT_NE(Error({name}).find("missing"), std::string::npos) << name;
  }
  EXPECT_NE(Error({"--lanes=1", "2"}).find('2'), std::string::npos);
}

TEST(FlagsTest, TheLastOfTwoWins) { EXPECT_EQ(Good({"--lanes=1", "--lanes=2"}).waves.lanes, 2u); }

TEST(FlagsTest, FlagFile) {
  const FlagFile file(
      "# a comment\n"
      "\n"
      "  --lanes=3  \r\n"
      "queue-waves=7\n"
      "insecure-listen\n"
      "\t# another\n"
      "listen=unix:/tmp/one\n"
      "listen=unix:/tmp/two words\n"
      "max-hold=3s");
  const Flags flags = Good({file.flag()});
  EXPECT_EQ(flags.waves.lanes, 3u);
  EXPECT_EQ(flags.waves.queue_waves, 7u);
  EXPECT_TRUE(flags.rpc.insecure_listen);
  ASSERT_EQ(flags.rpc.listen.size(), 2u);
  EXPECT_EQ(flags.rpc.listen[1].path, "/tmp/two words");
  EXPECT_EQ(flags.weights.max_hold, 3s);
}

TEST(FlagsTest, TheCommandLineWins) {
  const FlagFile file("lanes=3\nlisten=unix:/tmp/one\nlisten=unix:/tmp/two\nmax-models=5\n");
  for (const bool first : {true, false}) {
    std::vector<std::string> arguments = {"--lanes=4", "--listen=unix:/tmp/three"};
    arguments.insert(first ? arguments.begin() : arguments.end(), file.flag());
    const Flags flags = Good(arguments);
    EXPECT_EQ(flags.waves.lanes, 4u);
    ASSERT_EQ(flags.rpc.listen.size(), 1u);
    EXPECT_EQ(flags.rpc.listen[0].path, "/tmp/three");
    EXPECT_EQ(flags.weights.max_models, 5u);
  }
}

TEST(FlagsTest, FlagFileErrorsNameFileAndLine) {
  const struct {
    const char* text;
    const char* says;
  } cases[] = {
      {"# one\nlanes=65\n", ":2: --lanes=65: must be"},
      {"lanes\n", ":1: "},
      {"\n\n\nnonsense=1\n", ":4: "},
      {"flagfile=/tmp/other\n", ":1: a flag file cannot name another one"},
      {"help\n", ":1: --help has no place"},
      {"listen=bad\n", ":1: --listen=bad: "},
      {"lanes = 3\n", ":1: "},
  };
  for (const auto& c : cases) {
    const FlagFile file(c.text);
    const std::string error = Error({file.flag()});
    EXPECT_EQ(error.rfind(file.path() + c.says, 0), 0u) << error;
  }
  EXPECT_EQ(Error({"--flagfile=/no/such/file"}), "--flagfile=/no/such/file: cannot open it");
}

}  // namespace
}  // namespace bwrt::server
