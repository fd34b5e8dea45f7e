// The daemon as a process: its flags, listeners, logs, and how it ends.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/e2e/daemon_fixture.h"
#include "tests/e2e/daemon_process.h"
#include "tests/e2e/waves.h"

namespace bwrt::e2e {
namespace {

namespace fs = std::filesystem;
using absl::StatusCode;
using HealthResponse = grpc::health::v1::HealthCheckResponse;
using Json = nlohmann::json;

class DaemonTest : public DaemonFixture {
 protected:
  // Whether a daemon answers there.
  bool Answers(const std::string& address) {
    const auto other = Connect(address);
    return other != nullptr && other->CheckHealth().ok();
  }

  Directory directory_;
};

int PortOf(const std::string& address) {
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port)) << address;
  return port;
}

// ---- listening ----

TEST_F(DaemonTest, TheReadyFileSaysWhereItServes) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon({kMetrics}));
  const std::string path = daemon().ready_file();
  const std::string text = daemon().ready_text();
  EXPECT_TRUE(absl::EndsWith(text, "}\n"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  const Json ready = Json::parse(text);
  EXPECT_EQ(ready["pid"], daemon().pid());
  ASSERT_EQ(ready["listen"].size(), 2u);
  EXPECT_TRUE(absl::StartsWith(ready["listen"][0].get<std::string>(), "unix:/"));
  EXPECT_TRUE(absl::StartsWith(ready["listen"][1].get<std::string>(), "127.0.0.1:"));
  EXPECT_GT(PortOf(ready["listen"][1]), 0);
  EXPECT_GT(PortOf(ready["metrics"]), 0);
  EXPECT_TRUE(IsServing());  // As soon as the file is there.
  EXPECT_EQ(StopDaemon(), 0);
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(DaemonTest, SeveralListeners) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon({"--listen=unix:" + directory_ / "a", "--listen=127.0.0.1:0",
                                       "--listen=unix:" + directory_ / "b", "--listen=localhost:0"}));
  ASSERT_EQ(daemon().addresses().size(), 4u);
  for (std::string address : daemon().addresses()) {
    // gRPC's client leaks a name that it has to look up.
    if (absl::StartsWith(address, "localhost:")) address = absl::StrCat("127.0.0.1:", PortOf(address));
    EXPECT_TRUE(Answers(address)) << address;
  }
  EXPECT_NE(PortOf(daemon().addresses()[1]), PortOf(daemon().addresses()[3]));
}

TEST_F(DaemonTest, ABusyPortIsAnError) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon({"--listen=127.0.0.1:0", kMetrics}));
  const Ended listen = RunDaemon({"--listen=" + daemon().tcp_address()});
  EXPECT_EQ(listen.status, 1);
  EXPECT_TRUE(absl::StrContains(listen.err, daemon().tcp_address())) << listen.err;
  const Ended metrics = RunDaemon({"--listen=127.0.0.1:0", "--metrics=" + daemon().metrics_address()});
  EXPECT_EQ(metrics.status, 1);
  EXPECT_TRUE(absl::StrContains(metrics.err, daemon().metrics_address())) << metrics.err;
  EXPECT_TRUE(Answers(daemon().tcp_address()));
}

TEST_F(DaemonTest, ASecondDaemonOnTheSocketIsRefused) {
  const std::string listen = "--listen=unix:" + directory_ / "s";
  ASSERT_NO_FATAL_FAILURE(StartDaemon({listen}));
  const Ended second = RunDaemon({listen, "--ready-file=" + directory_ / "ready"});
  EXPECT_EQ(second.status, 1);
  EXPECT_TRUE(absl::StrContains(second.err, "another process is listening")) << second.err;
  EXPECT_FALSE(fs::exists(directory_ / "ready"));
  EXPECT_TRUE(Answers(daemon().unix_address()));  // The first is unharmed.
}

TEST_F(DaemonTest, AStaleSocketIsReplaced) {
  const std::string listen = "--listen=unix:" + directory_ / "s";
  {
    auto killed = Daemon::Start({listen});
    ASSERT_TRUE(killed.ok()) << killed.status();
    (*killed)->Signal(SIGKILL);
    EXPECT_EQ((*killed)->Wait(), 128 + SIGKILL);
  }
  ASSERT_TRUE(fs::exists(directory_ / "s"));
  ASSERT_NO_FATAL_FAILURE(StartDaemon({listen}));
}

