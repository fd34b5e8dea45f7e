#include "runtime/state/manifest.h"

#include <limits>
#include <utility>

#include "runtime/error.h"
#include "runtime/limits.h"
#include "runtime/state/json_text.h"

namespace bwrt::runtime {
namespace {

Json ToJson(const StoredTensor& tensor) {
  return {{"name", tensor.name},
          {"dtype", std::string(tensor.type.dtype.name())},
          {"shape", tensor.type.shape},
          {"version", tensor.version.value()},
          {"blob", tensor.where.blob.ToString()},
          {"offset", tensor.where.offset},
          {"bytes", tensor.where.bytes},
          {"digest", tensor.digest.ToString()}};
}

std::string ToText(const StoredVersion& version) {
  Json tensors = Json::array();
  for (const StoredTensor& tensor : version.tensors) tensors.push_back(ToJson(tensor));
  return Dump({{"model", version.model},
               {"version", version.number.value()},
               {"label", version.label},
               {"restored_from", version.restored_from.value()},
               {"tensors", std::move(tensors)}});
}

bool GetType(const Json& json, TensorType* type) {
  std::string name;
  const Json* shape = GetArray(json, "shape");
  if (!Get(json, "dtype", &name) || shape == nullptr) return false;
  bool known = false;
  for (int code = ElementType::kF32; code <= ElementType::kF8E5M2 && !known; ++code) {
    const auto dtype = ElementType::FromWire(code);
    known = name == dtype->name();
    if (known) type->dtype = *dtype;
  }
  if (!known || static_cast<int64_t>(shape->size()) > Limits().max_tensor_dims) return false;
  int64_t bytes = type->dtype.size();
  for (const Json& dim : *shape) {
    if (!dim.is_number_unsigned()) return false;
    const auto d = dim.get<uint64_t>();
    if (d == 0 || d > static_cast<uint64_t>(std::numeric_limits<int64_t>::max() / bytes)) return false;
    bytes *= static_cast<int64_t>(d);
    type->shape.push_back(static_cast<int64_t>(d));
  }
  return true;
}

bool GetTensor(const Json& json, StoredTensor* tensor) {
  BlobSlice& where = tensor->where;
  return Get(json, "name", &tensor->name) && !tensor->name.empty() && tensor->name.size() <= kMaxTensorNameBytes &&
         GetType(json, &tensor->type) && Get(json, "version", &tensor->version) && Get(json, "blob", &where.blob) &&
         Get(json, "offset", &where.offset) && Get(json, "bytes", &where.bytes) &&
         where.bytes == tensor->type.bytes().value() &&
         where.offset <= std::numeric_limits<int64_t>::max() - where.bytes && Get(json, "digest", &tensor->digest);
}

bool GetVersion(const Json& json, StoredVersion* version) {
  const Json* tensors = GetArray(json, "tensors");
  if (!Get(json, "model", &version->model) || version->model.empty() || !Get(json, "version", &version->number) ||
      !Get(json, "label", &version->label) || !Get(json, "restored_from", &version->restored_from) ||
      tensors == nullptr || static_cast<int64_t>(tensors->size()) > Limits().max_tensors) {
    return false;
  }
  version->tensors.reserve(tensors->size());
  for (const Json& element : *tensors) {
    StoredTensor tensor;
    if (!GetTensor(element, &tensor)) return false;
    if (!version->tensors.empty() && version->tensors.back().name >= tensor.name) return false;
    version->tensors.push_back(std::move(tensor));
  }
  return true;
}

}  // namespace

absl::StatusOr<std::string> EncodeManifest(const StoredVersion& version) {
  std::string text = ToText(version);
  const auto back = ParseManifest(text);
  if (static_cast<int64_t>(text.size()) > kMaxManifestBytes || !back.ok() || *back != version) {
    return absl::InvalidArgumentError(
        "the version can't be stored: its texts must be UTF-8, its tensors sorted by name and each as large as its "
        "type says");
  }
  return text;
}

absl::StatusOr<StoredVersion> ParseManifest(absl::string_view text) {
  StoredVersion version;
  const auto json = ParseJson(text);
  if (!json || !GetVersion(*json, &version) || ToText(version) != text) {
    return MakeError(absl::StatusCode::kDataLoss, "STATE_DIR_DAMAGED", "the text is no manifest");
  }
  return version;
}

}  // namespace bwrt::runtime
