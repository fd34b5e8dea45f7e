#include "runtime/model_registry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"

namespace bwrt::runtime {

ModelRegistry::ModelRegistry(int64_t max_models, std::function<std::shared_ptr<Model>(std::string name)> make)
    : max_models_(static_cast<size_t>(max_models)), make_(std::move(make)) {
  std::string name(kDefaultModel);
  models_.emplace(name, make_(name));
}

absl::StatusOr<std::shared_ptr<Model>> ModelRegistry::Find(absl::string_view name) const {
  MutexLock lock(mu_);
  if (const auto at = models_.find(name); at != models_.end()) return at->second;
  ErrorDetails details;
  details.reason = "MODEL_NOT_FOUND";
  details.metadata = {{"model", std::string(name)}};
  return MakeError(absl::StatusCode::kNotFound,
                   absl::StrCat("model=\"", name, "\": no such model; publish it with SetWeights first"), details);
}

absl::StatusOr<std::shared_ptr<Model>> ModelRegistry::FindOrCreate(absl::string_view name) {
  MutexLock lock(mu_);
  if (const auto at = models_.find(name); at != models_.end()) return at->second;
  if (models_.size() >= max_models_) {
    return MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_MODELS",
                     absl::StrCat("model=\"", name, "\": this daemon keeps at most ", max_models_,
                                  " models; raise --max-models or use one that exists"));
  }
  std::string key(name);
  std::shared_ptr<Model> model = make_(key);
  models_.emplace(std::move(key), model);
  return model;
}

void ModelRegistry::Erase(absl::string_view name) {
  MutexLock lock(mu_);
  if (const auto at = models_.find(name); at != models_.end()) models_.erase(at);
}

std::vector<std::shared_ptr<Model>> ModelRegistry::All() const {
  std::vector<std::shared_ptr<Model>> all;
  MutexLock lock(mu_);
  all.reserve(models_.size());
  for (const auto& [name, model] : models_) all.push_back(model);
  return all;
}

}  // namespace bwrt::runtime