TEST_F(DaemonTest, WhatIsNoSocketIsNotReplaced) {
  WriteAll(directory_ / "s", "precious");
  const Ended ended = RunDaemon({"--listen=unix:" + directory_ / "s"});
  EXPECT_EQ(ended.status, 1);
  EXPECT_EQ(ReadAll(directory_ / "s"), "precious");
}

TEST_F(DaemonTest, TheSocketIsForOwnerAndGroup) {
  const mode_t before = umask(0);
  StartDaemon({"--listen=unix:" + directory_ / "s"});
  umask(before);
  struct stat info;
  ASSERT_EQ(stat((directory_ / "s").c_str(), &info), 0);
  EXPECT_TRUE(S_ISSOCK(info.st_mode));
  EXPECT_EQ(info.st_mode & 0777, 0660u);
}

TEST_F(DaemonTest, AddressesBeyondThisMachineAreRefused) {
  for (const char* flag : {"--listen=0.0.0.0:0", "--listen=[::]:0", "--metrics=0.0.0.0:0"}) {
    const Ended ended = RunDaemon({"--listen=unix:" + directory_ / "s", flag});
    EXPECT_TRUE(ended.status == 1 || ended.status == 2) << ended.status.value_or(-1);
    EXPECT_TRUE(absl::StrContains(ended.err, "--insecure-listen")) << ended.err;
    EXPECT_FALSE(fs::exists(directory_ / "s"));
  }
}

// ---- flags ----

TEST_F(DaemonTest, BadFlags) {
  const auto bad = [](const std::vector<std::string>& flags, const char* names) {
    const Ended ended = RunDaemon(flags);
    EXPECT_EQ(ended.status, 2) << names;
    EXPECT_TRUE(absl::StrContains(ended.err, names)) << ended.err;
    EXPECT_EQ(ended.out, "") << names;
  };
  bad({"--lstien=unix:/x"}, "lstien");
  bad({"positional"}, "positional");
  bad({"--lanes=-1"}, "--lanes");
  bad({"--lanes=many"}, "--lanes");
  bad({"--device=tpu"}, "--device");
  bad({"--max-message-bytes=12q"}, "--max-message-bytes");
  bad({"--grace-period=5"}, "--grace-period");
  bad({"--listen=nowhere"}, "--listen");
  bad({"--metrics=unix:/x"}, "--metrics");
  bad({"--flagfile=" + directory_ / "none"}, "--flagfile");
}

TEST_F(DaemonTest, WhatItCannotDoEndsWith1) {
  const std::string listen = "--listen=unix:" + directory_ / "s";
  EXPECT_EQ(RunDaemon({listen, "--device=cuda", "--cuda-plugin=" + directory_ / "none.so"}).status, 1);
  EXPECT_EQ(RunDaemon({listen, "--tile-whitelist=" + directory_ / "none"}).status, 1);
  EXPECT_EQ(RunDaemon({listen, "--ready-file=" + directory_ / "none/ready"}).status, 1);
  EXPECT_EQ(RunDaemon({"--listen=unix:" + directory_ / "none/s"}).status, 1);
}

TEST_F(DaemonTest, FlagFiles) {
  WriteAll(directory_ / "flags", absl::StrCat("# For tests.\n--lanes=1\nshape-check=lenient\n\n  queue-waves=7\n",
                                              "listen=unix:", directory_ / "s", "\n"));
  WriteAll(directory_ / "shapes", "64,64,64,1,1,1\n# Comment.\n128,128,64,2,2,1\n");
  ASSERT_NO_FATAL_FAILURE(
      StartDaemon({"--flagfile=" + directory_ / "flags", "--queue-waves=9", "--tile-whitelist=" + directory_ / "shapes",
                   "--listen=unix:" + directory_ / "t"}));
  EXPECT_EQ(daemon().unix_address(), "unix:" + directory_ / "t");  // The command line replaces the file's.
  const auto caps = client().GetCapabilities();
  ASSERT_TRUE(caps.ok()) << caps.status();
  EXPECT_EQ(caps->devices(0).lanes(), 1u);
  EXPECT_TRUE(caps->lenient_shapes());
  EXPECT_EQ(caps->limits().queue_waves(), 9u);
  EXPECT_EQ(caps->tile_whitelist_size(), 2);

  WriteAll(directory_ / "flags", "--lanes=1\n--lanez=2\n");
  const Ended ended = RunDaemon({"--flagfile=" + directory_ / "flags"});
  EXPECT_EQ(ended.status, 2);
  EXPECT_TRUE(absl::StrContains(ended.err, "flags:2")) << ended.err;
}

