// bwrtctl weights rollback and delete: the versions a model has had.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "client/client.h"
#include "client/commands/context.h"
#include "client/commands/output.h"
#include "client/commands/swap_flags.h"
#include "client/commands/updates.h"
#include "client/commands/weights_commands.h"

namespace bwrt::client {
namespace {

struct RollbackFlags {
  std::string model = {};
  std::optional<uint64_t> version = {};
  std::string label = {};
  std::string new_label = {};
  SwapFlags swap = {};
};

struct DeleteFlags {
  std::string model = {};
  std::optional<uint64_t> version = {};
};

int RunRollback(const Context& context, const RollbackFlags& flags) {
  v1::RollbackRequest request;
  request.set_model(flags.model);
  if (flags.version.has_value()) {
    request.set_version(*flags.version);
  } else {
    request.set_label(flags.label);
  }
  request.set_new_label(flags.new_label);
  SetSwap(flags.swap, &request);
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  const auto response = (*client)->Rollback(request);
  if (!response.ok()) return context.Fail(response.status());
  if (context.json) {
    PrintJson(ToJson(*response), context.out);
  } else {
    const v1::SetWeightsResponse& swap = response->swap();
    PrintSwap(swap.model(), swap.previous_version(), swap.version(), context.out);
    context.out << ", the content of " << response->restored_from() << ',';
    PrintWait(swap.waited_seconds(), swap.held_seconds(), context.out);
  }
  return kExitDone;
}

int RunDelete(const Context& context, const DeleteFlags& flags) {
  v1::DeleteModelRequest request;
  request.set_model(flags.model);
  if (flags.version.has_value()) request.set_version(*flags.version);
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  const auto response = (*client)->DeleteModel(request);
  if (!response.ok()) return context.Fail(response.status());
  if (context.json) {
    PrintJson(ToJson(*response), context.out);
  } else {
    context.out << Printable(flags.model) << ": deleted; " << FormatBytes(response->freed_bytes())
                << " are free once its running waves have ended" << std::endl;
  }
  return kExitDone;
}

}  // namespace

void AddWeightsVersionCommands(CLI::App& weights, Context& context) {
  auto rollback_flags = std::make_shared<RollbackFlags>();
  CLI::App* rollback = weights.add_subcommand("rollback", "Publish a kept version again, under a new number");
  rollback->add_option("MODEL", rollback_flags->model, "The model; list shows its kept versions")->required();
  CLI::Option_group* to = rollback->add_option_group("Version to restore");
  to->add_option("--to", rollback_flags->version, "The version of this number")->check(CheckUnsigned);
  to->add_option("--label", rollback_flags->label, "The newest version with this label");
  to->require_option(1);
  rollback->add_option("--new-label", rollback_flags->new_label, "Label of the new version; default: the same");
  AddSwapFlags(*rollback, &rollback_flags->swap);
  rollback->callback([&context, rollback_flags] {
    context.command = [&context, rollback_flags] { return RunRollback(context, *rollback_flags); };
  });

  auto delete_flags = std::make_shared<DeleteFlags>();
  CLI::App* remove = weights.add_subcommand("delete", "Remove a model with its versions, and abort its updates");
  remove->add_option("MODEL", delete_flags->model, "The model; not default")->required();
  remove->add_option("--version", delete_flags->version, "Refuse unless this is the current version")
      ->check(CheckUnsigned);
  remove->callback([&context, delete_flags] {
    context.command = [&context, delete_flags] { return RunDelete(context, *delete_flags); };
  });
}

}  // namespace bwrt::client
