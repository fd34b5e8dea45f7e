// bwrtctl verify: a device beside a reference, wave by wave.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/commands/commands.h"
#include "client/commands/context.h"
#include "client/commands/explained_wave.h"
#include "client/commands/flags.h"
#include "client/commands/output.h"
#include "client/commands/verify_output.h"
#include "client/commands/verify_sides.h"
#include "client/matrix_rect.h"
#include "client/progress.h"
#include "client/verifier.h"
#include "client/verify_bundle.h"
#include "client/wave_draft.h"

namespace bwrt::client {
namespace {

struct Flags {
  std::optional<std::string> device = {};
  std::optional<std::string> ref_device = {};
  std::optional<std::string> region = {};
  bool lenient = false;
  VerifyOptions options = {};
  ExplainFlags spec = {};
  std::string bundle_dir = {};  // Where to write one.
  std::string bundle = {};      // The one to run again.
};

constexpr char kFooter[] =
    "Without --server or BWRT_SERVER the device belongs to a bwrtd of bwrtctl's own, started with --device. On a "
    "named\n"
    "daemon verify publishes weights to models of its own, verify/..., and deletes them in the end.\n"
    "\n"
    "Results are compared by the digest of their bytes. Where these differ, a device is right if no tile is off by "
    "more\n"
    "than the tolerance: 1e-5 where A, W and C are f32, else 1e-2 (relative Frobenius error). What the wave leaves as "
    "it\n"
    "was must be equal bit by bit.\n"
    "\n"
    "A bundle holds what it takes to run the wave again (its seeds, not its operands), both results around the first\n"
    "difference, and what the daemon says of device, libraries and build.\n"
    "\n"
    "Exit status: 0 the device agrees, or a bundle no longer differs; 1 a wave differs or failed, or none was "
    "compared;\n"
    "2 usage; 3 cannot reach the server.";

std::string CheckPositive(const std::string& text) {
  uint64_t value = 0;
  return absl::SimpleAtoi(text, &value) && value > 0 ? "" : text + ": must be an integer from 1 to 2^64 - 1";
}

std::string CheckDevice(const std::string& text) { return std::string(CheckDeviceName(text).message()); }

std::string CheckRegion(const std::string& text) { return std::string(ParseMatrixRect(text).status().message()); }

// The wave of --spec, whose operands verify draws itself.
absl::StatusOr<WaveDraft> ReadDraft(const Context& context, const ExplainFlags& flags) {
  auto wave = ReadSpecWave(flags);
  if (!wave.ok()) return wave.status();
  if (!wave->ignored_keys.empty()) {
    context.err << "bwrtctl: ignored keys: " << absl::StrJoin(wave->ignored_keys, ", ") << std::endl;
  }
  WaveDraft draft = DraftOf(std::move(wave->request));
  v1::SubmitWaveRequest& request = draft.request;
  // Its model, and what hangs on it, are ours to choose.
  request.clear_client_id();
  request.clear_wave_id();
  request.clear_model();
  request.clear_required_version();
  request.clear_whitelist_digest();
  request.clear_timeout();
  // Without one, an element that nobody writes would look like a zero.
  request.mutable_c()->set_inline_("");
  return draft;
}

std::vector<std::pair<std::string, std::string>> FlagsForBundle(const Context& context, const Flags& flags,
                                                                const VerifyOptions& options) {
  std::vector<std::pair<std::string, std::string>> list = {
      {"--device", options.device},
      {"--ref-device", options.ref_device},
      {"--waves", absl::StrCat(options.waves)},
      {"--seed", absl::StrCat(options.seed)},
      {"--compare-every", absl::StrCat(options.compare_every)},
      {"--swap-every", absl::StrCat(options.swap_every)},
      {"--shape-check", flags.lenient ? "lenient" : "strict"},
  };
  if (options.region) list.emplace_back("--region", FormatMatrixRect(*options.region));
  if (!flags.spec.spec.empty()) list.emplace_back("--spec", flags.spec.spec);
  if (context.server_named) list.emplace_back("--server", context.server);
  return list;
}

// Says what was found; the exit status.
int Conclude(const Context& context, const VerifyOptions& options, const VerifyReport& report,
             const std::string& bundle) {
  if (report.first_mismatch) {
    const VerifyMismatch& mismatch = *report.first_mismatch;
    context.err << "bwrtctl: wave " << mismatch.of.wave << ": " << mismatch.finding.mismatch << std::endl;
    if (const std::string first = FirstDifference(mismatch); !first.empty()) {
      context.err << "  first at " << first << std::endl;
    }
    if (!bundle.empty()) {
      context.err << "  to run it again: bwrtctl verify --bundle " << absl::CHexEscape(bundle) << std::endl;
    }
  } else if (report.compared == 0) {
    context.err << "bwrtctl: nothing was compared: no wave's C reaches into --region="
                << FormatMatrixRect(options.region.value_or(MatrixRect())) << std::endl;
  }
  if (!report.lost.ok() && context.server_named) return kExitUnreachable;
  return report.mismatches == 0 && report.compared != 0 ? kExitDone : kExitFailed;
}

int RunBundle(const Context& context, const Flags& flags) {
  const auto of = ReadBundle(flags.bundle);
  if (!of.ok()) return context.Usage(of.status());
  VerifyOptions options = flags.options;
  options.seed = of->seed;
  options.device = flags.device.value_or(of->device);
  options.ref_device = flags.ref_device.value_or(of->ref_device);
  if (!options.region) options.region = of->region;
  auto sides = OpenVerifySides(context, options, flags.lenient || of->lenient);
  if (!sides.ok()) return context.Fail(sides.status());
  options.device = NameOf(options.device, sides->device);
  options.ref_device = NameOf(options.ref_device, sides->reference);
  const auto report = VerifyAgain(sides->sides(), *of, options);
  if (!report.ok()) return context.Fail(report.status());
  const bool differs = report->mismatches != 0;
  if (context.json) {
    Json json = VerifyReportJson(options, *report, flags.bundle);
    json["reproduces"] = differs;
    PrintJson(json, context.out);
  } else if (differs || report->compared != 0) {
    context.out << "wave " << of->wave << " of seed " << of->seed << " on " << options.device
                << (differs ? ": still differs from " : ": no longer differs from ") << options.ref_device << std::endl;
  }
  return Conclude(context, options, *report, /*bundle=*/"");
}

int RunVerify(const Context& context, const Flags& flags) {
  if (!flags.bundle.empty()) return RunBundle(context, flags);
  VerifyOptions options = flags.options;
  // A daemon that was named has what it has.
  options.device = flags.device.value_or(context.server_named ? "auto" : "cpu");
  options.ref_device = flags.ref_device.value_or(std::string(kReferenceDevice));
  if (options.compare_every > options.waves) {
    return context.Usage(absl::InvalidArgumentError(absl::StrCat(
        "--compare-every=", options.compare_every, ": none of --waves=", options.waves, " would be compared")));
  }
  if (!flags.spec.spec.empty()) {
    auto draft = ReadDraft(context, flags.spec);
    if (!draft.ok()) return context.Usage(draft.status());
    if (draft->request.beta() != 0 && !options.region) {
      return context.Usage(absl::InvalidArgumentError(
          absl::StrCat("--spec: beta=", draft->request.beta(),
                       ": a wave that reads what it writes needs --region=ROW0:ROW1,COL0:COL1, the part of C to "
                       "compare")));
    }
    options.wave = *std::move(draft);
  }
  auto sides = OpenVerifySides(context, options, flags.lenient);
  if (!sides.ok()) return context.Fail(sides.status());
  options.device = NameOf(options.device, sides->device);
  options.ref_device = NameOf(options.ref_device, sides->reference);
  absl::StatusOr<VerifyReport> report;
  {
    Progress progress(context.err, context.terminal, "verify", options.waves);
    options.on_progress = [&progress](uint64_t done) { progress.Update(done); };
    report = Verify(sides->sides(), options);
  }
  if (!report.ok()) return context.Fail(report.status());
  std::string bundle;
  if (report->first_mismatch) {
    VerifyMismatch& mismatch = *report->first_mismatch;
    bundle = flags.bundle_dir.empty() ? absl::StrCat("bwrt-verify-", mismatch.of.seed, "-", mismatch.of.wave)
                                      : flags.bundle_dir;
    mismatch.finding.flags = FlagsForBundle(context, flags, options);
    if (absl::Status status = WriteBundle(bundle, mismatch.of, mismatch.finding); !status.ok()) {
      context.err << "bwrtctl: " << status.message() << std::endl;
      bundle.clear();
    }
  }
  if (context.json) {
    PrintJson(VerifyReportJson(options, *report, bundle), context.out);
  } else {
    PrintVerifyReport(options, *report, context.out);
  }
  return Conclude(context, options, *report, bundle);
}

}  // namespace

void AddVerifyCommand(CLI::App& app, Context& context) {
  auto flags = std::make_shared<Flags>();
  VerifyOptions& options = flags->options;
  CLI::App* command = app.add_subcommand(
      "verify", "Run a reference and a device in lock step over random waves and compare what they compute");
  command->footer(kFooter);
  command
      ->add_option("--device", flags->device,
                   "What is verified: auto, cpu, cuda, cuda:N, or reference, the client's own double-precision engine; "
                   "default: cpu, or what a named daemon has")
      ->check(CheckDevice)
      ->type_name("NAME");
  command
      ->add_option("--ref-device", flags->ref_device,
                   "What is right, likewise, in a bwrtd of its own; default: reference")
      ->check(CheckDevice)
      ->type_name("NAME");
  std::vector<CLI::Option*> of_runs;
  const auto of_run = [&of_runs](CLI::Option* option) {
    of_runs.push_back(option);
    return option;
  };
  of_run(command->add_option("--waves", options.waves, "How many"))->check(CheckPositive)->capture_default_str();
  of_run(command->add_option("--seed", options.seed, "Of waves, operands and weights"))
      ->check(CheckUnsigned)
      ->capture_default_str();
  of_run(command->add_option("--compare-every", options.compare_every, "Compare each K-th wave; all run"))
      ->check(CheckPositive)
      ->type_name("K")
      ->capture_default_str();
  of_run(command->add_option("--swap-every", options.swap_every, "Swap weights after so many waves; 0: never"))
      ->check(CheckUnsigned)
      ->capture_default_str();
  command
      ->add_option(
          "--region", flags->region,
          "Compare no more than this part of C, clipped to each wave's; rows and columns from 0, ends exclusive")
      ->check(CheckRegion)
      ->type_name("ROW0:ROW1,COL0:COL1");
  CLI::Option* spec = of_run(command->add_option(
      "--spec", flags->spec.spec,
      "Run this wave instead of random ones, with fresh operands each time: a planner's waves, or a bwrt.WaveSpec or "
      "bwrt.v1.SubmitWaveRequest in JSON; - for stdin. With a beta other than 0 it needs --region"));
  for (CLI::Option* option :
       {command->add_option("--wave", flags->spec.wave, "Which wave of a plan, counted from 0 through all its windows"),
        command->add_option("--m", flags->spec.m,
                            "Rows of C; default: what the file says, else those of the listed tiles"),
        command->add_option("--n", flags->spec.n, "Columns of C, likewise"),
        command->add_option("--k", flags->spec.k, "Depth; default: what the file says, else 512")}) {
    of_run(option)->needs(spec)->group("With --spec");
  }
  command
      ->add_option_function<std::string>(
          "--shape-check", [flags](const std::string& text) { flags->lenient = text == "lenient"; },
          "lenient: bwrtctl's own bwrtd also runs shapes that are not whitelisted, and random waves have them")
      ->check(CLI::IsMember({"strict", "lenient"}))
      ->type_name("strict|lenient");
  of_run(command->add_flag("--keep-going", options.keep_going, "Do not stop at the first mismatch; count them"));
  AddDuration(*command, "--timeout", &options.timeout, "Deadline of one wave; default 60s");
  of_run(command->add_option("--bundle-dir", flags->bundle_dir,
                             "Where to leave the bundle of the first mismatch; default: ./bwrt-verify-SEED-WAVE"))
      ->type_name("DIR");
  const CLI::Option* bundle =
      command
          ->add_option("--bundle", flags->bundle,
                       "Run the wave of this bundle again, on its device unless --device or --server says otherwise, "
                       "and say whether it still differs")
          ->type_name("DIR");
  command->callback([&context, flags, bundle, of_runs] {
    RefuseBeside(bundle, of_runs);
    if (flags->region) flags->options.region = *ParseMatrixRect(*flags->region);
    context.command = [&context, flags] { return RunVerify(context, *flags); };
  });
}

}  // namespace bwrt::client
