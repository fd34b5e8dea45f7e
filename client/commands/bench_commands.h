// What `bwrtctl bench` consists of: each function adds its part to it.
#pragma once

namespace CLI {
class App;
}

namespace bwrt::client {

struct Context;

// What `bench` itself does: it runs.
void AddBenchRun(CLI::App& bench, Context& context);
void AddBenchReportCommand(CLI::App& bench, Context& context);

}  // namespace bwrt::client
