// bwrtctl weights push: a new version in one go.
#include <CLI/CLI.hpp>
#include <memory>

#include "client/client.h"
#include "client/commands/begin_flags.h"
#include "client/commands/context.h"
#include "client/commands/publication.h"
#include "client/commands/source_flags.h"
#include "client/commands/staging.h"
#include "client/commands/swap_flags.h"
#include "client/commands/weights_commands.h"

namespace bwrt::client {
namespace {

struct Flags {
  BeginFlags begin = {};
  TensorSourceFlags sources = {};
  SwapFlags swap = {};
  bool keep = false;
};

int RunPush(const Context& context, const Flags& flags) {
  if (flags.sources.tensors.empty() && flags.sources.npy.empty() && flags.begin.removed.empty()) {
    return context.Usage(absl::InvalidArgumentError("nothing to push: give --tensor, --npy or --remove"));
  }
  auto tensors = OpenTensors(flags.sources, /*sources_required=*/true);
  if (!tensors.ok()) return context.Usage(tensors.status());
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  absl::Status digested = AddDigests(context, flags.sources.digest, &*tensors);
  if (!digested.ok()) return context.Fail(digested);
  PublicationPlan plan;
  plan.begin = MakeBeginRequest(flags.begin);
  for (const TensorSource& tensor : *tensors) *plan.begin.add_tensors() = tensor.manifest;
  SetSwap(flags.swap, &plan.policy);
  plan.keep = flags.keep;
  plan.stage = [&](Publication* publication) -> absl::Status {
    const auto result = StageTensors(context, **client, publication->update_id, *tensors);
    if (!result.ok()) return result.status();
    publication->bytes = result->bytes;
    publication->stage_seconds = result->seconds;
    return absl::OkStatus();
  };
  const auto publication = Publish(**client, plan);
  if (!publication.ok()) return context.Fail(publication.status());
  PrintPublication(context, *publication);
  return kExitDone;
}

}  // namespace

void AddWeightsPushCommand(CLI::App& weights, Context& context) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = weights.add_subcommand("push", "Begin, stage, precommit and commit in one go");
  command->add_option("MODEL", flags->begin.model, "The model; it is created where it does not exist")->required();
  AddTensorFlag(*command, &flags->sources.tensors);
  AddFileFlags(*command, &flags->sources);
  AddRanksFlag(*command, &flags->sources);
  AddBeginFlags(*command, &flags->begin);
  AddSwapFlags(*command, &flags->swap);
  command->add_flag("--keep", flags->keep, "Should it fail, leave the update as it is instead of aborting it");
  command->callback([&context, flags] { context.command = [&context, flags] { return RunPush(context, *flags); }; });
}

}  // namespace bwrt::client
