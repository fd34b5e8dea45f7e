#include "tests/bench/traffic_bench.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "runtime/digest.h"
#include "tests/bench/bench_daemon.h"
#include "tests/bench/require.h"
#include "tests/bench/samples.h"
#include "tests/bench/stager.h"
#include "tests/bench/wave_client.h"

namespace bwrt::bench {
namespace {

constexpr int64_t kStageBytes = int64_t{256} << 20;
constexpr int64_t kChunk = int64_t{1} << 20;
constexpr WaveShape kNoop = {1, 16, 8};
constexpr double kWaveSeconds = 2e-3;
// Two tiles, so that a swap can come between them.
constexpr WaveShape kChecked = {1, 256, 64};
constexpr int kWaveThreads = 2;

// Where a publisher stands beside other programs of this machine: as the command nice says, 0 to 19.
enum class Niceness : int { kLikeOthers = 0, kLast = 19 };

// Stages and aborts updates until it is destroyed.
class StageLoop {
 public:
  StageLoop(Stager* stager, Niceness niceness) : stager_(stager), niceness_(niceness), thread_([this] { Run(); }) {}
  ~StageLoop() {
    stop_.store(true);
    thread_.join();
  }
  StageLoop(const StageLoop&) = delete;
  StageLoop& operator=(const StageLoop&) = delete;
  int64_t sent() const { return sent_.load(); }

 private:
  void Run() {
    // Linux has it by thread.
    Require(setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), static_cast<int>(niceness_)) == 0, "setpriority");
    while (!stop_.load()) {
      const std::string update = stager_->Begin("staged");
      stager_->Stage(update, &sent_, &stop_);
      stager_->Abort(update);
    }
  }

  Stager* const stager_;
  const Niceness niceness_;
  std::atomic<int64_t> sent_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;  // Last: it uses all of the above.
};

// The seconds that each of the waves took that fit `seconds`.
std::vector<double> RunWaves(WaveClient* client, double seconds) {
  std::vector<double> taken;
  for (const Stopwatch watch; watch.seconds() < seconds;) {
    taken.push_back(client->Run());
    Require(client->status());
  }
  return taken;
}

// One whose waves take about kWaveSeconds.
WaveShape FindShape(const BenchDaemon& daemon) {
  WaveShape shape = {64, 256, 1024};
  for (; shape.n < 8192; shape.n += 256) {
    const auto weights = v1::Weights::NewStub(daemon.Connect());
    grpc::ClientContext context;
    v1::SetWeightsResponse response;
    Require(weights->SetWeights(&context, ConstantWeights(shape, 1), &response));
    WaveClient client(daemon.Connect(), shape, WaveClient::Source::kStored);
    if (Median(RunWaves(&client, 0.1)) >= kWaveSeconds) break;
  }
  return shape;
}

struct Beside {
  std::vector<double> ratios;
  std::vector<double> stage_rates;
  std::vector<double> medians;
};

// Waves alone and beside staging, in turn.
void Measure(WaveClient* client, Stager* stager, Niceness niceness, double seconds, Beside* beside) {
  const std::vector<double> alone = RunWaves(client, seconds);
  const StageLoop staging(stager, niceness);
  RunWaves(client, seconds / 10);
  const int64_t before = staging.sent();
  const Stopwatch watch;
  const std::vector<double> together = RunWaves(client, seconds);
  beside->stage_rates.push_back(static_cast<double>(staging.sent() - before) / watch.seconds());
  beside->ratios.push_back(Percentile(together, 99) / Percentile(alone, 99));
  beside->medians.push_back(Median(alone));
}

double StageAlone(Stager* stager, double seconds) {
  const StageLoop staging(stager, Niceness::kLast);
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds / 10));
  const int64_t before = staging.sent();
  const Stopwatch watch;
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  return static_cast<double>(staging.sent() - before) / watch.seconds();
}

// Whether every element is k times the version, which W holds everywhere.
bool IsWhole(const v1::WaveResult& result) {
  const auto expected = static_cast<float>(kChecked.k) * static_cast<float>(result.version());
  const std::string& c = result.c();
  if (c.size() != static_cast<size_t>(kChecked.m * kChecked.n) * sizeof(float)) return false;
  for (size_t at = 0; at < c.size(); at += sizeof(float)) {
    float value;
    std::memcpy(&value, c.data() + at, sizeof value);
    if (value != expected) return false;
  }
  return true;
}

}  // namespace

Interference MeasureInterference(const std::string& bwrtd, const std::vector<std::string>& flags, double seconds,
                                 int repeats) {
  const BenchDaemon daemon = StartBwrtd(bwrtd, flags);
  Stager stager(daemon.Connect(), kStageBytes, kChunk, runtime::Digest::Kind::kXxh3);
  WaveClient waves(daemon.Connect(), FindShape(daemon), WaveClient::Source::kStored);
  WaveClient noops(daemon.Connect(), kNoop, WaveClient::Source::kInline);
  StageAlone(&stager, seconds / 2);  // The memory it stages into is touched.
  Beside work;
  Beside equals;
  Beside idle;
  std::vector<double> rates;
  for (int i = 0; i < repeats; ++i) {
    Measure(&waves, &stager, Niceness::kLast, seconds, &work);
    Measure(&waves, &stager, Niceness::kLikeOthers, seconds, &equals);
    Measure(&noops, &stager, Niceness::kLast, seconds, &idle);
    rates.push_back(StageAlone(&stager, seconds / 2));
  }
  Interference result;
  result.wave_ms = 1e3 * Median(work.medians);
  result.wave_p99_ratio = Median(work.ratios);
  result.stage_rate = Median(rates);
  result.stage_rate_kept = Median(work.stage_rates) / result.stage_rate;
  result.equal_wave_p99_ratio = Median(equals.ratios);
  result.equal_stage_rate_kept = Median(equals.stage_rates) / result.stage_rate;
  result.noop_wave_p99_ratio = Median(idle.ratios);
  result.noop_stage_rate_kept = Median(idle.stage_rates) / result.stage_rate;
  return result;
}

Correctness CheckSwapsUnderTraffic(const std::string& bwrtd, int64_t flips, int64_t waves) {
  const BenchDaemon daemon = StartBwrtd(bwrtd, {});
  Correctness result;
  std::atomic<int64_t> done{0};
  std::atomic<int64_t> torn{0};
  std::atomic<int64_t> failed{0};
  std::atomic<bool> stop{false};
  const auto publish = [&, weights = v1::Weights::NewStub(daemon.Connect())](int64_t version) {
    grpc::ClientContext context;
    v1::SetWeightsResponse response;
    const grpc::Status status =
        weights->SetWeights(&context, ConstantWeights(kChecked, static_cast<float>(version)), &response);
    if (!status.ok() || response.version() != static_cast<uint64_t>(version)) failed.fetch_add(1);
  };
  publish(1);
  std::vector<std::thread> threads;
  for (int i = 0; i < kWaveThreads; ++i) {
    threads.emplace_back([&] {
      WaveClient client(daemon.Connect(), kChecked, WaveClient::Source::kStored);
      while (!stop.load()) {
        client.Run();
        if (!client.status().ok()) {
          failed.fetch_add(1);
        } else if (!IsWhole(client.result())) {
          torn.fetch_add(1);
        }
        done.fetch_add(1);
      }
    });
  }
  // A version that failed would leave every later one with the wrong number: once is enough to know.
  while ((result.flips < flips || done.load() < waves) && failed.load() == 0) publish(++result.flips + 1);
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  result.waves = done.load();
  result.torn = torn.load();
  result.failed = failed.load();
  return result;
}

}  // namespace bwrt::bench
