#include "tests/bench/gemm/openblas_gemm.h"

// Not <cblas.h>, which may be another library's.
#include <openblas-pthread/cblas.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/bench/require.h"

namespace bwrt::bench {

void SetOpenblasThreads(int threads) { openblas_set_num_threads(threads); }

std::string OpenblasVersion() {
  // "OpenBLAS 0.3.21 NO_AFFINITY ...".
  const std::vector<std::string> words = absl::StrSplit(openblas_get_config(), ' ');
  return absl::StrCat(words.size() > 1 ? words[1] : "unknown", " ", openblas_get_corename());
}

OpenblasGemm::OpenblasGemm(const GemmShape& shape, const std::byte* a, const std::byte* w, int copies)
    : shape_(shape),
      a_(reinterpret_cast<const float*>(a)),
      c_(shape.m * shape.n * kernels::SizeOf(kernels::DType::kF32)) {
  Require(shape.dtype == kernels::DType::kF32, "OpenBLAS multiplies f32 only");
  for (int i = 0; i < copies; ++i) {
    weights_.emplace_back(shape.weight_bytes());
    std::memcpy(weights_.back().data(), w, static_cast<size_t>(shape.weight_bytes()));
  }
}

void OpenblasGemm::Multiply(int copy) {
  const auto m = static_cast<blasint>(shape_.m);
  const auto n = static_cast<blasint>(shape_.n);
  const auto k = static_cast<blasint>(shape_.k);
  const auto* w = reinterpret_cast<const float*>(weights_[static_cast<size_t>(copy)].data());
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1, a_, k, w, n, 0,
              reinterpret_cast<float*>(c_.data()), n);
}

}  // namespace bwrt::bench
