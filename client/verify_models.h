// The models that verified waves run on, the same ones on every daemon that takes part.
//
// Owned by one verification, used by one thread. The daemons must outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bwrt/v1/wave.pb.h"
#include "client/verify_daemon.h"
#include "client/verify_weights.h"
#include "client/wave_space.h"

namespace bwrt::client {

class VerifyModels {
 public:
  // `daemons`: at least one; the versions of models() are those of the first. Their models are called `prefix`/0,
  // `prefix`/1 and so on. `wave`: MakeWeights; `max_bytes` too.
  VerifyModels(std::vector<VerifyDaemon*> daemons, std::string prefix, v1::SubmitWaveRequest wave, uint64_t max_bytes)
      : daemons_(std::move(daemons)), prefix_(std::move(prefix)), wave_(std::move(wave)), max_bytes_(max_bytes) {}

  // Publishes one more model. Errors: MakeWeights, VerifyDaemon::Publish.
  absl::Status Add(const WeightsRecipe& recipe);

  // Swaps the weights of model number `model` for others. FAILED_PRECONDITION: the only daemon refuses swaps for now,
  // and nothing has changed.
  absl::Status Swap(size_t model, const WeightsRecipe& recipe);

  std::string NameOf(size_t model) const;
  // The number of the model that a wave belongs to; it is one of ours.
  size_t NumberOf(const v1::SubmitWaveRequest& wave) const;

  const std::vector<PublishedModel>& models() const { return models_; }
  const std::vector<WeightsRecipe>& recipes() const { return recipes_; }

 private:
  absl::StatusOr<PublishedModel> Publish(size_t model, const WeightsRecipe& recipe);

  const std::vector<VerifyDaemon*> daemons_;
  const std::string prefix_;
  const v1::SubmitWaveRequest wave_;
  const uint64_t max_bytes_;
  std::vector<PublishedModel> models_;
  std::vector<WeightsRecipe> recipes_;  // Of the models.
};

}  // namespace bwrt::client
