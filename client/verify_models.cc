#include "client/verify_models.h"

#include "absl/strings/str_cat.h"

namespace bwrt::client {

std::string VerifyModels::NameOf(size_t model) const { return absl::StrCat(prefix_, "/", model); }

size_t VerifyModels::NumberOf(const v1::SubmitWaveRequest& wave) const {
  size_t model = 0;
  while (model + 1 < models_.size() && models_[model].name != wave.model()) ++model;
  return model;
}

absl::StatusOr<PublishedModel> VerifyModels::Publish(size_t model, const WeightsRecipe& recipe) {
  auto weights = MakeWeights(recipe, NameOf(model), wave_, max_bytes_);
  if (!weights.ok()) return weights.status();
  for (VerifyDaemon* daemon : daemons_) {
    if (absl::Status status = daemon->Publish(*weights); !status.ok()) {
      // The daemons before it have these weights, and the others those before.
      const bool torn = daemon != daemons_.front() && absl::IsFailedPrecondition(status);
      return torn ? absl::AbortedError(absl::StrCat("the daemon at ", daemon->client().address(),
                                                    " refuses weights that another has taken: ", status.message()))
                  : status;
    }
  }
  weights->version = daemons_.front()->VersionOf(weights->name);
  return weights;
}

absl::Status VerifyModels::Add(const WeightsRecipe& recipe) {
  auto weights = Publish(models_.size(), recipe);
  if (!weights.ok()) return weights.status();
  models_.push_back(*std::move(weights));
  recipes_.push_back(recipe);
  return absl::OkStatus();
}

absl::Status VerifyModels::Swap(size_t model, const WeightsRecipe& recipe) {
  auto weights = Publish(model, recipe);
  if (!weights.ok()) return weights.status();
  models_[model] = *std::move(weights);
  recipes_[model] = recipe;
  return absl::OkStatus();
}

}  // namespace bwrt::client
