#include "client/commands/tensor_source.h"

#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/dtype.h"
#include "client/operands.h"

namespace bwrt::client {
namespace {

// The values of RandomMatrix, made where they are read, so that a tensor of any size needs no memory.
class RandomSource : public ByteSource {
 public:
  RandomSource(uint64_t seed, DType dtype, uint64_t elements) : seed_(seed), dtype_(dtype), elements_(elements) {}

  uint64_t size() const override { return elements_ * DTypeBytes(dtype_); }
  absl::Status Read(uint64_t offset, size_t count, char* out) const override {
    const uint64_t element_bytes = DTypeBytes(dtype_);
    const uint64_t first = offset / element_bytes;
    const uint64_t last = (offset + count + element_bytes - 1) / element_bytes;
    const uint64_t stream = OperandStream{seed_, 0, OperandStream::kW}.id();
    std::string bytes;
    bytes.reserve((last - first) * element_bytes);
    for (uint64_t i = first; i < last; ++i) AppendElement(dtype_, RandomValue(seed_, stream, i), &bytes);
    std::memcpy(out, bytes.data() + (offset - first * element_bytes), count);
    return absl::OkStatus();
  }

 private:
  const uint64_t seed_;
  const DType dtype_;
  const uint64_t elements_;
};

absl::StatusOr<TensorSource> FromTensorFlag(const std::string& text, bool source_required) {
  const auto flag = ParseTensorFlag(text, source_required);
  if (!flag.ok()) return flag.status();
  TensorSource tensor;
  tensor.manifest.set_name(flag->name);
  tensor.manifest.set_dtype(flag->dtype);
  for (const int64_t dim : flag->shape) tensor.manifest.add_shape(dim);
  if (!flag->has_source()) return tensor;
  auto bytes = OpenTensor(*flag);
  if (!bytes.ok()) return bytes.status();
  tensor.bytes = *std::move(bytes);
  tensor.manifest.add_shards()->set_bytes(tensor.bytes->size());
  return tensor;
}

absl::StatusOr<TensorSource> FromNpyFlag(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == text.size()) {
    return absl::InvalidArgumentError(absl::StrCat("--npy ", text, ": must be NAME=FILE, such as w=w.npy"));
  }
  auto bytes = FromFile(text.substr(equals + 1));
  if (!bytes.ok()) return bytes.status();
  TensorSource tensor;
  tensor.manifest.set_name(text.substr(0, equals));
  tensor.bytes = *std::move(bytes);
  v1::Shard* shard = tensor.manifest.add_shards();
  shard->set_bytes(tensor.bytes->size());
  shard->set_encoding(v1::NPY);
  return tensor;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ByteSource>> OpenTensor(const TensorFlag& flag) {
  const auto elements = CountElements(flag);
  if (!elements.ok()) return elements.status();
  if (flag.seed.has_value()) {
    if (absl::Status status = CheckRandom(flag); !status.ok()) return status;
    return std::make_shared<RandomSource>(*flag.seed, flag.dtype, *elements);
  }
  auto file = FromFile(flag.file);
  if (!file.ok()) return file.status();
  const uint64_t expected = static_cast<uint64_t>(*elements) * StoredDTypeBytes(flag.dtype);
  if ((*file)->size() != expected) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag.file, ": holds ", (*file)->size(), " bytes, the tensor's shape needs ", expected));
  }
  return std::shared_ptr<const ByteSource>(*std::move(file));
}

absl::StatusOr<std::vector<TensorSource>> OpenTensors(const TensorSourceFlags& flags, bool sources_required) {
  std::vector<TensorSource> tensors;
  for (const std::string& text : flags.tensors) {
    auto tensor = FromTensorFlag(text, sources_required);
    if (!tensor.ok()) return tensor.status();
    tensors.push_back(*std::move(tensor));
  }
  for (const std::string& text : flags.npy) {
    auto tensor = FromNpyFlag(text);
    if (!tensor.ok()) return tensor.status();
    tensors.push_back(*std::move(tensor));
  }
  std::set<absl::string_view> names;
  for (const TensorSource& tensor : tensors) {
    if (names.insert(tensor.manifest.name()).second) continue;
    return absl::InvalidArgumentError(absl::StrCat("tensor ", tensor.manifest.name(), ": is given twice"));
  }
  return tensors;
}

}  // namespace bwrt::client
