#include "client/operands.h"

#include "absl/strings/str_cat.h"
#include "client/dtype.h"

namespace bwrt::client {
namespace {

constexpr uint64_t kGamma = 0x9e3779b97f4a7c15;

constexpr uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

constexpr uint64_t Key(uint64_t seed, uint64_t stream) { return Mix(Mix(seed + kGamma) + (stream + 1) * kGamma); }

float ValueAt(uint64_t key, uint64_t index) {
  const auto upper = static_cast<int32_t>(Mix(key + (index + 1) * kGamma) >> 40);
  return static_cast<float>(upper - (1 << 23)) * 0x1p-23f;
}

}  // namespace

float RandomValue(uint64_t seed, uint64_t stream, uint64_t index) { return ValueAt(Key(seed, stream), index); }

absl::StatusOr<std::string> RandomMatrix(const OperandStream& stream, DType dtype, int64_t rows, int64_t columns) {
  constexpr int64_t kMaxBytes = (int64_t{1} << 31) - 1;
  const int64_t element_bytes = DTypeBytes(dtype);
  if (rows < 0 || columns < 0 || element_bytes == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("no matrix of ", rows, " x ", columns, " ", DTypeName(dtype), " elements"));
  }
  if (rows != 0 && columns > kMaxBytes / element_bytes / rows) {
    return absl::ResourceExhaustedError(absl::StrCat("a matrix of ", rows, " x ", columns, " ", DTypeName(dtype),
                                                     " elements exceeds the ", kMaxBytes, " bytes of one message"));
  }
  const int64_t count = rows * columns;
  const uint64_t key = Key(stream.seed, stream.id());
  std::string bytes;
  bytes.reserve(count * element_bytes);
  for (int64_t i = 0; i < count; ++i) AppendElement(dtype, ValueAt(key, i), &bytes);
  return bytes;
}

}  // namespace bwrt::client
