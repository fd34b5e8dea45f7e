// Digests and staging as bwrtctl does them: with a progress bar.
//
// Free functions, called from one thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/commands/context.h"
#include "client/commands/tensor_source.h"
#include "client/stager.h"

namespace bwrt::client {

struct StagingOptions {
  bool declare = false;       // The update's manifest does not have them as they are.
  bool only_missing = false;  // As StagerOptions has it.
};

// Puts the digest of each tensor that has bytes into its manifest.
absl::Status AddDigests(const Context& context, DigestKind kind, std::vector<TensorSource>* tensors);

// Brings those of `tensors` that have bytes.
absl::StatusOr<StageResult> StageTensors(const Context& context, Client& client, const std::string& update_id,
                                         const std::vector<TensorSource>& tensors, const StagingOptions& options = {});

}  // namespace bwrt::client
