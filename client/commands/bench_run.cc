// bwrtctl bench: runs the sweeps and writes their artifact.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/bench_artifact.h"
#include "client/bench_runner.h"
#include "client/byte_source.h"
#include "client/client.h"
#include "client/commands/bench_commands.h"
#include "client/commands/bench_waves.h"
#include "client/commands/context.h"
#include "client/commands/flags.h"
#include "client/commands/output.h"
#include "client/commands/publication.h"
#include "client/dtype.h"
#include "client/file.h"
#include "client/format.h"
#include "client/machine_info.h"
#include "client/private_daemon.h"
#include "client/progress.h"
#include "client/stager.h"
#include "client/wave_carrier.h"

namespace bwrt::client {
namespace {

constexpr int64_t kMaxInFlight = 1024 * kWavesPerStream;  // A daemon has room for so many streams.
constexpr double kMemoryShare = 0.7;                      // Of what is free, that waves in flight may take.
constexpr int64_t kMiB = int64_t{1} << 20;

struct Flags {
  BenchWaveFlags waves = {};
  std::vector<int64_t> in_flight = {};  // Empty: the preset's.
  bool unary = false;
  int64_t sync_every = 64;
  int64_t warmup = 256;
  int rounds = 5;
  double seconds = 1;
  int64_t waves_a_round = 0;
  std::string out = {};
  std::vector<std::string> daemon_flags = {};
};

struct Case {
  const BenchWave* wave;
  int64_t in_flight;
};

// Every sweep's cases. What is in the default sweep and does not fit the memory is left out, and said.
absl::StatusOr<std::vector<Case>> MakeCases(const Context& context, const Flags& flags,
                                            const std::vector<BenchWave>& waves) {
  const std::vector<int64_t> counts = flags.in_flight.empty() ? InFlightOf(flags.waves.preset) : flags.in_flight;
  const int64_t free = AvailableMemory();
  std::vector<Case> cases;
  for (const BenchWave& wave : waves) {
    for (const int64_t count : counts) {
      const double bytes = static_cast<double>(FootprintBytes(wave.request)) * static_cast<double>(count);
      if (free == 0 || bytes <= kMemoryShare * static_cast<double>(free)) {
        cases.push_back({&wave, count});
        continue;
      }
      const std::string why =
          absl::StrFormat("--in-flight=%d: so many waves of %s take up to %.1f GiB of memory, and %.1f GiB are free",
                          count, wave.name, bytes / (1 << 30), static_cast<double>(free) / (1 << 30));
      if (!flags.in_flight.empty()) return absl::InvalidArgumentError(absl::StrCat(why, "; ask for fewer"));
      context.err << "bwrtctl: left out: " << why << std::endl;
    }
  }
  if (cases.empty()) return absl::InvalidArgumentError("nothing to measure: no case fits the memory");
  return cases;
}

// What a daemon of our own needs, so that no wave is refused for want of room.
std::vector<std::string> DaemonFlags(const Flags& flags, const std::vector<Case>& cases) {
  int64_t waves = 1024;
  int64_t bytes = 1024 * kMiB;
  int64_t message = 64 * kMiB;
  for (const Case& one : cases) {
    // A tenth more: descriptions, and waves whose answers are on their way.
    const int64_t held = HeldBytes(one.wave->request) + 4096;
    waves = std::max(waves, one.in_flight + one.in_flight / 10);
    bytes = std::max(bytes, one.in_flight * held + one.in_flight * held / 10);
    message = std::max(message, held + kMiB);
  }
  std::vector<std::string> all = {"--shape-check=lenient", "--log-level=warning", absl::StrCat("--queue-waves=", waves),
                                  absl::StrCat("--queue-bytes=", bytes),
                                  absl::StrCat("--max-message-bytes=", std::min<int64_t>(message, 2047 * kMiB))};
  all.insert(all.end(), flags.daemon_flags.begin(), flags.daemon_flags.end());
  return all;
}

// Says beforehand what the figures will suffer from.
void NoteLimits(const Context& context, const v1::Limits& limits, const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    const auto waves = static_cast<uint64_t>(one.in_flight);
    const uint64_t bytes = waves * static_cast<uint64_t>(HeldBytes(one.wave->request));
    if (waves <= limits.queue_waves() && bytes <= limits.queue_bytes()) continue;
    context.err << "bwrtctl: " << one.in_flight << " waves of " << one.wave->name << " hold " << FormatBytes(bytes)
                << "; this daemon queues " << limits.queue_waves() << " waves and " << FormatBytes(limits.queue_bytes())
                << " and refuses what is more: such waves are sent again and counted as refused" << std::endl;
  }
}

// A model that holds the sweeps' weights while this lives, so that nobody else's change.
class BenchModel {
 public:
  static absl::StatusOr<std::unique_ptr<BenchModel>> Publish(Client& client, const std::vector<BenchWave>& waves) {
    std::vector<v1::Tensor> tensors;
    std::set<std::string> names;
    for (const BenchWave& wave : waves) {
      if (!names.insert(wave.request.w().tensor()).second) continue;
      auto tensor = DrawW(wave.request);
      if (!tensor.ok()) return tensor.status();
      tensors.push_back(*std::move(tensor));
    }
    PublicationPlan plan;
    std::unique_ptr<BenchModel> model(new BenchModel(client));
    plan.begin.set_model(model->name_);
    plan.begin.set_label("bwrtctl bench");
    for (const v1::Tensor& tensor : tensors) {
      v1::TensorManifest* manifest = plan.begin.add_tensors();
      manifest->set_name(tensor.name());
      manifest->set_dtype(tensor.dtype());
      *manifest->mutable_shape() = tensor.shape();
      const auto shard = DescribeShard(*FromMemory(tensor.data()), 0, DigestKind::kXxh3);
      if (!shard.ok()) return shard.status();
      *manifest->add_shards() = *shard;
    }
    plan.stage = [&](Publication* publication) {
      Stager stager(client, publication->update_id);
      for (const v1::Tensor& tensor : tensors) stager.Add(tensor.name(), 0, FromMemory(tensor.data()));
      return stager.Run().status();
    };
    if (const auto published = client::Publish(client, plan); !published.ok()) return published.status();
    return model;
  }
  ~BenchModel() {
    v1::DeleteModelRequest request;
    request.set_model(name_);
    // Where it fails the daemon is gone, and the model with it.
    client_.DeleteModel(request).status().IgnoreError();
  }
  BenchModel(const BenchModel&) = delete;
  BenchModel& operator=(const BenchModel&) = delete;

