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
    case BWRT_CUDA_F8_E4M3:
      return "f8_e4m3";
    case BWRT_CUDA_F8_E5M2:
      return "f8_e5m2";
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
  Put(e->kernel, LtKernelName(config));
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

void DescribeWgmma(const CudaPlanKey& key, const kernels::WgmmaChoice& choice, BwrtCudaEffective* e) {
  const kernels::WgmmaKernel& kernel = choice.kernel;
  Put(e->kernel, kernels::NameOf(kernel));
  e->stages = choice.stages;
  e->k_step = kernels::StepOf(kernel);
  e->cluster_x = choice.cluster > 1 ? key.cluster_x : 1;
  e->cluster_y = choice.cluster > 1 ? key.cluster_y : 1;
  e->traversal_honoured = 1;
  if (kernel.swapped) {
    AddNote(e, "spec.bm,bn", Pair(key.bm, key.bn), Pair(kernel.cols, kernel.rows),
            "a wave of at most 64 rows runs with A and W swapped, so that it reads W at memory speed");
  }
  if (e->k_step != key.bk) {
    AddNote(e, "spec.bk", std::to_string(key.bk), std::to_string(e->k_step),
            kernel.swapped ? "the skinny kernel keeps its own K step; the sum over K is the same"
                           : "a K step of the Hopper kernel has at least 128 bytes; the sum over K is the same");
  }
  if (e->stages != key.stages) {
    AddNote(e, "spec.stage_hint", std::to_string(key.stages), std::to_string(e->stages),
            kernel.swapped               ? "the skinny kernel takes as many as fit into shared memory"
            : key.stages < choice.stages ? "the Hopper kernel has two stages at least"
                                         : "more do not fit into shared memory with this tile");
  }
  if (e->cluster_x != key.cluster_x || e->cluster_y != key.cluster_y) {
    AddNote(e, "spec.cluster_shape", Pair(key.cluster_x, key.cluster_y), Pair(e->cluster_x, e->cluster_y),
            "the skinny kernel uses no thread-block clusters");
  }
  if (choice.splits > 1) {
    AddNote(e, "split_k", "1", std::to_string(choice.splits),
            "K is split among blocks, and the parts are added up in f32 in their order");
  }
  TmemNote(key, e);
}

// Why the Hopper kernel does not run the wave; empty where it does, which is then in *choice. Null where nobody asks.
const char* WhyNotWgmma(const CudaPlanKey& key, const CudaKernels& kernels, kernels::WgmmaChoice* choice) {
  const bool wished = kernels.wish == BWRT_CUDA_KERNEL_OWN;
  if (!wished && kernels.wish != BWRT_CUDA_KERNEL_AUTO) return nullptr;
  if (!kernels.hopper) return wished ? "the Hopper kernel runs on GPUs of compute capability 9.0 alone" : nullptr;
  if (!kernels.all_off.empty()) return "the Hopper kernel is off: its check failed on this GPU";
  kernels::WgmmaProblem problem;
  problem.m = key.m;
  problem.n = key.n;
  problem.k = key.k;
  problem.dtype = key.dtype;
  problem.c_dtype = key.c_dtype;
  problem.w_transposed = key.w_transposed;
  problem.lda = key.lda;
  problem.ldw = key.ldw;
  problem.ldc = key.ldc;
  problem.bm = key.bm;
  problem.bn = key.bn;
  problem.bk = key.bk;
  problem.stages = key.stages;
  problem.cluster_x = key.cluster_x;
  problem.cluster_y = key.cluster_y;
  *choice = kernels::ChooseWgmma(problem, kernels.multiprocessors);
  if (!choice->supported()) return wished || key.dtype != BWRT_CUDA_F32 ? choice->reason : nullptr;
  if (kernels.off.count(choice->kernel) != 0) {
    return "this instantiation of the Hopper kernel is off: it failed its check on this GPU";
  }
  return "";
}

