// OnednnGemm: the contender that is oneDNN's own matmul, as its documentation says to use it for speed: W reordered
// once into the layout that the primitive prefers; primitive, memory objects and arguments made once.
#ifndef BWRT_TESTS_BENCH_GEMM_ONEDNN_GEMM_H_
#define BWRT_TESTS_BENCH_GEMM_ONEDNN_GEMM_H_

#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/bench/gemm/contender.h"
#include "tests/bench/gemm/gemm_shape.h"
#include "tests/bench/gemm/matrix_buffer.h"

namespace bwrt::bench {

// How many threads oneDNN's calls from this thread use, from the creation of a primitive on.
void SetOnednnThreads(int threads);

// Version and what instruction set it dispatches to, such as "2.6.3 avx512_core_bf16".
std::string OnednnVersion();

dnnl::memory::data_type OnednnType(kernels::DType dtype);

class OnednnGemm final : public Contender {
 public:
  // `a` [m, k] is read in place by every Multiply; `w` [k, n] is copied.
  OnednnGemm(const GemmShape& shape, const std::byte* a, const std::byte* w, int copies);

  void Multiply(int copy) override;
  const std::byte* c() const override { return c_.data(); }

  // The implementation that oneDNN chose, such as "brg:avx512_core_bf16".
  const std::string& implementation() const { return implementation_; }

 private:
  const dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  MatrixBuffer c_;
  std::vector<MatrixBuffer> weights_;
  dnnl::matmul matmul_;
  std::vector<std::unordered_map<int, dnnl::memory>> arguments_;  // By copy.
  std::string implementation_;
};

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GEMM_ONEDNN_GEMM_H_
