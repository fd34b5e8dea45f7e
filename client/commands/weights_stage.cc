// bwrtctl weights stage: brings tensors to an open update.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "client/client.h"
#include "client/commands/context.h"
#include "client/commands/output.h"
#include "client/commands/source_flags.h"
#include "client/commands/staging.h"
#include "client/commands/updates.h"
#include "client/commands/weights_commands.h"
#include "client/stager.h"

namespace bwrt::client {
namespace {

struct Flags {
  std::string id = {};
  TensorSourceFlags sources = {};
  bool resume = false;
};

void PrintStaged(const Context& context, const Flags& flags, const StageResult& result) {
  if (!context.json) {
    context.out << Printable(flags.id) << ": staged " << FormatTransfer(result.bytes, result.seconds) << "; has "
                << FormatBytes(result.info.received_bytes()) << " of " << FormatBytes(result.info.bytes());
    if (result.retries > 0) context.out << "; took up " << result.retries << " broken streams";
    context.out << std::endl;
    return;
  }
  Json json;
  json["update_id"] = flags.id;
  json["state"] = v1::UpdateState_Name(result.info.state());
  json["bytes"] = result.bytes;
  json["chunks"] = result.chunks;
  json["retries"] = result.retries;
  json["stage_seconds"] = result.seconds;
  json["stage_bytes_per_second"] = BytesPerSecond(result.bytes, result.seconds);
  json["update_received_bytes"] = result.info.received_bytes();
  json["update_bytes"] = result.info.bytes();
  PrintJson(json, context.out);
}

int RunStage(const Context& context, const Flags& flags) {
  if (flags.sources.tensors.empty() && flags.sources.npy.empty()) {
    return context.Usage(absl::InvalidArgumentError("nothing to stage: give --tensor or --npy"));
  }
  auto tensors = OpenTensors(flags.sources, /*sources_required=*/true);
  if (!tensors.ok()) return context.Usage(tensors.status());
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  // What one host has of a tensor is no more than its shard: the whole has been announced by begin, digests included.
  const bool whole = !flags.sources.rank.has_value();
  if (whole) {
    if (absl::Status status = AddDigests(context, flags.sources.digest, &*tensors); !status.ok()) {
      return context.Fail(status);
    }
  }
  const auto result =
      StageTensors(context, **client, flags.id, *tensors, {.declare = whole, .only_missing = flags.resume});
  if (!result.ok()) return context.Fail(result.status());
  PrintStaged(context, flags, *result);
  return kExitDone;
}

}  // namespace

void AddWeightsStageCommand(CLI::App& weights, Context& context) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = weights.add_subcommand("stage", "Bring tensors to an open update");
  command->add_option("UPDATE", flags->id, "The update's id")->required();
  AddTensorFlag(*command, &flags->sources.tensors);
  AddFileFlags(*command, &flags->sources);
  CLI::Option* ranks = AddRanksFlag(*command, &flags->sources);
  command
      ->add_option(
          "--rank", flags->sources.rank,
          "Bring only the shard of this rank, of an update that was begun with --ranks: the dimensions are the "
          "whole tensor's, a file holds just the shard's rows")
      ->check(CheckUnsigned)
      ->needs(ranks)
      ->type_name("R");
  command->add_flag("--resume", flags->resume,
                    "Send only what the update does not have yet of the same files, as after a broken stage");
  command->callback([&context, flags] { context.command = [&context, flags] { return RunStage(context, *flags); }; });
}

}  // namespace bwrt::client
