#include "client/commands/tensor_flag.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/dtype.h"
#include "client/file.h"
#include "client/operands.h"

namespace bwrt::client {
namespace {

// One message carries less than this.
constexpr int64_t kMaxMessageElements = int64_t{1} << 31;
// No element is larger than 8 bytes.
constexpr int64_t kMaxElements = int64_t{1} << 59;

// "NAME:DTYPE:DIMSxDIMS". False: it is something else.
bool ParseDescription(absl::string_view text, TensorFlag* flag) {
  const size_t dims_colon = text.rfind(':');
  if (dims_colon == absl::string_view::npos || dims_colon == 0) return false;
  const size_t dtype_colon = text.rfind(':', dims_colon - 1);
  if (dtype_colon == absl::string_view::npos) return false;
  const auto dtype = ParseStoredDType(text.substr(dtype_colon + 1, dims_colon - dtype_colon - 1));
  if (!dtype.has_value()) return false;
  flag->shape.clear();
  for (const absl::string_view part : absl::StrSplit(text.substr(dims_colon + 1), 'x')) {
    if (!absl::SimpleAtoi(part, &flag->shape.emplace_back())) return false;
  }
  flag->dtype = *dtype;
  flag->name = std::string(text.substr(0, dtype_colon));
  return true;
}

}  // namespace

absl::StatusOr<TensorFlag> ParseTensorFlag(absl::string_view text, bool source_required) {
  TensorFlag flag;
  // The first '=' that a description stands before, as names and files may hold others.
  for (size_t equals = text.find('='); equals != absl::string_view::npos; equals = text.find('=', equals + 1)) {
    if (!ParseDescription(text.substr(0, equals), &flag)) continue;
    absl::string_view source = text.substr(equals + 1);
    if (absl::ConsumePrefix(&source, "random:")) {
      uint64_t seed = 0;
      if (!absl::SimpleAtoi(source, &seed)) {
        return absl::InvalidArgumentError(
            absl::StrCat("--tensor ", text, ": the seed must be an integer from 0 to 2^64 - 1"));
      }
      flag.seed = seed;
    } else if (source.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("--tensor ", text, ": the file is missing"));
    } else {
      flag.file = std::string(source);
    }
    return flag;
  }
  if (!source_required && ParseDescription(text, &flag)) return flag;
  return absl::InvalidArgumentError(
      absl::StrCat("--tensor ", text, ": must be NAME:DTYPE:DIMSxDIMS=FILE or NAME:DTYPE:DIMSxDIMS=random:SEED",
                   source_required ? "" : ", or end before the '='", ", such as w:f32:512x256=random:1"));
}

absl::StatusOr<int64_t> CountElements(const TensorFlag& flag) {
  int64_t elements = 1;
  for (const int64_t dim : flag.shape) {
    if (dim <= 0 || elements > kMaxElements / dim) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--tensor ", flag.name, ": dimensions must be positive, and at most ", kMaxElements, " elements together"));
    }
    elements *= dim;
  }
  return elements;
}

absl::Status CheckRandom(const TensorFlag& flag) {
  if (DTypeBytes(flag.dtype) != 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--tensor ", flag.name, ": ", StoredDTypeName(flag.dtype),
                                                 " can't be drawn at random; give a file"));
}

absl::StatusOr<v1::Tensor> LoadTensor(const TensorFlag& flag) {
  v1::Tensor tensor;
  tensor.set_name(flag.name);
  tensor.set_dtype(flag.dtype);
  for (const int64_t dim : flag.shape) tensor.add_shape(dim);
  const auto elements = CountElements(flag);
  if (!elements.ok()) return elements.status();
  if (*elements > kMaxMessageElements) {
    return absl::InvalidArgumentError(absl::StrCat("--tensor ", flag.name, ": has ", *elements,
                                                   " elements; one message takes at most ", kMaxMessageElements,
                                                   ", weights push more"));
  }
  if (flag.seed.has_value()) {
    if (absl::Status status = CheckRandom(flag); !status.ok()) return status;
    auto bytes = RandomMatrix({*flag.seed, 0, OperandStream::kW}, flag.dtype, 1, *elements);
    if (!bytes.ok()) return bytes.status();
    tensor.set_data(*std::move(bytes));
    return tensor;
  }
  auto bytes = ReadFile(flag.file);
  if (!bytes.ok()) return bytes.status();
  const int64_t expected = *elements * StoredDTypeBytes(flag.dtype);
  if (static_cast<int64_t>(bytes->size()) != expected) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag.file, ": holds ", bytes->size(), " bytes, the tensor's shape needs ", expected));
  }
  tensor.set_data(*std::move(bytes));
  return tensor;
}

}  // namespace bwrt::client
