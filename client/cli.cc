#include "client/cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/address.h"
#include "client/commands/commands.h"
#include "client/commands/context.h"

namespace bwrt::client {
namespace {

int ParseAndRun(int argc, const char* const* argv, Context& context) {
  CLI::App app("Talks to a bwrt daemon: run waves, swap weights, see what happens.", "bwrtctl");
  // --server and --json may also stand behind the command.
  app.fallthrough();
  app.require_subcommand(1);
  app.add_option("--server", context.server,
                 "unix:PATH or HOST:PORT; default: $BWRT_SERVER, else bwrt.sock in the runtime "
                 "directory");
  app.add_flag("--json", context.json, "Print one JSON object");
  app.footer("Exit status: 0 done, 1 the work failed, 2 usage, 3 cannot reach the server.");
  AddInspectCommands(app, context);
  AddValidateCommand(app, context);
  AddSubmitCommand(app, context);
  AddReplayCommand(app, context);
  AddExplainCommand(app, context);
  AddVerifyCommand(app, context);
  AddModelCommand(app, context);
  AddWeightsCommands(app, context);
  AddWatchCommands(app, context);
  AddPagesCommand(app, context);
  AddTuneCommand(app, context);
  AddBenchCommand(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help is a "parse error" of status 0 too.
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
      return app.exit(error, context.out, context.err);
    }
    // The parse may have ended before it came to --json.
    context.json =
        std::any_of(argv, argv + argc, [](const char* argument) { return absl::string_view(argument) == "--json"; });
    return context.Usage(absl::InvalidArgumentError(error.what()));
  }
  context.server_named = !context.server.empty() || IsServerNamed();
  if (context.server.empty()) context.server = DefaultAddress();
  if (absl::Status status = CheckAddress(context.server); !status.ok()) {
    return context.Usage(status);
  }
  const int status = context.command();
  context.out << std::flush;
  if (!context.out.good() && status == kExitDone) {
    context.err << "bwrtctl: cannot write the output" << std::endl;
    return kExitFailed;
  }
  return status;
}

}  // namespace

int RunCli(int argc, const char* const* argv, std::ostream& out, std::ostream& err, bool terminal) {
  Context context{.out = out, .err = err, .terminal = terminal};
  try {
    return ParseAndRun(argc, argv, context);
  } catch (const std::exception& error) {
    // Only out of memory is left.
    err << "bwrtctl: " << error.what() << std::endl;
    return kExitFailed;
  }
}

}  // namespace bwrt::client
