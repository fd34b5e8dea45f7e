// The commands of bwrtctl. Each function adds its commands to the parser; parsing chooses one and
// leaves it in context.command. The context must outlive the parser.
#pragma once

namespace CLI {
class App;
}

namespace bwrt::client {

struct Context;

void AddInspectCommands(CLI::App& app, Context& context);  // status, caps
void AddValidateCommand(CLI::App& app, Context& context);
void AddSubmitCommand(CLI::App& app, Context& context);
void AddReplayCommand(CLI::App& app, Context& context);
void AddExplainCommand(CLI::App& app, Context& context);
void AddVerifyCommand(CLI::App& app, Context& context);
void AddModelCommand(CLI::App& app, Context& context);
void AddWeightsCommands(CLI::App& app, Context& context);  // weights list, and those of weights_commands.h
void AddWatchCommands(CLI::App& app, Context& context);    // watch, sample
void AddPagesCommand(CLI::App& app, Context& context);
void AddTuneCommand(CLI::App& app, Context& context);
void AddBenchCommand(CLI::App& app, Context& context);  // bench, and those of bench_commands.h

}  // namespace bwrt::client
