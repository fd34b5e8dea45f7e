// Flaws that lie in the daemon's state: models, tensors, versions, whitelist.
#include <limits>
#include <string>

#include "client/dtype.h"
#include "client/wave_flaw.h"

namespace bwrt::client {
namespace {

using absl::StatusCode;

constexpr int64_t kM = 12;

bool UnknownModel(Breaking* b) {
  b->request().set_model("no-such-model");
  b->Refuse(StatusCode::kNotFound, "MODEL_NOT_FOUND");
  return true;
}

bool UnknownTensor(Breaking* b) {
  Simplify(b, b->draws.Pick({F32, BF16, F16}), kM, 24, 32);
  // Without a dtype of its own the wave's is not even known then.
  if (b->draws.Percent(30)) b->spec()->set_dtype(DTYPE_UNSPECIFIED);
  b->request().mutable_w()->set_tensor(b->draws.Pick<std::string>({"no.such.tensor", "layers/0", "../escape", "/abs"}));
  b->Refuse(StatusCode::kNotFound, "TENSOR_NOT_FOUND");
  return true;
}

// A matrix that could be W, and which way round; null where there is none.
const v1::Tensor* PickMatrix(Breaking* b, bool* transposed) {
  if (b->space.models.empty()) return nullptr;
  const PublishedModel& model = b->draws.PickFrom(b->space.models);
  if (model.tensors.empty()) return nullptr;
  const v1::Tensor& tensor = b->draws.PickFrom(model.tensors);
  *transposed = b->draws.Percent(50);
  // In whole granules of any type that it is told to be of.
  const int64_t granules = IsF8(tensor.dtype()) ? 32 : 16;
  if (tensor.shape_size() != 2 || tensor.shape(*transposed ? 1 : 0) % granules != 0) return nullptr;
  b->request().set_model(model.name);
  b->request().clear_required_version();
  b->request().set_w_transposed(*transposed);
  return &tensor;
}

bool WeightDtype(Breaking* b) {
  bool transposed = false;
  const v1::Tensor* tensor = PickMatrix(b, &transposed);
  if (tensor == nullptr) return false;
  const DType other = tensor->dtype() == F32 ? BF16 : tensor->dtype() == BF16 ? F16 : F32;
  Simplify(b, other, kM, tensor->shape(transposed ? 0 : 1), tensor->shape(transposed ? 1 : 0));
  // Opaque bytes are of no type that a wave could take over.
  if (!IsComputed(b->space, tensor->dtype()) && b->draws.Percent(50)) b->spec()->set_dtype(DTYPE_UNSPECIFIED);
  b->request().mutable_w()->set_tensor(tensor->name());
  b->Refuse(StatusCode::kFailedPrecondition, "WEIGHT_DTYPE");
  return true;
}

bool WeightShape(Breaking* b) {
  bool transposed = false;
  const v1::Tensor* tensor = PickMatrix(b, &transposed);
  if (tensor == nullptr || !IsComputed(b->space, tensor->dtype())) return false;
  const int64_t n = tensor->shape(transposed ? 0 : 1), k = tensor->shape(transposed ? 1 : 0);
  const int64_t more = b->draws.Percent(50) ? (IsF8(tensor->dtype()) ? 32 : 16) : 0;  // In K, else in N.
  Simplify(b, tensor->dtype(), kM, n + (more == 0 ? 1 : 0), k + more);
  // Also where the wave takes its dtype from the tensor.
  if (b->draws.Percent(30)) b->spec()->set_dtype(DTYPE_UNSPECIFIED);
  b->request().mutable_w()->set_tensor(tensor->name());
  b->Refuse(StatusCode::kFailedPrecondition, "WEIGHT_SHAPE");
  return true;
}

bool NoMatrix(Breaking* b) {
  if (b->space.models.empty()) return false;
  const PublishedModel& model = b->draws.PickFrom(b->space.models);
  if (model.tensors.empty()) return false;
  const v1::Tensor& tensor = b->draws.PickFrom(model.tensors);
  if (tensor.shape_size() == 2 || !IsComputed(b->space, tensor.dtype())) return false;
  b->request().set_model(model.name);
  b->request().clear_required_version();
  Simplify(b, tensor.dtype(), kM, 1, 48);
  b->request().mutable_w()->set_tensor(tensor.name());
  b->Refuse(StatusCode::kFailedPrecondition, "WEIGHT_SHAPE");
  return true;
}

bool VersionMismatch(Breaking* b) {
  b->request().set_required_version(b->draws.Pick<uint64_t>({1'000'000, std::numeric_limits<uint64_t>::max()}));
  b->Refuse(StatusCode::kFailedPrecondition, "VERSION_MISMATCH");
  return true;
}

bool Digest(Breaking* b) {
  b->request().set_whitelist_digest(
      b->draws.Pick<std::string>({"sha256:" + std::string(64, '0'), "sha256:", "md5:1", std::string(5000, 'x')}));
  // It is checked before anything else.
  if (b->draws.Percent(50)) b->request().set_alpha(std::numeric_limits<float>::quiet_NaN());
  b->Refuse(StatusCode::kFailedPrecondition, "WHITELIST_MISMATCH");
  return true;
}

}  // namespace

std::vector<Flaw> StateFlaws() {
  return {
      {"unknown model", WavePart::kAlone, UnknownModel},
      {"unknown tensor", WavePart::kAlone, UnknownTensor},
      {"stored w of another dtype", WavePart::kAlone, WeightDtype},
      {"stored w of another shape", WavePart::kAlone, WeightShape},
      {"stored w is no matrix", WavePart::kAlone, NoMatrix},
      {"required version not current", WavePart::kAlone, VersionMismatch},
      {"another whitelist", WavePart::kAlone, Digest},
  };
}

}  // namespace bwrt::client
