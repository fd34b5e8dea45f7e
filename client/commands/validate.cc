// bwrtctl validate: everything that SubmitWave checks, without running.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/context.h"
#include "client/commands/flags.h"
#include "client/commands/output.h"
#include "client/commands/wave_file.h"
#include "client/status.h"

namespace bwrt::client {
namespace {

struct Flags {
  std::string file = {};
  std::string model = {};
  DType dtype = F32;
  int64_t k = 512;
};

void PrintValid(const v1::ValidateWaveResponse& response, std::ostream& out) {
  const v1::EffectiveSpec& effective = response.effective();
  out << "valid: " << effective.kernel() << " on " << effective.device() << ", tiles " << effective.tiles_listed()
      << " listed and " << effective.tiles_appended() << " appended, tokens " << response.tokens().prefetch_tokens()
      << " prefetch and " << response.tokens().tile_tokens() << " tiles, window [" << response.tokens().swap_begin()
      << ", " << response.tokens().swap_end() << ")\n";
  for (const v1::Downgrade& downgrade : effective.downgrades()) {
    out << "  " << downgrade.field() << ": " << downgrade.requested() << " runs as " << downgrade.executed() << ": "
        << downgrade.reason() << '\n';
  }
  out << std::flush;
}

// One wave of a plan without its operands.
v1::SubmitWaveRequest WithoutOperands(const PlannedWave& wave, const Flags& flags) {
  v1::SubmitWaveRequest request;
  request.set_model(flags.model);
  *request.mutable_spec() = wave.spec;
  request.mutable_spec()->set_dtype(flags.dtype);
  request.set_m(wave.m);
  request.set_n(wave.n);
  request.set_k(flags.k);
  return request;
}

int ValidatePlan(const Context& context, Client& client, const Plan& plan, const Flags& flags) {
  Json results = Json::array();
  uint64_t invalid = 0;
  for (const PlannedWave& wave : plan.waves) {
    const auto response = client.ValidateWave(WithoutOperands(wave, flags));
    if (!response.ok() && IsUnreachable(response.status())) return context.Fail(response.status());
    if (!response.ok()) {
      ++invalid;
      context.err << "bwrtctl: " << wave.path << ": " << FormatError(response.status()) << std::endl;
    }
    if (context.json) {
      Json result;
      result["wave"] = wave.path;
      result["valid"] = response.ok();
      if (response.ok()) {
        result["response"] = ToJson(*response);
      } else {
        result.update(ErrorJson(response.status()));
      }
      results.push_back(std::move(result));
    } else if (response.ok()) {
      context.out << wave.path << ": ";
      PrintValid(*response, context.out);
    }
  }
  if (context.json) {
    Json json;
    json["waves"] = plan.waves.size();
    json["valid"] = plan.waves.size() - invalid;
    json["invalid"] = invalid;
    json["results"] = std::move(results);
    PrintJson(json, context.out);
  }
  return invalid == 0 ? kExitDone : kExitFailed;
}

int RunValidate(const Context& context, const Flags& flags) {
  const auto file = ReadWaveFile(flags.file);
  if (!file.ok()) return context.Usage(file.status());
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  if (file->plan.has_value()) return ValidatePlan(context, **client, *file->plan, flags);
  v1::SubmitWaveRequest request = *file->request;
  if (!flags.model.empty()) request.set_model(flags.model);
  const auto response = (*client)->ValidateWave(request);
  if (!response.ok()) return context.Fail(response.status());
  if (context.json) {
    PrintJson(ToJson(*response), context.out);
  } else {
    PrintValid(*response, context.out);
  }
  return kExitDone;
}

}  // namespace

void AddValidateCommand(CLI::App& app, Context& context) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("validate", "Check waves without running them");
  command->add_option("FILE", flags->file, "A bwrt.v1.SubmitWaveRequest in JSON, or a planner's waves; - for stdin")
      ->required();
  command->add_option("--model", flags->model, "Model whose weights and window the waves obey");
  command->add_option("--k", flags->k, "Depth of a planner's waves")->capture_default_str();
  AddDType(*command, "--dtype", &flags->dtype, "Type of a planner's waves: f32 (default), f16, bf16");
  command->callback(
      [&context, flags] { context.command = [&context, flags] { return RunValidate(context, *flags); }; });
}

}  // namespace bwrt::client
