#include "client/commands/tensor_source.h"

#include <algorithm>
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

absl::StatusOr<TensorSource> FromTensorFlag(const std::string& text, const TensorSourceFlags& flags,
                                            bool source_required) {
  auto flag = ParseTensorFlag(text, source_required);
  if (!flag.ok()) return flag.status();
  TensorSource tensor;
  tensor.manifest.set_name(flag->name);
  tensor.manifest.set_dtype(flag->dtype);
  for (const int64_t dim : flag->shape) tensor.manifest.add_shape(dim);
  const auto elements = CountElements(*flag);
  if (!elements.ok()) return elements.status();
  const int64_t rows = flag->shape.front();
  if (flags.ranks > static_cast<uint64_t>(rows)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tensor ", text, ": has ", rows, " rows, too few for --ranks ", flags.ranks));
  }
  const uint64_t row_bytes = static_cast<uint64_t>(*elements / rows) * StoredDTypeBytes(flag->dtype);
  std::shared_ptr<const ByteSource> bytes;
  uint64_t first = 0;  // That of the tensor's bytes with which the source begins.
  if (flag->has_source()) {
    // A file of one shard is as large as that; random elements are always the whole tensor's.
    if (flags.rank.has_value() && !flag->seed.has_value()) {
      const ShardRows own = RowsOf(rows, *flags.rank, flags.ranks);
      flag->shape.front() = own.end - own.begin;
      first = static_cast<uint64_t>(own.begin) * row_bytes;
    }
    auto opened = OpenTensor(*flag);
    if (!opened.ok()) return opened.status();
    bytes = *std::move(opened);
  }
  if (bytes == nullptr && flags.ranks == 1) return tensor;  // Of one shard the daemon knows the size.
  for (uint32_t rank = 0; rank < flags.ranks; ++rank) {
    const ShardRows own = RowsOf(rows, rank, flags.ranks);
    const uint64_t begin = static_cast<uint64_t>(own.begin) * row_bytes;
    const uint64_t size = static_cast<uint64_t>(own.end - own.begin) * row_bytes;
    v1::Shard* shard = tensor.manifest.add_shards();
    shard->set_rank(rank);
    shard->set_bytes(size);
    const bool there = bytes != nullptr && flags.rank.value_or(rank) == rank;
    tensor.shards.push_back(there ? PartOf(bytes, begin - first, size) : nullptr);
  }
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
  v1::Shard* shard = tensor.manifest.add_shards();
  shard->set_bytes((*bytes)->size());
  shard->set_encoding(v1::NPY);
  tensor.shards.push_back(*std::move(bytes));
  return tensor;
}

}  // namespace

ShardRows RowsOf(int64_t rows, uint32_t rank, uint32_t ranks) {
  const int64_t each = rows / ranks;
  const int64_t more = rows % ranks;  // So many shards have a row more.
  const auto begin = [&](int64_t r) { return r * each + std::min(r, more); };
  return {begin(rank), begin(int64_t{rank} + 1)};
}

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
  if (flags.rank.value_or(0) >= flags.ranks) {
    return absl::InvalidArgumentError(
        absl::StrCat("--rank ", *flags.rank, ": ranks begin at 0 and end below --ranks, which is ", flags.ranks));
  }
  if (flags.ranks > 1 && !flags.npy.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--npy ", flags.npy.front(), ": a .npy file is one shard; use --tensor with --ranks"));
  }
  std::vector<TensorSource> tensors;
  for (const std::string& text : flags.tensors) {
    auto tensor = FromTensorFlag(text, flags, sources_required);
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
