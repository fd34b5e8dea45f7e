// bwrtctl weights precommit, commit, abort, updates and show: updates by their id.
#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "client/client.h"
#include "client/commands/context.h"
#include "client/commands/output.h"
#include "client/commands/swap_flags.h"
#include "client/commands/updates.h"
#include "client/commands/weights_commands.h"

namespace bwrt::client {
namespace {

struct CommitFlags {
  std::vector<std::string> ids = {};
  SwapFlags swap = {};
};

struct ShowFlags {
  std::string id = {};
  uint32_t max_missing = 0;
};

// Prints what `call` returns: its JSON, or what `print` makes of it for people.
template <class Call, class Print>
int Ask(const Context& context, Call call, Print print) {
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  const auto response = call(**client);
  if (!response.ok()) return context.Fail(response.status());
  if (context.json) {
    PrintJson(ToJson(*response), context.out);
  } else {
    print(*response);
  }
  return kExitDone;
}

int RunPrecommit(const Context& context, const std::string& id) {
  return Ask(
      context, [&](Client& client) { return client.Precommit(id); },
      [&](const v1::PrecommitResponse& response) {
        context.out << Printable(id) << ": " << StateName(response.info().state()) << ": verified in "
                    << FormatSeconds(response.verify_seconds()) << ", stored in "
                    << FormatSeconds(response.store_seconds()) << ", resident in "
                    << FormatSeconds(response.prepare_seconds()) << std::endl;
      });
}

int RunCommit(const Context& context, const CommitFlags& flags) {
  v1::CommitRequest request;
  for (const std::string& id : flags.ids) request.add_update_ids(id);
  SetSwap(flags.swap, &request);
  return Ask(
      context, [&](Client& client) { return client.Commit(request); },
      [&](const v1::CommitResponse& response) {
        for (const v1::CommittedUpdate& update : response.updates()) {
          PrintSwap(update.model(), update.previous_version(), update.version(), context.out);
          context.out << '\n';
        }
        context.out << (response.repeated() ? "committed before," : "committed");
        if (response.pause_seconds() > 0) {
          context.out << ", pausing waves for " << FormatSeconds(response.pause_seconds()) << ',';
        }
        PrintWait(response.waited_seconds(), response.held_seconds(), context.out);
      });
}

int RunAbort(const Context& context, const std::string& id) {
  return Ask(
      context, [&](Client& client) { return client.Abort(id); },
      [&](const v1::AbortResponse& response) {
        context.out << Printable(id) << ": " << StateName(response.info().state()) << std::endl;
      });
}

int RunUpdates(const Context& context) {
  return Ask(
      context, [](Client& client) { return client.ListUpdates(); },
      [&](const v1::ListUpdatesResponse& response) { PrintUpdates(response, context.out); });
}

int RunShow(const Context& context, const ShowFlags& flags) {
  v1::GetUpdateRequest request;
  request.set_update_id(flags.id);
  request.set_max_missing(flags.max_missing);
  return Ask(
      context, [&](Client& client) { return client.GetUpdate(request); },
      [&](const v1::GetUpdateResponse& response) { PrintUpdate(response, context.out); });
}

// A command that takes one id and no flags.
void AddIdCommand(CLI::App& weights, Context& context, const char* name, const char* help,
                  int (*run)(const Context&, const std::string&)) {
  auto id = std::make_shared<std::string>();
  CLI::App* command = weights.add_subcommand(name, help);
  command->add_option("UPDATE", *id, "The update's id")->required();
  command->callback([&context, id, run] { context.command = [&context, id, run] { return run(context, *id); }; });
}

}  // namespace

void AddWeightsUpdateCommands(CLI::App& weights, Context& context) {
  AddIdCommand(weights, context, "precommit", "Verify what was staged and make it resident", RunPrecommit);

  auto commit_flags = std::make_shared<CommitFlags>();
  CLI::App* commit = weights.add_subcommand("commit", "Make prepared updates current, all of them or none");
  commit->add_option("UPDATE", commit_flags->ids, "The updates' ids, up to 16, of different models")->required();
  AddSwapFlags(*commit, &commit_flags->swap);
  commit->callback([&context, commit_flags] {
    context.command = [&context, commit_flags] { return RunCommit(context, *commit_flags); };
  });

  AddIdCommand(weights, context, "abort", "End an update and free what it staged", RunAbort);

  CLI::App* updates = weights.add_subcommand("updates", "All updates, the newest first");
  updates->callback([&context] { context.command = [&context] { return RunUpdates(context); }; });

  auto show_flags = std::make_shared<ShowFlags>();
  CLI::App* show = weights.add_subcommand("show", "One update, and what is missing of it");
  show->add_option("UPDATE", show_flags->id, "The update's id")->required();
  show->add_option("--max-missing", show_flags->max_missing, "Incomplete shards to show; default 100")
      ->check(CheckUnsigned);
  show->callback(
      [&context, show_flags] { context.command = [&context, show_flags] { return RunShow(context, *show_flags); }; });
}

}  // namespace bwrt::client
