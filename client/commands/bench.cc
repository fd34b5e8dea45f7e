// bwrtctl bench: its parts.
#include <CLI/CLI.hpp>

#include "client/commands/bench_commands.h"
#include "client/commands/commands.h"
#include "client/commands/context.h"

namespace bwrt::client {

void AddBenchCommand(CLI::App& app, Context& context) {
  CLI::App* bench = app.add_subcommand("bench", "Benchmark artifacts");
  bench->require_subcommand(1);
  AddBenchReportCommand(*bench, context);
}

}  // namespace bwrt::client