  const std::string& name() const { return name_; }

 private:
  explicit BenchModel(Client& client)
      : client_(client), name_(absl::StrCat("bwrtctl-bench-", client.client_id().substr(0, 12))) {}

  Client& client_;
  const std::string name_;
};

// `cases` are of `waves`, whose tiles are completed here.
absl::StatusOr<BenchArtifact> Measure(const Context& context, const Flags& flags, const std::vector<Case>& cases,
                                      std::vector<BenchWave>* waves) {
  const auto client = context.Connect();
  if (!client.ok()) return client.status();
  const auto capabilities = (*client)->GetCapabilities();
  if (!capabilities.ok()) return capabilities.status();
  NoteLimits(context, capabilities->limits(), cases);
  for (BenchWave& wave : *waves) CompleteTile(*capabilities, &wave.request);
  const auto model = BenchModel::Publish(**client, *waves);
  if (!model.ok()) return model.status();

  BenchArtifact artifact;
  artifact.created = absl::Now();
  artifact.machine = ReadMachine();
  const v1::Build& build = capabilities->build();
  artifact.build = {.version = build.version(), .compiler = build.compiler(), .mode = build.mode()};
  artifact.libraries = LibraryVersions();
  for (const v1::Device& device : capabilities->devices()) {
    if (device.kernels_size() > 0) artifact.libraries["kernel " + device.name()] = device.kernels(0);
  }
  artifact.sync_every = flags.sync_every;
  artifact.warmup_waves = flags.warmup;
  BenchEffort effort = {.sync_every = flags.sync_every,
                        .warmup_waves = flags.warmup,
                        .rounds = flags.rounds,
                        .waves = flags.waves_a_round,
                        .seconds = absl::Seconds(flags.seconds)};
  Progress progress(context.err, context.terminal, "bench", cases.size() * (static_cast<uint64_t>(flags.rounds) + 1));
  uint64_t rounds = 0;
  effort.on_round = [&] { progress.Update(++rounds); };
  for (const Case& one : cases) {
    BenchLoad load = {.address = (*client)->address(),
                      .name = one.wave->name + (flags.unary ? ", unary" : ""),
                      .wave = one.wave->request,
                      .in_flight = one.in_flight,
                      .unary = flags.unary};
    load.wave.set_model((*model)->name());
    if (absl::Status status = DrawA(&load.wave); !status.ok()) return status;
    auto measured = RunBenchCase(load, effort);
    if (!measured.ok()) return measured.status();
    artifact.cases.push_back(*std::move(measured));
  }
  return artifact;
}

void PrintCases(const BenchArtifact& artifact, std::ostream& out) {
  Table table({"case", "in flight", "waves/s", "GFLOP/s", "p50", "p99", "refused"});
  for (const BenchCase& one : artifact.cases) {
    table.Add({one.name, absl::StrCat(one.in_flight), absl::StrFormat("%.0f", one.waves_per_second),
               absl::StrFormat("%.1f", one.gflops), FormatSeconds(1e-6 * one.p50_us), FormatSeconds(1e-6 * one.p99_us),
               absl::StrCat(one.refused)});
  }
  table.Print(out);
}

int RunBench(Context& context, const Flags& flags, std::map<std::string, std::string> recorded) {
  auto waves = ReadBenchWaves(flags.waves);
  if (!waves.ok()) return context.Usage(waves.status());
  const auto cases = MakeCases(context, flags, *waves);
  if (!cases.ok()) return context.Usage(cases.status());
  std::unique_ptr<PrivateDaemon> daemon;
  recorded["daemon"] = context.server_named ? "named" : "private";
  if (!context.server_named) {
    const std::vector<std::string> daemon_flags = DaemonFlags(flags, *cases);
    recorded["bwrtd"] = absl::StrJoin(daemon_flags, " ");
    auto started = PrivateDaemon::Start({.flags = daemon_flags});
    if (!started.ok()) return context.Fail(started.status());
    daemon = *std::move(started);
    context.server = daemon->address();
  } else if (!flags.daemon_flags.empty()) {
    return context.Usage(
        absl::InvalidArgumentError("--bwrtd-flag: only for a daemon of bench's own, without --server"));
  }
  auto artifact = Measure(context, flags, *cases, &*waves);
  // Our own daemon has ended before anything is printed: a reader that goes away kills us without further notice.
  daemon = nullptr;
  if (!artifact.ok()) return context.Fail(artifact.status());
  artifact->flags = std::move(recorded);
  const std::string json = EncodeBenchArtifact(*artifact) + "\n";
  if (!flags.out.empty()) {
    if (absl::Status status = WriteFile(flags.out, json); !status.ok()) return context.Usage(status);
  }
  if (context.json) {
    context.out << json;
  } else {
    PrintCases(*artifact, context.out);
  }
  context.out << std::flush;
  return kExitDone;
}

// Each option of the run and its value, as given or by default.
std::map<std::string, std::string> Record(const CLI::App& bench) {
  std::map<std::string, std::string> recorded;
  for (const CLI::Option* option : bench.get_options()) {
    const std::string name = option->get_single_name();
    if (name == "help" || name == "out") continue;
    recorded[name] = option->count() > 0 ? absl::StrJoin(option->results(), ",") : option->get_default_str();
  }
  return recorded;
}

void AddWaveFlags(CLI::App& bench, BenchWaveFlags* flags) {
  AddChoice<BenchPreset>(
      bench, "--preset", &flags->preset,
      {{"small", BenchPreset::kSmall}, {"decode", BenchPreset::kDecode}, {"prefill", BenchPreset::kPrefill}},
      "Sizes, and waves in flight: one small tile (default), M = 1 or M = 128 and 512 at N = K = 4096")
      ->default_str("small");
  CLI::Option* m = bench.add_option("--m", flags->m, "Rows of A and C; a list makes one sweep of each")->delimiter(',');
  CLI::Option* n = bench.add_option("--n", flags->n, "Columns of W and C");
  CLI::Option* k = bench.add_option("--k", flags->k, "Columns of A, rows of W");
  for (CLI::Option* dimension : {m, n, k}) dimension->type_name("SIZE");
  CLI::Option* tile = bench
                          .add_option("--tile", flags->tiles,
                                      "BMxBN or BMxBNxBK; a list makes one sweep of each. Default: 128x128. What is "
                                      "left open comes from the daemon's whitelist")
                          ->delimiter(',')
                          ->type_name("TILE");
  AddDType(bench, "--dtype", &flags->dtype, "Type of A and W: f32 (default), f16, bf16")->default_str("f32");
  AddDType(bench, "--c-dtype", &flags->c_dtype, "Type of C: f32 (default) or that of A and W")->default_str("f32");
  CLI::Option* spec = bench.add_option(
      "--spec", flags->spec,
      "Take the wave from a planner's waves, or a bwrt.WaveSpec or bwrt.v1.SubmitWaveRequest in JSON; - for stdin");
  spec->excludes(tile);
  bench.add_option("--wave", flags->wave, "Which wave of a plan, counted from 0 through all its windows")->needs(spec);
}

}  // namespace

