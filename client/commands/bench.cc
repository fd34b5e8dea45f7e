// bwrtctl bench: its parts.
#include <CLI/CLI.hpp>

#include "client/commands/bench_commands.h"
#include "client/commands/commands.h"
#include "client/commands/context.h"

namespace bwrt::client {

void AddBenchCommand(CLI::App& app, Context& context) {
  CLI::App* bench =
      app.add_subcommand("bench",
                         "Measure how many waves a daemon runs and how long each takes, by waves in flight. Without "
                         "--server or BWRT_SERVER it measures a bwrtd of its own");
  AddBenchRun(*bench, context);
  AddBenchReportCommand(*bench, context);
}

}  // namespace bwrt::client
