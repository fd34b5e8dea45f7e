// bwrtctl weights begin: opens an update.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "client/client.h"
#include "client/commands/begin_flags.h"
#include "client/commands/context.h"
#include "client/commands/output.h"
#include "client/commands/source_flags.h"
#include "client/commands/staging.h"
#include "client/commands/weights_commands.h"

namespace bwrt::client {
namespace {

struct Flags {
  BeginFlags begin = {};
  TensorSourceFlags sources = {};
  bool open = false;
};

int RunBegin(const Context& context, const Flags& flags) {
  auto tensors = OpenTensors(flags.sources, /*sources_required=*/false);
  if (!tensors.ok()) return context.Usage(tensors.status());
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  absl::Status digested = AddDigests(context, flags.sources.digest, &*tensors);
  if (!digested.ok()) return context.Fail(digested);
  v1::BeginUpdateRequest request = MakeBeginRequest(flags.begin);
  request.set_open_manifest(flags.open);
  for (const TensorSource& tensor : *tensors) *request.add_tensors() = tensor.manifest;
  const auto info = (*client)->BeginUpdate(request);
  if (!info.ok()) return context.Fail(info.status());
  if (context.json) {
    PrintJson(ToJson(*info), context.out);
  } else {
    // Alone, for $(...).
    context.out << Printable(info->update_id()) << std::endl;
  }
  return kExitDone;
}

}  // namespace

void AddWeightsBeginCommand(CLI::App& weights, Context& context) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = weights.add_subcommand("begin", "Open an update; prints its id");
  command->add_option("MODEL", flags->begin.model, "The model; the commit creates it where it does not exist")
      ->required();
  AddBeginFlags(*command, &flags->begin);
  AddTensorFlag(*command, &flags->sources.tensors)
      ->description("What will be staged, so that room for it is reserved now: as for stage, or without a source")
      ->type_name("NAME:DTYPE:DIMSxDIMS[=FILE|=random:SEED]");
  AddFileFlags(*command, &flags->sources);
  AddRanksFlag(*command, &flags->sources);
  command->add_flag("--open", flags->open,
                    "Take other tensors besides those listed here; implied where none is listed");
  command->callback([&context, flags] { context.command = [&context, flags] { return RunBegin(context, *flags); }; });
}

}  // namespace bwrt::client
