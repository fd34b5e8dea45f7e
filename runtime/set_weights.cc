#include "runtime/set_weights.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/violations.h"
#include "runtime/wave_validator.h"

namespace bwrt::runtime {

absl::StatusOr<TensorChange> CheckSetWeights(SetWeightsRequest request, const Limits& limits) {
  Violations bad;
  TensorChange change;
  CheckModelName(request.model, bad);
  CheckLabel("label", request.label, bad);
  change.options = CheckSwapWish(request.swap, bad);
  if (request.tensors.empty()) bad.Add("tensors", "MISSING", "(none)", "give at least one tensor");
  if (static_cast<int64_t>(request.tensors.size()) > limits.max_tensors) {
    bad.Add("tensors", "TOO_MANY", absl::StrCat(request.tensors.size(), " tensors"), "at most ", limits.max_tensors);
    return bad.Take("weights");
  }
  std::set<absl::string_view> names;
  std::vector<std::optional<TensorType>> types;
  for (size_t i = 0; i < request.tensors.size(); ++i) {
    const TensorRequest& t = request.tensors[i];
    const std::string path = absl::StrCat("tensors[", i, "]");
    CheckTensorName(path, t.name, names, bad);
    types.push_back(CheckTensorType(path, static_cast<int>(t.dtype), t.shape, limits, bad));
    if (types[i] && static_cast<int64_t>(t.data.size()) != types[i]->bytes().value()) {
      bad.Add(absl::StrCat(path, ".data"), "TENSOR_SIZE", absl::StrCat(t.data.size(), " bytes"), "shape and dtype ",
              types[i]->dtype.name(), " need exactly ", types[i]->bytes().value());
    }
  }
  if (!bad.empty()) return bad.Take("weights");

  change.model = ModelName(std::move(request.model));
  change.label = std::move(request.label);
  if (request.base_version) change.base_version = Version(*request.base_version);
  for (size_t i = 0; i < request.tensors.size(); ++i) {
    TensorRequest& t = request.tensors[i];
    change.tensors.push_back({std::move(t.name), *std::move(types[i]), WeightBuffer(std::move(t.data))});
  }
  return change;
}

}  // namespace bwrt::runtime