TEST_F(DaemonTest, VersionAndHelp) {
  const Ended version = RunDaemon({"--version"});
  EXPECT_EQ(version.status, 0);
  EXPECT_TRUE(absl::StartsWith(version.out, "bwrtd ")) << version.out;
  EXPECT_EQ(version.err, "");
  const Ended help = RunDaemon({"--help"});
  EXPECT_EQ(help.status, 0);
  for (const char* flag : {"--listen", "--metrics", "--flagfile", "--ready-file", "--grace-period"}) {
    EXPECT_TRUE(absl::StrContains(help.out, flag)) << flag;
  }
}

TEST_F(DaemonTest, Capabilities) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon());
  const auto caps = client().GetCapabilities();
  ASSERT_TRUE(caps.ok()) << caps.status();
  ASSERT_EQ(caps->devices_size(), 1);
  EXPECT_EQ(caps->devices(0).name(), "cpu");
  EXPECT_EQ(caps->devices(0).dtypes_size(), 5);
  EXPECT_GT(caps->devices(0).lanes(), 0u);
  EXPECT_EQ(caps->tile_whitelist_size(), 4);
  // sha256 of "128,128,64,2,2,1\n128,128,128,3,2,1\n128,256,64,2,2,1\n256,128,64,2,2,1\n".
  EXPECT_EQ(caps->whitelist_digest(), "sha256:bb51e1792eddb2454fe4b1647692244b9921327bd04e2217b2c448d0d7695ce8");
  EXPECT_EQ(caps->limits().max_message_bytes(), uint64_t{64} << 20);
  EXPECT_FALSE(caps->build().version().empty());
  EXPECT_FALSE(caps->lenient_shapes());
}

TEST_F(DaemonTest, HealthByService) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon());
  for (const char* service : {"", "bwrt.v1.Execution", "bwrt.v1.Weights", "bwrt.v1.Telemetry"}) {
    const auto health = client().CheckHealth(service);
    ASSERT_TRUE(health.ok()) << service << ": " << health.status();
    EXPECT_EQ(health->status(), HealthResponse::SERVING) << service;
  }
  EXPECT_EQ(client().CheckHealth("bwrt.v1.Nothing").status().code(), StatusCode::kNotFound);
}

// ---- logs ----

TEST_F(DaemonTest, LogsAreJsonLinesWithoutOperands) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon({"--log-level=debug"}));
  constexpr char kSecret[] = "SECRETS!";  // Two ordinary f32.
  v1::SubmitWaveRequest wave = MakeWave(16, 16, 32);
  std::string bytes;
  while (bytes.size() < 16 * 32 * 4) absl::StrAppend(&bytes, kSecret);
  wave.mutable_a()->set_inline_(bytes);
  wave.mutable_w()->set_inline_(bytes);
  ASSERT_TRUE(client().SubmitWave(wave).ok());
  ASSERT_TRUE(client().SetWeights(Publish(WeightOf(wave, "w"))).ok());
  wave.mutable_a()->mutable_inline_()->append(kSecret);
  EXPECT_FALSE(client().SubmitWave(wave).ok());
  wave.set_model("\xff\xfe");  // No UTF-8: not even a message.
  EXPECT_FALSE(client().SubmitWave(wave).ok());
  EXPECT_EQ(StopDaemon(), 0);

  int lines = 0;
  for (const absl::string_view line : absl::StrSplit(log(), '\n', absl::SkipEmpty())) {
    const Json json = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
    EXPECT_TRUE(json.is_object()) << line;
    if (!json.is_object()) continue;
    for (const char* key : {"time", "level", "message"}) EXPECT_TRUE(json.contains(key)) << line;
    EXPECT_FALSE(absl::StrContains(line, "SECRETS")) << line;
    ++lines;
  }
  EXPECT_GT(lines, 3);
}

// ---- draining ----

