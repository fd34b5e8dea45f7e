#include "runtime/cuda/cuda_plan.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <utility>

namespace bwrt::cuda {
namespace {

template <size_t N>
void Put(char (&to)[N], const std::string& text) {
  const size_t size = std::min(text.size(), N - 1);
  std::memcpy(to, text.data(), size);
  to[size] = '\0';
}

const char* TypeName(int32_t dtype) {
  switch (dtype) {
    case BWRT_CUDA_F16:
      return "f16";
    case BWRT_CUDA_BF16:
      return "bf16";
    default:
      return "f32";
  }
}

std::string Pair(int64_t x, int64_t y) { return std::to_string(x) + "," + std::to_string(y); }

void TmemNote(const CudaPlanKey& key, BwrtCudaEffective* effective) {
  if (!key.tmem_hints) return;
  AddNote(effective, "spec.tmem_layout", "columns, phases, double_buffer", "none",
          "this GPU has no tensor memory (sm_100 has)");
}

void DescribePlain(const CudaPlanKey& key, BwrtCudaEffective* e) {
  Put(e->kernel, std::string("bwrt_plain_") + TypeName(key.dtype));
  e->stages = 1;
  e->cluster_x = 1;
  e->cluster_y = 1;
  e->k_step = kernels::kPlainGemmKStep;
  e->traversal_honoured = 1;
  if (key.bk != e->k_step) {
    AddNote(e, "spec.bk", std::to_string(key.bk), std::to_string(e->k_step),
            "the plain kernel keeps its own K step; the sum over K is the same");
  }
  if (key.stages != 1) {
    AddNote(e, "spec.stage_hint", std::to_string(key.stages), "1", "the plain kernel has no pipeline stages");
  }
  if (key.cluster_x != 1 || key.cluster_y != 1) {
    AddNote(e, "spec.cluster_shape", Pair(key.cluster_x, key.cluster_y), "1,1",
            "the plain kernel uses no thread-block clusters");
  }
  TmemNote(key, e);
}

void DescribeLt(const CudaPlanKey& key, const LtConfig& config, BwrtCudaEffective* e) {
  const auto tile = LtTileOf(config.tile);
  const auto stages = LtStagesOf(config.stages);
  const auto cluster = LtClusterOf(config.cluster);
  // Rows are our n, columns our m.
  const std::string executed = tile ? Pair(tile->cols, tile->rows) : "the library's";
  Put(e->kernel, "cublaslt-" + std::to_string(config.id) + "-tile" + std::to_string(config.tile) + "-stages" +
                     std::to_string(config.stages) + "-cluster" + std::to_string(config.cluster));
  e->stages = stages ? stages->count : 0;
  e->k_step = stages ? stages->k : 0;
  e->cluster_x = cluster ? cluster->cols : 1;
  e->cluster_y = cluster ? cluster->rows : 1;
  e->traversal_honoured = key.single_tile ? 1 : 0;
  if (!tile || tile->cols != key.bm || tile->rows != key.bn) {
    AddNote(e, "spec.bm,bn", Pair(key.bm, key.bn), executed,
            "no kernel that cuBLASLt recommends for this shape takes the tile");
  }
  if (!stages || stages->k != key.bk) {
    AddNote(e, "spec.bk", std::to_string(key.bk), stages ? std::to_string(stages->k) : "the library's",
            "cuBLASLt offers no kernel with this K step here; the sum over K is the same");
  }
  if (!stages || stages->count != key.stages) {
    AddNote(e, "spec.stage_hint", std::to_string(key.stages),
            stages && stages->count > 0 ? std::to_string(stages->count) : "as many as fit",
            "cuBLASLt's kernels for this GPU choose the number of stages themselves");
  }
  if (!cluster || cluster->cols != key.cluster_x || cluster->rows != key.cluster_y) {
    AddNote(e, "spec.cluster_shape", Pair(key.cluster_x, key.cluster_y),
            cluster ? Pair(cluster->cols, cluster->rows) : "the library's",
            "cuBLASLt takes no such cluster with the tile");
  }
  if (!key.single_tile) {
    AddNote(e, "spec.tile_order", "as listed", "the library's",
            "cuBLASLt orders tiles itself; only the order of its thread blocks could be swizzled");
  }
  TmemNote(key, e);
}

}  // namespace

void AddNote(BwrtCudaEffective* effective, const char* field, const std::string& requested, const std::string& executed,
             const char* reason) {
  if (effective->note_count >= BWRT_CUDA_MAX_NOTES) return;
  BwrtCudaNote& note = effective->notes[effective->note_count++];
  Put(note.field, field);
  Put(note.requested, requested);
  Put(note.executed, executed);
  Put(note.reason, reason);
}

int64_t ElementBytes(int32_t dtype) { return dtype == BWRT_CUDA_F32 ? 4 : 2; }

int64_t PaddedRow(int64_t cols, int32_t dtype) {
  const int64_t unit = 16 / ElementBytes(dtype);
  return (cols + unit - 1) / unit * unit;
}

CudaPlanKey CudaPlanKey::Of(const BwrtCudaWave& wave) {
  CudaPlanKey key;
  key.dtype = wave.dtype;
  key.c_dtype = wave.c_dtype;
  key.activation = wave.activation;
  key.bias = wave.bias != nullptr;
  key.reads_c = wave.beta != 0;
  key.whole = wave.whole != 0;
  key.single_tile = wave.tile_count <= 1;
  key.tmem_hints = wave.tmem_hints != 0;
  key.m = wave.m;
  key.n = wave.n;
  key.k = wave.k;
  key.w_transposed = wave.w_transposed != 0;
  const int64_t w_cols = key.w_transposed ? wave.k : wave.n;
  key.lda = PaddedRow(wave.k, wave.dtype);
  // Only what comes with the wave is padded on its way.
  key.ldw = wave.w == nullptr ? w_cols : PaddedRow(w_cols, wave.dtype);
  key.ldc = PaddedRow(wave.n, wave.c_dtype);
  key.bm = wave.bm;
  key.bn = wave.bn;
  key.bk = wave.bk;
  key.stages = wave.stages;
  key.cluster_x = wave.cluster_x;
  key.cluster_y = wave.cluster_y;
  return key;
}

LtProblem ToLtProblem(const CudaPlanKey& key) {
  LtProblem problem;
  problem.rows = key.n;
  problem.cols = key.m;
  problem.k = key.k;
  // Row-major W [k, n] is column-major [n, k]: rows first already.
  problem.a_transposed = key.w_transposed;
  problem.lda = key.ldw;
  problem.ldb = key.lda;
  problem.ldc = key.ldc;
  problem.dtype = key.dtype;
  problem.c_dtype = key.c_dtype;
  problem.activation = key.activation == BWRT_CUDA_RELU        ? LtActivation::kRelu
                       : key.activation == BWRT_CUDA_GELU_TANH ? LtActivation::kGelu
                                                               : LtActivation::kNone;
  problem.bias = key.bias;
  return problem;
}

bool LtCanRun(const CudaPlanKey& key) {
  const bool activation =
      key.activation == BWRT_CUDA_IDENTITY || key.activation == BWRT_CUDA_RELU || key.activation == BWRT_CUDA_GELU_TANH;
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  return key.whole && activation && key.m <= kMost && key.n <= kMost && key.k <= kMost;
}

CudaStatus MakePlan(CudaDriver& driver, const CudaPlanKey& key, std::shared_ptr<const CudaPlan>* to) {
  auto plan = std::make_shared<CudaPlan>();
  plan->effective.size = sizeof(plan->effective);
  if (LtCanRun(key)) {
    std::unique_ptr<LtMatmul> matmul;
    CudaStatus status = driver.CreateMatmul(ToLtProblem(key), &matmul);
    if (!status.ok()) return status;
    std::optional<LtAlgorithm> algorithm;
    if (matmul != nullptr) {
      const LtWish wish{{key.bn, key.bm}, {key.cluster_y, key.cluster_x}, {key.bk, key.stages}};
      status = ChooseAlgorithm(*matmul, wish, &algorithm);
      if (!status.ok()) return status;
    }
    if (algorithm) {
      plan->matmul = std::move(matmul);
      plan->algorithm = *algorithm;
      DescribeLt(key, algorithm->config, &plan->effective);
      *to = std::move(plan);
      return {};
    }
  }
  DescribePlain(key, &plan->effective);
  *to = std::move(plan);
  return {};
}

}  // namespace bwrt::cuda
