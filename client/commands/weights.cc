// bwrtctl weights: models, their versions, and the updates that make new ones.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/context.h"
#include "client/commands/models.h"
#include "client/commands/output.h"
#include "client/commands/weights_commands.h"

namespace bwrt::client {
namespace {

constexpr char kFooter[] =
    "One call:        weights push m --tensor w:f32:512x256=w.bin --policy wait\n"
    "Step by step:    ID=$(bwrtctl weights begin m)\n"
    "                 weights stage $ID --tensor w:f32:512x256=w.bin --npy b=b.npy\n"
    "                 weights precommit $ID && weights commit $ID --policy wait\n"
    "Back again:      weights list m; weights rollback m --to 6";

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

}  // namespace

void AddWeightsCommands(CLI::App& app, Context& context) {
  CLI::App* weights = app.add_subcommand("weights", "Models, their versions and tensors, and the updates of them");
  weights->require_subcommand(1);
  weights->footer(kFooter);
  auto model = std::make_shared<std::string>();
  CLI::App* list = weights->add_subcommand("list", "All models, or one with its window, tensors and kept versions");
  list->add_option("MODEL", *model, "Show this one");
  list->callback([&context, model] { context.command = [&context, model] { return RunList(context, *model); }; });
  AddWeightsReadCommand(*weights, context);
  AddWeightsSetCommand(*weights, context);
  AddWeightsPushCommand(*weights, context);
  AddWeightsLoadCommand(*weights, context);
  AddWeightsVersionCommands(*weights, context);
  AddWeightsBeginCommand(*weights, context);
  AddWeightsStageCommand(*weights, context);
  AddWeightsUpdateCommands(*weights, context);
  const auto group = [weights](const char* name, std::initializer_list<const char*> commands) {
    for (const char* command : commands) weights->get_subcommand(command)->group(name);
  };
  group("Models and versions", {"list", "read", "rollback", "delete"});
  group("New versions in one call", {"set", "push", "load"});
  group("Updates step by step", {"begin", "stage", "precommit", "commit", "abort", "updates", "show"});
}

}  // namespace bwrt::client