TEST_F(DaemonTest, SigtermDrains) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon({"--lanes=1", kLenient, kMetrics}));
  // Closes the window, so that a swap can wait for it.
  v1::SubmitWaveRequest tight = MakeWave(256, 256, 32);
  SetWindow(&tight, 0, 1);
  ASSERT_TRUE(client().SubmitWave(tight).ok());
  const auto watcher = Connect(daemon().tcp_address());
  const auto health = watcher->WatchHealth();
  const auto model = watcher->WatchModel("");
  const auto samples = watcher->WatchSamples();
  ASSERT_EQ((*health->Next())->status(), HealthResponse::SERVING);
  ASSERT_EQ((*model->Next())->kind(), v1::ModelEvent::SNAPSHOT);
  ASSERT_TRUE(samples->Next()->has_value());
  v1::SetWeightsRequest change = Publish(WeightOf(tight, "w"));
  change.set_policy(v1::WAIT_FOR_WINDOW);
  PendingSwap swap(watcher.get(), change);
  ASSERT_TRUE(WaitUntil([&] { return watcher->GetModel("")->window().waiting_swaps() == 1; }));

  v1::SubmitWaveRequest wave = MakeLongWave("running", 256);
  SetWindow(&wave, 2'000'000, 2'000'001);
  LongWave running(&client(), wave);
  const auto stream = client().StreamWaves();
  v1::StreamWavesRequest queued;
  *queued.mutable_wave() = MakeWave(16, 16, 32);
  ASSERT_TRUE(stream->Write(queued));
  ASSERT_TRUE(WaitUntil([this] { return QueueDepth() == 1; }));

  int answered = 0;
  absl::Status stream_end;
  std::thread answers([&] {
    while (const auto response = stream->Read()) answered += response->has_result() ? 1 : 0;
    stream_end = stream->Finish();
  });

  daemon().Signal(SIGTERM);
  const auto draining = health->Next();
  EXPECT_TRUE(draining.ok() && draining->has_value()) << draining.status();
  if (draining.ok() && draining->has_value()) {
    EXPECT_EQ((*draining)->status(), HealthResponse::NOT_SERVING);
  }
  // Health tells it a moment before work is refused.
  EXPECT_TRUE(WaitUntil([this] { return !client().ValidateWave(MakeWave(16, 16, 32)).ok(); }));
  EXPECT_TRUE(Is(client().SubmitWave(MakeWave(16, 16, 32)).status(), StatusCode::kUnavailable, "DRAINING"));
  EXPECT_TRUE(Is(client().ValidateWave(MakeWave(16, 16, 32)).status(), StatusCode::kUnavailable, "DRAINING"));
  EXPECT_TRUE(Is(client().SetWeights(change).status(), StatusCode::kUnavailable, "DRAINING"));
  EXPECT_TRUE(running.IsRunning()) << "too short to prove anything";
  EXPECT_TRUE(Is(swap.Join().status(), StatusCode::kUnavailable, "DRAINING"));

  // Waves that were there finish, and then streams and watches end.
  const auto result = running.Join();
  EXPECT_TRUE(result.ok()) << client::FormatError(result.status());
  answers.join();
  EXPECT_EQ(answered, 1);
  EXPECT_TRUE(Is(stream_end, StatusCode::kUnavailable, "DRAINING"));
  const auto end_of = [](const auto& watch) {
    auto event = watch->Next();
    while (event.ok() && event->has_value()) event = watch->Next();
    return event.status();
  };
  EXPECT_TRUE(Is(end_of(model), StatusCode::kUnavailable, "DRAINING"));
  EXPECT_TRUE(Is(end_of(samples), StatusCode::kUnavailable, "DRAINING"));
  EXPECT_EQ(end_of(health).code(), StatusCode::kUnavailable);
  const std::string socket = daemon().unix_address().substr(std::string("unix:").size());
  EXPECT_EQ(daemon().Wait(absl::Seconds(5)), 0) << "exits late, or wrongly: " << daemon().log();
  EXPECT_FALSE(fs::exists(socket));
  StopDaemon();
}

TEST_F(DaemonTest, TheGracePeriodEnds) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon({"--lanes=1", "--grace-period=100ms", kLenient}));
  LongWave running(&client(), MakeLongWave("running"));
  daemon().Signal(SIGTERM);
  EXPECT_TRUE(absl::IsCancelled(running.Join().status())) << running.Join().status();
  EXPECT_EQ(daemon().Wait(), 0) << daemon().log();
  EXPECT_TRUE(absl::StrContains(daemon().log(), "grace period")) << daemon().log();
  StopDaemon();
}

TEST_F(DaemonTest, ASecondSignalEndsAtOnce) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon({"--lanes=1", kLenient}));
  LongWave running(&client(), MakeLongWave("running"));
  const auto health = client().WatchHealth();
  ASSERT_EQ((*health->Next())->status(), HealthResponse::SERVING);
  daemon().Signal(SIGTERM);
  ASSERT_EQ((*health->Next())->status(), HealthResponse::NOT_SERVING);
  daemon().Signal(SIGTERM);
  EXPECT_EQ(daemon().Wait(), 1);
  EXPECT_FALSE(running.Join().ok());
  StopDaemon();
}

}  // namespace
}  // namespace bwrt::e2e