CudaStatus TryCublasLt(CudaDriver& driver, const CudaPlanKey& key, const CudaTuningTable* tunings, CudaPlan* plan) {
  std::unique_ptr<LtMatmul> matmul;
  if (CudaStatus status = driver.CreateMatmul(ToLtProblem(key), &matmul); !status.ok()) return status;
  if (matmul == nullptr) return {};
  std::optional<LtAlgorithm> algorithm;
  const LtWish wish = ToLtWish(key);
  if (const auto tuned = tunings == nullptr ? std::nullopt : tunings->Find(ToLtProblem(key), wish)) {
    bool legal = false;
    if (CudaStatus status = matmul->Check(*tuned, kLtWorkspace, &legal, &algorithm.emplace()); !status.ok()) {
      return status;
    }
    if (!legal) algorithm.reset();
  }
  if (!algorithm) {
    if (CudaStatus status = ChooseAlgorithm(*matmul, wish, &algorithm); !status.ok()) return status;
  }
  if (!algorithm) return {};
  plan->matmul = std::move(matmul);
  plan->algorithm = *algorithm;
  DescribeLt(key, algorithm->config, &plan->effective);
  return {};
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

int64_t ElementBytes(int32_t dtype) {
  switch (dtype) {
    case BWRT_CUDA_F32:
      return 4;
    case BWRT_CUDA_F8_E4M3:
    case BWRT_CUDA_F8_E5M2:
      return 1;
    default:
      return 2;
  }
}

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
  if (ElementBytes(key.dtype) == 1) {
    // The library multiplies no two e5m2, wants both operands along K, in rows of 16 bytes, and a bias of 16 bits.
    const bool aligned = key.ldw % 16 == 0 && key.n % 16 == 0 && key.k % 16 == 0;
    if (key.dtype != BWRT_CUDA_F8_E4M3 || !key.w_transposed || !aligned) return false;
    if (key.bias && key.c_dtype == BWRT_CUDA_F32) return false;
  }
  return key.whole && activation && key.m <= kMost && key.n <= kMost && key.k <= kMost;
}

void DescribePairs(const CudaPlan& plan, const BwrtCudaWave& wave, BwrtCudaEffective* effective) {
  if (!plan.wgmma || plan.choice.cluster != 2 || wave.tiles == nullptr) return;
  // What the kernel will find: even entries with the odd ones behind them.
  int64_t unpaired = wave.tile_count % 2;
  for (int64_t i = 0; i + 1 < wave.tile_count; i += 2) {
    const uint32_t different = wave.tiles[i] ^ wave.tiles[i + 1];
    if ((different & 0xffff0000u) != 0 && (different & 0xffffu) != 0) unpaired += 2;
  }
  if (unpaired == 0) return;
  AddNote(effective, "multicast", "all tiles",
          std::to_string(wave.tile_count - unpaired) + " of " + std::to_string(wave.tile_count),
          "two tiles share an operand only where neighbours in the order have a row or column in common");
}

LtWish ToLtWish(const CudaPlanKey& key) {
  return {{key.bn, key.bm}, {key.cluster_y, key.cluster_x}, {key.bk, key.stages}};
}

std::string LtKernelName(const LtConfig& config) {
  std::string name = "cublaslt-" + std::to_string(config.id) + "-tile" + std::to_string(config.tile) + "-stages" +
                     std::to_string(config.stages) + "-cluster" + std::to_string(config.cluster);
  if (config.split_k > 1) name += "-split" + std::to_string(config.split_k);
  return name;
}

CudaStatus MakePlan(CudaDriver& driver, const CudaPlanKey& key, const CudaKernels& kernels,
                    const CudaTuningTable* tunings, std::shared_ptr<const CudaPlan>* to) {
  auto plan = std::make_shared<CudaPlan>();
  plan->effective.size = sizeof(plan->effective);
  const char* const why_not = WhyNotWgmma(key, kernels, &plan->choice);
  if (why_not != nullptr && *why_not == '\0') {
    plan->wgmma = true;
    DescribeWgmma(key, plan->choice, &plan->effective);
    *to = std::move(plan);
    return {};
  }
  if (kernels.wish != BWRT_CUDA_KERNEL_PLAIN && LtCanRun(key)) {
    if (CudaStatus status = TryCublasLt(driver, key, tunings, plan.get()); !status.ok()) return status;
  }
  if (plan->matmul == nullptr) DescribePlain(key, &plan->effective);
  if (why_not != nullptr) {
    AddNote(&plan->effective, "cuda_kernel", "own", plan->matmul != nullptr ? "cublaslt" : "plain", why_not);
  }
  *to = std::move(plan);
  return {};
}

}  // namespace bwrt::cuda
