// Whatever is in a file of weights: the parsers of npy headers, safetensors headers and safetensors indexes each read
// it into something of which every number holds, or refuse it with a bounded error that has their reason.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "runtime/error.h"
#include "runtime/npy.h"
#include "runtime/plain_name.h"
#include "runtime/safetensors.h"
#include "runtime/safetensors_index.h"
#include "runtime/tensor_name.h"
#include "tests/fuzz/check.h"

namespace bwrt::runtime {
namespace {

void CheckRefusal(const absl::Status& status, absl::string_view reason) {
  BWRT_FUZZ_CHECK(absl::IsInvalidArgument(status));
  BWRT_FUZZ_CHECK(GetReason(status) == std::string(reason));
  // The input is not echoed at length.
  BWRT_FUZZ_CHECK(!status.message().empty() && status.message().size() < 1024);
}

// The size of a tensor of that type, which has 1 to 8 dimensions and fits.
int64_t CheckedBytes(const TensorType& type, const Limits& limits) {
  BWRT_FUZZ_CHECK(!type.shape.empty() && static_cast<int64_t>(type.shape.size()) <= limits.max_tensor_dims);
  int64_t bytes = type.dtype.size();
  for (const int64_t dim : type.shape) {
    BWRT_FUZZ_CHECK(dim > 0 && dim <= limits.max_dim);
    BWRT_FUZZ_CHECK(!__builtin_mul_overflow(bytes, dim, &bytes));
  }
  return bytes;
}

void CheckNpy(absl::string_view input, std::optional<ElementType> expected, const Limits& limits) {
  const auto header = ParseNpyHeader(input, expected, limits);
  if (!header.ok()) return CheckRefusal(header.status(), "NPY_HEADER");
  CheckedBytes(header->type, limits);
  BWRT_FUZZ_CHECK(header->data_offset > 0 && header->data_offset <= static_cast<int64_t>(input.size()));
  BWRT_FUZZ_CHECK(header->data_offset <= kMaxNpyPrefixBytes);
  // The header is all that was read.
  const auto again = ParseNpyHeader(input.substr(0, static_cast<size_t>(header->data_offset)), expected, limits);
  BWRT_FUZZ_CHECK(again.ok() && again->type == header->type);
}

void CheckSafetensors(absl::string_view input, int64_t file_bytes, const Limits& limits) {
  const auto header = ParseSafetensorsHeader(input, file_bytes, limits);
  if (!header.ok()) return CheckRefusal(header.status(), "SAFETENSORS_HEADER");
  BWRT_FUZZ_CHECK(static_cast<int64_t>(header->tensors.size()) <= limits.max_tensors);
  const int64_t data_bytes = file_bytes - header->data_offset;
  BWRT_FUZZ_CHECK(header->data_offset >= kSafetensorsLengthBytes && data_bytes >= 0);
  int64_t covered = 0;
  std::set<int64_t> begins;
  const SafetensorsEntry* before = nullptr;
  for (const SafetensorsEntry& entry : header->tensors) {
    BWRT_FUZZ_CHECK(IsTensorName(entry.name));
    BWRT_FUZZ_CHECK(before == nullptr || before->name < entry.name);
    before = &entry;
    BWRT_FUZZ_CHECK(entry.bytes > 0 && entry.bytes == CheckedBytes(entry.type, limits));
    BWRT_FUZZ_CHECK(entry.offset >= 0 && entry.offset <= data_bytes && entry.bytes <= data_bytes - entry.offset);
    BWRT_FUZZ_CHECK(begins.insert(entry.offset).second);
    covered += entry.bytes;
  }
  // As many bytes as there are, and none where another tensor begins: each byte once.
  BWRT_FUZZ_CHECK(covered == data_bytes);
}

void CheckIndex(absl::string_view input, const Limits& limits) {
  const auto index = ParseSafetensorsIndex(input, limits);
  if (!index.ok()) return CheckRefusal(index.status(), "SAFETENSORS_INDEX");
  BWRT_FUZZ_CHECK(static_cast<int64_t>(index->size()) <= kMaxSafetensorsFiles);
  std::set<std::string> all;
  for (const auto& [file, tensors] : *index) {
    BWRT_FUZZ_CHECK(IsPlainName(file) && !tensors.empty());
    for (const std::string& tensor : tensors) {
      BWRT_FUZZ_CHECK(IsTensorName(tensor) && all.insert(tensor).second);
    }
  }
  BWRT_FUZZ_CHECK(static_cast<int64_t>(all.size()) <= limits.max_tensors);
}

}  // namespace
}  // namespace bwrt::runtime

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bwrt::runtime;
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  Limits limits;
  limits.max_tensors = 4;
  CheckNpy(input, std::nullopt, limits);
  for (const ElementType::Code code : {ElementType::kBF16, ElementType::kF8E4M3, ElementType::kF8E5M2}) {
    CheckNpy(input, ElementType::FromWire(code), limits);
  }
  // Of a file that ends here, and of one that goes on.
  CheckSafetensors(input, static_cast<int64_t>(size), limits);
  CheckSafetensors(input, static_cast<int64_t>(size) + 32, limits);
  CheckIndex(input, limits);
  return 0;
}
