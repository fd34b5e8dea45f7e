// What `bwrtctl bench` has besides running: each function adds a subcommand to it.
#pragma once

namespace CLI {
class App;
}

namespace bwrt::client {

struct Context;

void AddBenchReportCommand(CLI::App& bench, Context& context);

}  // namespace bwrt::client