void AddBenchRun(CLI::App& bench, Context& context) {
  auto flags = std::make_shared<Flags>();
  AddWaveFlags(bench, &flags->waves);
  bench
      .add_option("--in-flight", flags->in_flight,
                  "Waves that the client keeps outstanding; a list makes one case of each. Default: "
                  "1,8,64,512,2048,8192, as far as the preset and the memory allow")
      ->delimiter(',')
      ->check(CLI::Range(int64_t{1}, kMaxInFlight))
      ->type_name("N");
  bench.add_flag("--unary", flags->unary, "A SubmitWave call for each wave, instead of StreamWaves");
  bench
      .add_option("--sync-every", flags->sync_every,
                  "Wait for all that is outstanding after so many waves, though never before as many as --in-flight "
                  "were sent; 0: only at the end of a round")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
      ->type_name("WAVES")
      ->capture_default_str();
  bench
      .add_option("--warmup", flags->warmup,
                  "Waves before each case that do not count, though never fewer than are in flight; 0: none")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
      ->type_name("WAVES")
      ->capture_default_str();
  bench.add_option("--rounds", flags->rounds, "Of each case; the median counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  CLI::Option* seconds =
      bench.add_option("--seconds", flags->seconds, "Of each round, though never fewer waves than are in flight")
          ->check(CLI::Range(0.001, 3600.0))
          ->capture_default_str();
  bench.add_option("--waves", flags->waves_a_round, "Waves of each round, instead of --seconds")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->excludes(seconds);
  bench.add_option("--out", flags->out, "Write the artifact there: JSON, for bench report")->type_name("FILE");
  bench
      .add_option("--bwrtd-flag", flags->daemon_flags,
                  "A flag of the daemon that bench starts for itself, such as --bwrtd-flag=--lanes=1; repeatable")
      ->type_name("FLAG")
      ->allow_extra_args(false);
  bench.callback([&bench, &context, flags] {
    // A subcommand has been chosen instead.
    if (!bench.get_subcommands().empty()) return;
    context.command = [&context, flags, recorded = Record(bench)] { return RunBench(context, *flags, recorded); };
  });
}

}  // namespace bwrt::client
