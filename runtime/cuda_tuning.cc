#include "runtime/cuda_tuning.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace bwrt::runtime {
namespace {

constexpr absl::string_view kFormat = "1";

// Calls `field` with each number, in the order of the text.
template <typename Tuning, typename Field>
void Each(Tuning& t, const Field& field) {
  for (auto* number : {&t.dtype, &t.c_dtype, &t.activation, &t.bias, &t.w_transposed}) field(*number);
  for (auto* number : {&t.m, &t.n, &t.k, &t.lda, &t.ldw, &t.ldc}) field(*number);
  for (auto* number : {&t.bm, &t.bn, &t.bk, &t.stages, &t.cluster_x, &t.cluster_y, &t.algorithm}) field(*number);
  for (auto* number : {&t.tile, &t.tile_stages, &t.cluster, &t.swizzling}) field(*number);
  field(t.split_k);
  for (auto* number : {&t.reduction, &t.inner_shape, &t.custom}) field(*number);
  for (auto* number : {&t.median_ns, &t.first_ns}) field(*number);
}

}  // namespace

std::string FormatCudaTuning(const BwrtCudaTuning& tuning) {
  std::string text(kFormat);
  Each(tuning, [&text](auto number) { absl::StrAppend(&text, " ", number); });
  return text;
}

std::optional<BwrtCudaTuning> ParseCudaTuning(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ' ');
  if (parts[0] != kFormat) return std::nullopt;
  BwrtCudaTuning tuning{};
  tuning.size = sizeof(tuning);
  size_t next = 1;
  bool good = true;
  Each(tuning, [&](auto& number) {
    good = good && next < parts.size() && absl::SimpleAtoi(parts[next], &number);
    ++next;
  });
  if (!good || next != parts.size()) return std::nullopt;
  return tuning;
}

}  // namespace bwrt::runtime
