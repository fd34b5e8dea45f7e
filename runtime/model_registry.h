// ModelRegistry: every model by name. Owned by the Runtime; thread-safe.
#ifndef BWRT_RUNTIME_MODEL_REGISTRY_H_
#define BWRT_RUNTIME_MODEL_REGISTRY_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/model.h"
#include "runtime/mutex.h"

namespace bwrt::runtime {

inline constexpr absl::string_view kDefaultModel = "default";

class ModelRegistry {
 public:
  // `make` builds a model of a given name. "default" exists from the start.
  ModelRegistry(int64_t max_models, std::function<std::shared_ptr<Model>(std::string name)> make);

  // NOT_FOUND, reason MODEL_NOT_FOUND, names the model.
  absl::StatusOr<std::shared_ptr<Model>> Find(absl::string_view name) const;

  // RESOURCE_EXHAUSTED, reason TOO_MANY_MODELS.
  absl::StatusOr<std::shared_ptr<Model>> FindOrCreate(absl::string_view name);

  // Forgets a model, which lives on as long as leases and others hold it. Not for "default".
  void Erase(absl::string_view name);

  // Sorted by name.
  std::vector<std::shared_ptr<Model>> All() const;

 private:
  const size_t max_models_;
  const std::function<std::shared_ptr<Model>(std::string)> make_;
  mutable Mutex mu_;
  std::map<std::string, std::shared_ptr<Model>, std::less<>> models_ ABSL_GUARDED_BY(mu_);
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_MODEL_REGISTRY_H_
