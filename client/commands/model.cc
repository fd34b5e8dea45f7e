// bwrtctl model: which order of tiles would make the best of a cache, before there is a device.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/context.h"
#include "client/commands/explained_wave.h"
#include "client/commands/flags.h"
#include "client/commands/output.h"
#include "client/commands/own_daemon.h"
#include "client/dtype.h"
#include "client/gpu_l2.h"
#include "client/plot.h"
#include "client/traversal_report.h"

namespace bwrt::client {
namespace {

constexpr double kMiB = 1 << 20;

struct ModelFlags {
  ExplainFlags wave = {};
  DType dtype = DTYPE_UNSPECIFIED;
  std::optional<double> l2_mib = {};
  std::string gpu = {};
  std::optional<uint32_t> concurrent = {};
  std::vector<uint32_t> groups = {};
  std::string plot = {};
};

v1::ModelTraversalsRequest QuestionOf(const ModelFlags& flags, const v1::SubmitWaveRequest& wave) {
  v1::ModelTraversalsRequest question;
  *question.mutable_wave() = wave;
  WaveSpec& spec = *question.mutable_wave()->mutable_spec();
  // A stored W would say otherwise, but there need be none.
  if (flags.dtype != DTYPE_UNSPECIFIED || spec.dtype() == DTYPE_UNSPECIFIED) {
    spec.set_dtype(flags.dtype == DTYPE_UNSPECIFIED ? F32 : flags.dtype);
  }
  if (const auto gpu = FindGpuL2(flags.gpu); gpu.has_value()) {
    question.set_l2_bytes(static_cast<uint64_t>(gpu->l2_bytes));
    question.set_concurrent_tiles(gpu->multiprocessors);
  }
  if (flags.l2_mib.has_value()) question.set_l2_bytes(static_cast<uint64_t>(*flags.l2_mib * kMiB));
  if (flags.concurrent.has_value()) question.set_concurrent_tiles(*flags.concurrent);
  if (flags.groups.empty()) return question;
  for (const v1::TraversalKind kind : {v1::GIVEN, v1::ROW_MAJOR, v1::ROW_SNAKE}) {
    question.add_traversals()->set_kind(kind);
  }
  for (const uint32_t group : flags.groups) {
    v1::TraversalChoice* choice = question.add_traversals();
    choice->set_kind(v1::GROUPED);
    choice->set_group_size(group);
  }
  return question;
}

absl::StatusOr<v1::ModelTraversalsResponse> Ask(Context& context, v1::ModelTraversalsRequest& question) {
  const auto own = StartUnlessNamed(context, *question.mutable_wave());
  if (!own.ok()) return own.status();
  const auto client = context.Connect();
  if (!client.ok()) return client.status();
  auto answer = (*client)->ModelTraversals(question);
  if (answer.ok() && answer->traversals().empty()) return absl::InternalError("the daemon modelled no traversal");
  return answer;
}

// "M=4096 N=4096 K=4096 bf16, 1024 tiles of 128 x 128, bk 64".
std::string WaveInWords(const v1::SubmitWaveRequest& wave, const v1::ModelTraversalsResponse& answer) {
  return absl::StrCat("M=", wave.m(), " N=", wave.n(), " K=", wave.k(), " ", DTypeName(wave.spec().dtype()), ", ",
                      answer.tiles(), " tiles of ", wave.spec().bm(), " x ", wave.spec().bn(), ", bk ",
                      wave.spec().bk());
}

// "L2 of 50.0 MiB (h100), 132 tiles at once", "the daemon's own: L3 of 32 MiB of cpu, 2 tiles at once".
std::string CacheInWords(const ModelFlags& flags, const v1::ModelTraversalsResponse& answer) {
  const std::string gpu = flags.gpu.empty() ? "" : absl::StrCat(" (", absl::AsciiStrToLower(flags.gpu), ")");
  const std::string cache = answer.cache().empty() ? absl::StrCat("L2 of ", FormatBytes(answer.l2_bytes()), gpu)
                                                   : absl::StrCat("the daemon's own: ", Printable(answer.cache()));
  return absl::StrCat(cache, ", ",
                      answer.concurrent_tiles() == 1 ? std::string("one tile at a time")
                                                     : absl::StrCat(answer.concurrent_tiles(), " tiles at once"));
}

Json ModelJson(const std::string& name, const v1::SubmitWaveRequest& wave, const v1::ModelTraversalsResponse& answer,
               const TraversalReport& report) {
  Json json;
  json["wave"] = name;
  json["m"] = wave.m();
  json["n"] = wave.n();
  json["k"] = wave.k();
  json["dtype"] = std::string(DTypeName(wave.spec().dtype()));
  json["tiles"] = answer.tiles();
  json["l2_bytes"] = answer.l2_bytes();
  if (!answer.cache().empty()) json["cache"] = answer.cache();
  json["concurrent_tiles"] = answer.concurrent_tiles();
  json["read_bytes"] = answer.read_bytes();
  json["distinct_bytes"] = answer.distinct_bytes();
  json["traversals"] = Json::array();
  for (const ReportedTraversal& traversal : report.traversals) {
    Json one;
    one["name"] = traversal.name;
    one["kind"] = TraversalKind_Name(traversal.choice.kind());
    if (traversal.choice.kind() == v1::GROUPED) one["group_size"] = traversal.choice.group_size();
    one["l2_hit_ratio"] = traversal.hit_ratio;
    one["memory_bytes"] = traversal.memory_bytes;
    one["relative"] = traversal.relative;
    json["traversals"].push_back(std::move(one));
  }
  json["best"] = report.traversals[report.best].name;
  if (report.given.has_value()) json["given"] = report.traversals[*report.given].name;
  if (report.best_swizzle.has_value()) {
    json["best_swizzle_group_size"] = *SwizzleOf(report.traversals[*report.best_swizzle].choice);
  }
  return json;
}

void PrintReport(const TraversalReport& report, std::ostream& out) {
  Table table({"TRAVERSAL", "L2 HITS", "FROM MEMORY", "RELATIVE"});
  for (size_t i = 0; i < report.traversals.size(); ++i) {
    const ReportedTraversal& traversal = report.traversals[i];
    table.Add({traversal.name, absl::StrFormat("%.1f %%", 100 * traversal.hit_ratio),
               FormatBytes(traversal.memory_bytes),
               absl::StrFormat("%.2f%s", traversal.relative, i == report.best ? "  best" : "")});
  }
  table.Print(out);
  for (const std::string& line : Advice(report)) out << line << '\n';
}

int RunModel(Context& context, const ModelFlags& flags) {
  const auto wave = ReadExplainedWave(flags.wave);
  if (!wave.ok()) return context.Usage(wave.status());
  if (!wave->ignored_keys.empty()) {
    context.err << "bwrtctl: ignored keys: " << absl::StrJoin(wave->ignored_keys, ", ") << std::endl;
  }
  v1::ModelTraversalsRequest question = QuestionOf(flags, wave->request);
  // Our own daemon has ended before anything is printed: a reader that goes away kills us without further notice.
  const auto answer = Ask(context, question);
  if (!answer.ok()) return context.Fail(answer.status());
  const TraversalReport report = ReportTraversals(question, *answer);
  const std::string tiles = WaveInWords(question.wave(), *answer), cache = CacheInWords(flags, *answer);
  absl::Status drawn;
  if (!flags.plot.empty()) drawn = WritePlot(TraversalPlot(report, absl::StrCat(tiles, " - ", cache)), flags.plot);
  if (context.json) {
    Json json = ModelJson(wave->name, question.wave(), *answer, report);
    if (!flags.plot.empty() && drawn.ok()) json["plot"] = flags.plot;
    if (!drawn.ok()) json.update(ErrorJson(drawn));
    PrintJson(json, context.out);
  } else {
    context.out << wave->name << ": " << tiles << '\n' << cache << "\n\n";
    PrintReport(report, context.out);
    context.out << std::flush;
  }
  if (drawn.ok()) return kExitDone;
  context.err << "bwrtctl: " << drawn.message() << std::endl;
  return kExitFailed;
}

void AddCacheFlags(CLI::App& command, ModelFlags& flags) {
  CLI::Option* l2 = command
                        .add_option("--l2-mib", flags.l2_mib,
                                    "Size of the L2 cache; default: the cache that tiles share on "
                                    "the daemon's device (a processor's last level)")
                        ->check(CLI::Range(1e-3, 1048576.0))
                        ->type_name("MIB");
  command.add_option("--gpu", flags.gpu, "The L2 cache and multiprocessors of a GPU: " + GpuL2Names())
      ->check([](const std::string& name) -> std::string {
        return FindGpuL2(name).has_value() ? "" : name + ": must be one of " + GpuL2Names() + "; or use --l2-mib";
      })
      ->excludes(l2)
      ->type_name("NAME");
  command
      .add_option("--concurrent", flags.concurrent,
                  "Tiles that run at once and share the cache; default: the GPU's multiprocessors, the threads of the "
                  "daemon's device, or 1 with --l2-mib")
      ->check(CLI::Range(1, 65536));
}

}  // namespace

void AddModelCommand(CLI::App& app, Context& context) {
  auto flags = std::make_shared<ModelFlags>();
  CLI::App* command = app.add_subcommand(
      "model",
      "Compare orders of tiles by what a model of the L2 cache reads from memory. Without --server or BWRT_SERVER it "
      "asks a bwrtd of its own");
  command
      ->add_option("--spec", flags->wave.spec,
                   "A planner's waves, or a bwrt.WaveSpec or bwrt.v1.SubmitWaveRequest in JSON; - for stdin")
      ->required();
  command->add_option("--wave", flags->wave.wave, "Which wave of a plan, counted from 0 through all its windows");
  command->add_option("--m", flags->wave.m, "Rows of C; default: what the file says, else those of the listed tiles");
  command->add_option("--n", flags->wave.n, "Columns of C, likewise");
  command->add_option("--k", flags->wave.k, "Depth; default: what the file says, else 512");
  AddDType(*command, "--dtype", &flags->dtype, "Of A and W; default: what the spec says, else f32");
  AddCacheFlags(*command, *flags);
  command
      ->add_option("--group", flags->groups,
                   "Groups of so many tile rows, as of swizzle_group_size; default: 2, 4, 8 ... up to all rows")
      ->delimiter(',')
      ->check(CLI::Range(1, 65536))
      ->type_name("G,...");
  command->add_option("--plot", flags->plot, "Draw it there, as a PNG; needs gnuplot");
  command->callback([&context, flags] { context.command = [&context, flags] { return RunModel(context, *flags); }; });
}

}  // namespace bwrt::client
