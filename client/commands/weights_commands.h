// The commands below `bwrtctl weights`, as commands.h has those at the top.
#pragma once

namespace CLI {
class App;
}

namespace bwrt::client {

struct Context;

void AddWeightsSetCommand(CLI::App& weights, Context& context);
void AddWeightsPushCommand(CLI::App& weights, Context& context);
void AddWeightsLoadCommand(CLI::App& weights, Context& context);
void AddWeightsReadCommand(CLI::App& weights, Context& context);
void AddWeightsVersionCommands(CLI::App& weights, Context& context);  // rollback, delete
void AddWeightsBeginCommand(CLI::App& weights, Context& context);
void AddWeightsStageCommand(CLI::App& weights, Context& context);
void AddWeightsUpdateCommands(CLI::App& weights, Context& context);  // precommit, commit, abort, updates, show

}  // namespace bwrt::client
