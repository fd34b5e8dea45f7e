// bwrtctl weights: models, and swapping their tensors.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/context.h"
#include "client/commands/flags.h"
#include "client/commands/models.h"
#include "client/commands/output.h"
#include "client/commands/tensor_flag.h"

namespace bwrt::client {
namespace {

struct SetFlags {
  std::string model = {};
  std::vector<std::string> tensors = {};
  std::string label = {};
  v1::SwapPolicy policy = v1::IN_WINDOW;
  std::optional<absl::Duration> wait_timeout = {};
  std::optional<absl::Duration> hold_after = {};
  std::optional<uint64_t> base_version = {};
};

int RunList(const Context& context, const std::string& model) {
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  if (!model.empty()) {
    const auto response = (*client)->GetModel(model);
    if (!response.ok()) return context.Fail(response.status());
    if (context.json) {
      PrintJson(ToJson(*response), context.out);
    } else {
      PrintModel(*response, context.out);
    }
    return kExitDone;
  }
  const auto response = (*client)->ListModels();
  if (!response.ok()) return context.Fail(response.status());
  if (context.json) {
    PrintJson(ToJson(*response), context.out);
  } else {
    PrintModels(*response, context.out);
  }
  return kExitDone;
}

absl::StatusOr<v1::SetWeightsRequest> MakeRequest(const SetFlags& flags) {
  v1::SetWeightsRequest request;
  request.set_model(flags.model);
  request.set_label(flags.label);
  request.set_policy(flags.policy);
  if (flags.wait_timeout.has_value()) *request.mutable_wait_timeout() = ToProto(*flags.wait_timeout);
  if (flags.hold_after.has_value()) *request.mutable_hold_after() = ToProto(*flags.hold_after);
  if (flags.base_version.has_value()) request.set_base_version(*flags.base_version);
  for (const std::string& text : flags.tensors) {
    const auto flag = ParseTensorFlag(text);
    if (!flag.ok()) return flag.status();
    auto tensor = LoadTensor(*flag);
    if (!tensor.ok()) return tensor.status();
    *request.add_tensors() = *std::move(tensor);
  }
  return request;
}

int RunSet(const Context& context, const SetFlags& flags) {
  const auto request = MakeRequest(flags);
  if (!request.ok()) return context.Usage(request.status());
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  const auto response = (*client)->SetWeights(*request);
  if (!response.ok()) return context.Fail(response.status());
  if (context.json) {
    PrintJson(ToJson(*response), context.out);
  } else {
    context.out << response->model() << ": version " << response->previous_version() << " -> " << response->version()
                << " after " << FormatSeconds(response->waited_seconds());
    if (response->held_seconds() > 0) {
      context.out << ", holding new waves for " << FormatSeconds(response->held_seconds());
    }
    context.out << std::endl;
  }
  return kExitDone;
}

void AddSetCommand(CLI::App& weights, Context& context) {
  auto flags = std::make_shared<SetFlags>();
  CLI::App* command = weights.add_subcommand("set", "Replace tensors of a model, all at once, as its next version");
  command->add_option("MODEL", flags->model, "The model; it is created where it does not exist")->required();
  command
      ->add_option("--tensor", flags->tensors,
                   "One tensor: its name, type, dimensions, and a file of raw little-endian elements "
                   "or the seed of random ones; repeatable")
      ->required()
      ->allow_extra_args(false)
      ->type_name("NAME:DTYPE:DIMSxDIMS=FILE|random:SEED");
  command->add_option("--label", flags->label, "Your name for the version");
  const std::map<std::string, v1::SwapPolicy> policies = {
      {"in-window", v1::IN_WINDOW}, {"wait", v1::WAIT_FOR_WINDOW}, {"when-idle", v1::WHEN_IDLE}};
  command
      ->add_option("--policy", flags->policy,
                   "in-window (default): now or never; wait: for the window; when-idle: also while "
                   "no wave runs")
      ->transform(CLI::CheckedTransformer(policies, CLI::ignore_case));
  AddDuration(*command, "--wait-timeout", &flags->wait_timeout, "How long wait waits; default 30s");
  AddDuration(*command, "--hold-after", &flags->hold_after, "After how long wait holds new waves back; default never");
  command->add_option("--base-version", flags->base_version, "Refuse unless this is the current version");
  command->callback([&context, flags] { context.command = [&context, flags] { return RunSet(context, *flags); }; });
}

}  // namespace

void AddWeightsCommands(CLI::App& app, Context& context) {
  CLI::App* weights = app.add_subcommand("weights", "Models and their tensors");
  weights->require_subcommand(1);
  auto model = std::make_shared<std::string>();
  CLI::App* list = weights->add_subcommand("list", "All models, or one with its tensors and window");
  list->add_option("MODEL", *model, "Show this one");
  list->callback([&context, model] { context.command = [&context, model] { return RunList(context, *model); }; });
  AddSetCommand(*weights, context);
}

}  // namespace bwrt::client
