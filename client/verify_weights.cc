#include "client/verify_weights.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/draws.h"
#include "client/dtype.h"
#include "client/matrix_draw.h"
#include "client/wave_draft.h"

namespace bwrt::client {
namespace {

absl::StatusOr<v1::Tensor> MatrixTensor(uint64_t seed, const std::string& name, DType dtype, int64_t rows,
                                        int64_t columns, uint64_t max_bytes) {
  if (rows <= 0 || columns <= 0 || DTypeBytes(dtype) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("w.tensor: n and k must be positive, and spec.dtype f32, f16, bf16, f8_e4m3 or f8_e5m2; they are ",
                     columns, ", ", rows, " and ", DTypeName(dtype)));
  }
  int64_t bytes = 0;
  if (__builtin_mul_overflow(rows, columns, &bytes) || __builtin_mul_overflow(bytes, DTypeBytes(dtype), &bytes) ||
      static_cast<uint64_t>(bytes) > max_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("w.tensor: ", rows, " x ", columns, " ", DTypeName(dtype),
                                                     " are more than the ", max_bytes,
                                                     " bytes of one message; take a smaller n or k"));
  }
  v1::Tensor tensor;
  tensor.set_name(name);
  tensor.set_dtype(dtype);
  tensor.add_shape(rows);
  tensor.add_shape(columns);
  Draws draws(seed, 0);
  const Fill fill = DrawFill(&draws);
  tensor.set_data(DrawMatrix(&draws, fill, dtype, rows, columns, columns));
  return tensor;
}

}  // namespace

absl::StatusOr<PublishedModel> MakeWeights(const WeightsRecipe& recipe, const std::string& name,
                                           const v1::SubmitWaveRequest& wave, uint64_t max_bytes) {
  if (recipe.kind == WeightsRecipe::Kind::kRandomModel) return RandomModel(recipe.seed, name);
  PublishedModel model{.name = name};
  auto tensor = MatrixTensor(recipe.seed, "unused", F32, 1, 8, max_bytes);
  if (wave.w().source_case() == v1::Operand::kTensor) {
    const int64_t rows = wave.w_transposed() ? wave.n() : wave.k(), columns = wave.w_transposed() ? wave.k() : wave.n();
    tensor = MatrixTensor(recipe.seed, wave.w().tensor(), InputDTypeOf(wave, nullptr), rows, columns, max_bytes);
  }
  if (!tensor.ok()) return tensor.status();
  model.tensors.push_back(*std::move(tensor));
  return model;
}

const v1::Tensor* StoredW(const PublishedModel& model, const v1::SubmitWaveRequest& wave) {
  if (wave.w().source_case() != v1::Operand::kTensor) return nullptr;
  const auto found = std::find_if(model.tensors.begin(), model.tensors.end(),
                                  [&](const v1::Tensor& tensor) { return tensor.name() == wave.w().tensor(); });
  return found == model.tensors.end() ? nullptr : &*found;
}

}  // namespace bwrt::client
