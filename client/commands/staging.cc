#include "client/commands/staging.h"

#include <cstdint>
#include <utility>

#include "client/progress.h"

namespace bwrt::client {
namespace {

uint64_t BytesOf(const std::vector<TensorSource>& tensors) {
  uint64_t total = 0;
  for (const TensorSource& tensor : tensors) {
    for (const auto& shard : tensor.shards) total += shard != nullptr ? shard->size() : 0;
  }
  return total;
}

}  // namespace

absl::Status AddDigests(const Context& context, DigestKind kind, std::vector<TensorSource>* tensors) {
  Progress progress(context.err, context.terminal, "digest", BytesOf(*tensors), Progress::Unit::kBytes);
  uint64_t done = 0;
  for (TensorSource& tensor : *tensors) {
    for (size_t rank = 0; rank < tensor.shards.size(); ++rank) {
      const auto& shard = tensor.shards[rank];
      if (shard == nullptr) continue;
      auto digest = DigestOf(kind, *shard, [&](uint64_t bytes) { progress.Update(done + bytes); });
      if (!digest.ok()) return digest.status();
      tensor.manifest.mutable_shards(static_cast<int>(rank))->set_digest(*std::move(digest));
      done += shard->size();
    }
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
    if (options.declare && !tensor.shards.empty()) stager.Declare(tensor.manifest);
    for (uint32_t rank = 0; rank < tensor.shards.size(); ++rank) {
      if (tensor.shards[rank] != nullptr) stager.Add(tensor.manifest.name(), rank, tensor.shards[rank]);
    }
  }
  return stager.Run();
}

}  // namespace bwrt::client
