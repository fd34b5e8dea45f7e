// bwrtctl weights load: a new version from the daemon's own disk.
#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "client/commands/begin_flags.h"
#include "client/commands/context.h"
#include "client/commands/publication.h"
#include "client/commands/swap_flags.h"
#include "client/commands/weights_commands.h"
#include "client/progress.h"

namespace bwrt::client {
namespace {

struct Flags {
  BeginFlags begin = {};
  std::string path = {};
  std::string update = {};
  std::string prefix = {};
  std::vector<std::string> only = {};
  SwapFlags swap = {};
  bool no_commit = false;
  bool keep = false;
};

absl::Status Load(const Context& context, Client& client, const Flags& flags, Publication* publication) {
  const absl::Time begin = absl::Now();
  v1::LoadFileRequest request;
  request.set_update_id(publication->update_id);
  request.set_path(flags.path);
  request.set_name_prefix(flags.prefix);
  for (const std::string& name : flags.only) request.add_tensors(name);
  const auto load = client.LoadFile(request);
  // Its total comes with the first event.
  std::optional<Progress> progress;
  bool done = false;
  for (;;) {
    const auto event = load->Next();
    if (!event.ok()) return event.status();
    if (!event->has_value()) break;
    const v1::LoadFileProgress& state = **event;
    if (!progress.has_value()) {
      progress.emplace(context.err, context.terminal, "load", state.total_bytes(), Progress::Unit::kBytes);
    }
    progress->Update(state.bytes());
    publication->tensors = state.tensors();
    publication->bytes = state.bytes();
    done = state.done();
  }
  if (!done) return absl::InternalError("the daemon ended the load without saying that it is done");
  publication->stage_seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  return absl::OkStatus();
}

// Into an update that is open already, and no more.
int LoadInto(const Context& context, Client& client, const Flags& flags) {
  const auto update = client.GetUpdate(flags.update);
  if (!update.ok()) return context.Fail(update.status());
  if (update->info().model() != flags.begin.model) {
    return context.Usage(absl::InvalidArgumentError(absl::StrCat(
        "update ", flags.update, " is one of model ", update->info().model(), ", not of ", flags.begin.model)));
  }
  Publication publication;
  publication.update_id = flags.update;
  publication.model = update->info().model();
  if (absl::Status status = Load(context, client, flags, &publication); !status.ok()) return context.Fail(status);
  PrintPublication(context, publication);
  return kExitDone;
}

int RunLoad(const Context& context, const Flags& flags) {
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  if (!flags.update.empty()) return LoadInto(context, **client, flags);
  PublicationPlan plan;
  plan.begin = MakeBeginRequest(flags.begin);
  SetSwap(flags.swap, &plan.policy);
  plan.commit = !flags.no_commit;
  plan.keep = flags.keep;
  plan.stage = [&](Publication* publication) { return Load(context, **client, flags, publication); };
  const auto publication = Publish(**client, plan);
  if (!publication.ok()) return context.Fail(publication.status());
  PrintPublication(context, *publication);
  return kExitDone;
}

}  // namespace

void AddWeightsLoadCommand(CLI::App& weights, Context& context) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = weights.add_subcommand("load", "As push, from safetensors files on the daemon's own disk");
  command->add_option("MODEL", flags->begin.model, "The model; it is created where it does not exist")->required();
  command
      ->add_option("PATH", flags->path,
                   "Beneath the daemon's --weights-root: a .safetensors file, an index, or a directory with "
                   "model.safetensors or its index")
      ->required();
  command->add_option("--prefix", flags->prefix, "Put before each tensor's name, such as layer0/");
  command->add_option("--only", flags->only, "Only this tensor of the files; repeatable")
      ->allow_extra_args(false)
      ->type_name("NAME");
  CLI::Option* update =
      command
          ->add_option(
              "--update", flags->update,
              "Load into this open update of the model, and no more: not with the flags that begin or commit one")
          ->type_name("UPDATE");
  CLI::Option* no_commit = command->add_flag("--no-commit", flags->no_commit, "Leave the update prepared");
  CLI::Option* keep =
      command->add_flag("--keep", flags->keep, "Should it fail, leave the update as it is instead of aborting it");
  const auto begin_options = AddBeginFlags(*command, &flags->begin);
  const auto swap_options = AddSwapFlags(*command, &flags->swap);
  command->callback([&context, flags, update, no_commit, keep, begin_options, swap_options] {
    // What begins or ends an update is not for one that goes on.
    RefuseBeside(update, begin_options);
    RefuseBeside(update, swap_options);
    RefuseBeside(update, {no_commit, keep});
    RefuseBeside(no_commit, swap_options);
    context.command = [&context, flags] { return RunLoad(context, *flags); };
  });
}

}  // namespace bwrt::client
