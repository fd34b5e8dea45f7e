#include "tests/bench/gemm/onednn_gemm.h"

#include <cstring>

#include "absl/strings/str_cat.h"

// Of the OpenMP runtime that oneDNN is linked with. Its header comes with gcc alone.
extern "C" void omp_set_num_threads(int threads);

namespace bwrt::bench {
namespace {

std::string IsaName(dnnl::cpu_isa isa) {
  switch (isa) {
    case dnnl::cpu_isa::sse41:
      return "sse41";
    case dnnl::cpu_isa::avx:
      return "avx";
    case dnnl::cpu_isa::avx2:
      return "avx2";
    case dnnl::cpu_isa::avx2_vnni:
      return "avx2_vnni";
    case dnnl::cpu_isa::avx512_core:
      return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "avx512_core_bf16";
    case dnnl::cpu_isa::avx512_core_amx:
      return "avx512_core_amx";
    default:
      return absl::StrCat("isa ", static_cast<int>(isa));
  }
}

}  // namespace

void SetOnednnThreads(int threads) { omp_set_num_threads(threads); }

std::string OnednnVersion() {
  const dnnl::version_t* version = dnnl::version();
  return absl::StrCat(version->major, ".", version->minor, ".", version->patch, " ",
                      IsaName(dnnl::get_effective_cpu_isa()));
}

dnnl::memory::data_type OnednnType(kernels::DType dtype) {
  return dtype == kernels::DType::kF32 ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
}

OnednnGemm::OnednnGemm(const GemmShape& shape, const std::byte* a, const std::byte* w, int copies)
    : c_(shape.m * shape.n * kernels::SizeOf(shape.dtype)) {
  using Tag = dnnl::memory::format_tag;
  const auto type = OnednnType(shape.dtype);
  const dnnl::memory::desc a_desc({shape.m, shape.k}, type, Tag::ab);
  const dnnl::memory::desc plain_desc({shape.k, shape.n}, type, Tag::ab);
  const dnnl::memory::desc any_desc({shape.k, shape.n}, type, Tag::any);
  const dnnl::memory::desc c_desc({shape.m, shape.n}, type, Tag::ab);
  const dnnl::matmul::primitive_desc chosen(dnnl::matmul::desc(a_desc, any_desc, c_desc), engine_);
  matmul_ = dnnl::matmul(chosen);
  implementation_ = chosen.impl_info_str();

  const dnnl::memory::desc w_desc = chosen.weights_desc();
  // oneDNN does not write to what it multiplies.
  dnnl::memory a_memory(a_desc, engine_, const_cast<std::byte*>(a));
  dnnl::memory c_memory(c_desc, engine_, c_.data());
  for (int i = 0; i < copies; ++i) {
    weights_.emplace_back(static_cast<int64_t>(w_desc.get_size()));
    dnnl::memory w_memory(w_desc, engine_, weights_.back().data());
    if (i == 0) {
      dnnl::memory plain(plain_desc, engine_, const_cast<std::byte*>(w));
      dnnl::reorder(plain, w_memory).execute(stream_, plain, w_memory);
      stream_.wait();
    } else {
      std::memcpy(weights_.back().data(), weights_.front().data(), w_desc.get_size());
    }
    arguments_.push_back({{DNNL_ARG_SRC, a_memory}, {DNNL_ARG_WEIGHTS, w_memory}, {DNNL_ARG_DST, c_memory}});
  }
}

void OnednnGemm::Multiply(int copy) {
  matmul_.execute(stream_, arguments_[static_cast<size_t>(copy)]);
  stream_.wait();
}

}  // namespace bwrt::bench
