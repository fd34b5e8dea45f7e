#include "client/commands/staging.h"

#include <cstdint>
#include <utility>

#include "client/progress.h"

namespace bwrt::client {
namespace {

uint64_t BytesOf(const std::vector<TensorSource>& tensors) {
  uint64_t total = 0;
  for (const TensorSource& tensor : tensors) {
    if (tensor.bytes != nullptr) total += tensor.bytes->size();
  }
  return total;
}

}  // namespace

absl::Status AddDigests(const Context& context, DigestKind kind, std::vector<TensorSource>* tensors) {
  Progress progress(context.err, context.terminal, "digest", BytesOf(*tensors), Progress::Unit::kBytes);
  uint64_t done = 0;
  for (TensorSource& tensor : *tensors) {
    if (tensor.bytes == nullptr) continue;
    auto digest = DigestOf(kind, *tensor.bytes, [&](uint64_t bytes) { progress.Update(done + bytes); });
    if (!digest.ok()) return digest.status();
    tensor.manifest.mutable_shards(0)->set_digest(*std::move(digest));
    done += tensor.bytes->size();
  }
  return absl::OkStatus();
}

absl::StatusOr<StageResult> StageTensors(const Context& context, Client& client, const std::string& update_id,
                                         const std::vector<TensorSource>& tensors, const StagingOptions& options) {
  Progress progress(context.err, context.terminal, "stage", BytesOf(tensors), Progress::Unit::kBytes);
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
