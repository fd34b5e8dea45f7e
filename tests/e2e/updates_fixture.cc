#include "tests/e2e/updates_fixture.h"

#include <cstring>
#include <filesystem>

namespace bwrt::e2e {

std::string Rows(int64_t rows, float value) {
  std::string bytes(static_cast<size_t>(rows) * kRowBytes, '\0');
  for (size_t at = 0; at < bytes.size(); at += sizeof(float)) std::memcpy(&bytes[at], &value, sizeof(value));
  return bytes;
}

std::string Ramp(int64_t rows) {
  std::string bytes;
  for (int64_t row = 0; row < rows; ++row) bytes += Rows(1, static_cast<float>(row));
  return bytes;
}

v1::TensorManifest Matrix(const std::string& name, int64_t rows) {
  v1::TensorManifest tensor;
  tensor.set_name(name);
  tensor.set_dtype(F32);
  tensor.add_shape(rows);
  tensor.add_shape(kColumns);
  return tensor;
}

v1::TensorManifest Vector(const std::string& name, int64_t rows) {
  v1::TensorManifest tensor = Matrix(name, 1);
  tensor.clear_shape();
  tensor.add_shape(rows * kColumns);
  return tensor;
}

v1::BeginUpdateRequest BeginOf(const std::string& id, std::vector<v1::TensorManifest> tensors,
                               const std::string& model) {
  v1::BeginUpdateRequest request;
  request.set_update_id(id);
  request.set_model(model);
  request.set_label(id);
  for (v1::TensorManifest& tensor : tensors) *request.add_tensors() = std::move(tensor);
  return request;
}

v1::StageWeightsRequest ShardOf(const std::string& id, const std::string& tensor, uint32_t rank,
                                const std::string& data) {
  v1::StageWeightsRequest request = ChunkOf(id, tensor, 0, data);
  request.mutable_chunk()->set_rank(rank);
  return request;
}

v1::ReadTensorRequest ReadOf(const std::string& tensor, const std::string& model) {
  v1::ReadTensorRequest request;
  request.set_model(model);
  request.set_tensor(tensor);
  return request;
}

std::vector<std::string> Reasons(const absl::Status& status) {
  std::vector<std::string> reasons;
  for (const auto& violation : client::DetailsOf(status).field_violations) reasons.push_back(violation.reason);
  return reasons;
}

std::set<std::string> FilesIn(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) names.insert(entry.path().filename());
  return names;
}

}  // namespace bwrt::e2e
