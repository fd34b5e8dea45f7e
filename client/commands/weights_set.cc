// bwrtctl weights set: a few tensors, in one message.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "client/client.h"
#include "client/commands/context.h"
#include "client/commands/output.h"
#include "client/commands/source_flags.h"
#include "client/commands/swap_flags.h"
#include "client/commands/tensor_flag.h"
#include "client/commands/updates.h"
#include "client/commands/weights_commands.h"

namespace bwrt::client {
namespace {

struct SetFlags {
  std::string model = {};
  std::vector<std::string> tensors = {};
  std::string label = {};
  SwapFlags swap = {};
  std::optional<uint64_t> base_version = {};
};

absl::StatusOr<v1::SetWeightsRequest> MakeRequest(const SetFlags& flags) {
  v1::SetWeightsRequest request;
  request.set_model(flags.model);
  request.set_label(flags.label);
  SetSwap(flags.swap, &request);
  if (flags.base_version.has_value()) request.set_base_version(*flags.base_version);
  for (const std::string& text : flags.tensors) {
    const auto flag = ParseTensorFlag(text);
    if (!flag.ok()) return flag.status();
    auto tensor = LoadTensor(*flag);
    if (!tensor.ok()) return tensor.status();
    *request.add_tensors() = *std::move(tensor);
  }
  return request;
}

int RunSet(const Context& context, const SetFlags& flags) {
  const auto request = MakeRequest(flags);
  if (!request.ok()) return context.Usage(request.status());
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  const auto response = (*client)->SetWeights(*request);
  if (!response.ok()) return context.Fail(response.status());
  if (context.json) {
    PrintJson(ToJson(*response), context.out);
  } else {
    PrintSwap(response->model(), response->previous_version(), response->version(), context.out);
    PrintWait(response->waited_seconds(), response->held_seconds(), context.out);
  }
  return kExitDone;
}

}  // namespace

void AddWeightsSetCommand(CLI::App& weights, Context& context) {
  auto flags = std::make_shared<SetFlags>();
  CLI::App* command = weights.add_subcommand("set", "Replace tensors that fit in one message, as the next version");
  command->add_option("MODEL", flags->model, "The model; it is created where it does not exist")->required();
  AddTensorFlag(*command, &flags->tensors)->required();
  command->add_option("--label", flags->label, "Your name for the version");
  AddSwapFlags(*command, &flags->swap);
  command->add_option("--base,--base-version", flags->base_version, "Refuse unless this is the current version")
      ->check(CheckUnsigned);
  command->callback([&context, flags] { context.command = [&context, flags] { return RunSet(context, *flags); }; });
}

}  // namespace bwrt::client
