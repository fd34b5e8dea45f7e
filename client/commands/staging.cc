#include "client/commands/staging.h"

#include <cstdint>

#include "client/progress.h"

namespace bwrt::client {

absl::StatusOr<StageResult> StageTensors(const Context& context, Client& client, const std::string& update_id,
                                         const std::vector<TensorSource>& tensors, const StagingOptions& options) {
  uint64_t total = 0;
  for (const TensorSource& tensor : tensors) {
    if (tensor.bytes != nullptr) total += tensor.bytes->size();
  }
  Progress progress(context.err, context.terminal, "stage", total, Progress::Unit::kBytes);
  StagerOptions stager_options;
  stager_options.only_missing = options.only_missing;
  stager_options.on_progress = [&progress](uint64_t done, uint64_t) { progress.Update(done); };
  Stager stager(client, update_id, std::move(stager_options));
  for (const TensorSource& tensor : tensors) {
    if (tensor.bytes == nullptr) continue;
    if (options.declare) stager.Declare(tensor.manifest);
    stager.Add(tensor.manifest.name(), 0, tensor.bytes);
  }
  return stager.Run();
}

}  // namespace bwrt::client
