#include "kernels/cuda/wgmma_gemm_cuda.h"

#include <algorithm>
#include <limits>

#include "kernels/cuda/wgmma_shape_cuda.h"

namespace bwrt::kernels {
namespace {

struct Tile {
  int32_t bm, bn, bk;
};
constexpr Tile kTiles[] = {{128, 128, 64}, {128, 256, 64}, {256, 128, 64}, {128, 128, 128}};
constexpr int32_t kSkinnyCols[] = {16, 64};
constexpr int32_t kSkinnyX = 128;
constexpr int32_t kSkinnySlabs = 2;
constexpr int32_t kMaxSplits = 16;

bool IsF8(int32_t dtype) { return dtype == kWgmmaE4M3 || dtype == kWgmmaE5M2; }
int32_t BytesOf(int32_t dtype) { return IsF8(dtype) ? 1 : dtype == kWgmmaF32 ? 4 : 2; }
int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

const char* TypeName(int32_t dtype) {
  switch (dtype) {
    case kWgmmaF16:
      return "f16";
    case kWgmmaBF16:
      return "bf16";
    case kWgmmaE4M3:
      return "f8_e4m3";
    case kWgmmaE5M2:
      return "f8_e5m2";
    default:
      return "f32";
  }
}

// 128 bytes of K make a slab: bk = 64 of a one-byte type is half of one.
int32_t SlabsOf(int32_t bk, int32_t dtype) { return std::max<int32_t>(1, bk * BytesOf(dtype) / kSwizzleBytes); }

int32_t PiecesBytes(const WgmmaKernel& kernel) {
  return (kernel.swapped ? 16 * 20 * 4 : 16 * 40 * 4) * kWgmmaConsumers * 4;
}

const char* WhyNot(const WgmmaProblem& p) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max() - 256;  // TMA's coordinates, and a tile beyond.
  if (p.dtype != kWgmmaF16 && p.dtype != kWgmmaBF16 && !IsF8(p.dtype)) {
    return "the Hopper kernel multiplies f16, bf16 and fp8, not f32";
  }
  const int32_t narrow = IsF8(p.dtype) ? kWgmmaBF16 : p.dtype;
  if (p.c_dtype != kWgmmaF32 && p.c_dtype != narrow) return "the Hopper kernel writes no C of this type";
  if (IsF8(p.dtype) && !p.w_transposed) return "wgmma takes fp8 with W as [N, K] alone: publish it transposed";
  if (p.m > kMost || p.n > kMost || p.k > kMost) return "a dimension is too large for TMA";
  constexpr int64_t kMostTiles = int64_t{1} << 25;  // Times parts and splits below 2^31.
  if (CeilDiv(p.m, p.bm) > kMostTiles || CeilDiv(p.m, p.bm) * CeilDiv(p.n, p.bn) > kMostTiles) {
    return "the grid has more tiles than the Hopper kernel counts";
  }
  const int32_t in = BytesOf(p.dtype);
  if (p.lda * in % 16 != 0) return "TMA needs rows of A to begin at multiples of 16 bytes";
  if (p.ldw * in % 16 != 0) return "TMA needs rows of W to begin at multiples of 16 bytes";
  if (p.ldc * BytesOf(p.c_dtype) % 16 != 0) return "rows of C do not begin at multiples of 16 bytes";
  return "";
}

}  // namespace

std::string NameOf(const WgmmaKernel& kernel) {
  const std::string type = TypeName(kernel.dtype);
  const std::string layout = kernel.w_transposed ? "_nk" : "_kn";
  if (kernel.swapped) return "bwrt_skinny_" + type + "_" + std::to_string(kernel.cols) + layout;
  return "bwrt_wgmma_" + type + "_" + std::to_string(kernel.rows) + "x" + std::to_string(kernel.cols) + "x" +
         std::to_string(StepOf(kernel)) + layout;
}

std::vector<WgmmaKernel> AllWgmmaKernels() {
  std::vector<WgmmaKernel> all;
  const auto add = [&](const WgmmaKernel& kernel) {
    if (std::find(all.begin(), all.end(), kernel) == all.end()) all.push_back(kernel);
  };
  for (const int32_t dtype : {kWgmmaBF16, kWgmmaF16, kWgmmaE4M3, kWgmmaE5M2}) {
    for (const int32_t c_dtype : {IsF8(dtype) ? kWgmmaBF16 : dtype, kWgmmaF32}) {
      for (const bool transposed : {true, false}) {
        if (IsF8(dtype) && !transposed) continue;
        for (const Tile& tile : kTiles) {
          add({dtype, c_dtype, transposed, false, tile.bm, tile.bn, SlabsOf(tile.bk, dtype)});
        }
        for (const int32_t cols : kSkinnyCols) add({dtype, c_dtype, transposed, true, kSkinnyX, cols, kSkinnySlabs});
      }
    }
  }
  return all;
}

int32_t StepOf(const WgmmaKernel& kernel) { return kernel.slabs * kSwizzleBytes / BytesOf(kernel.dtype); }
int32_t StageBytesOf(const WgmmaKernel& kernel) { return (kernel.rows + kernel.cols) * kernel.slabs * kSwizzleBytes; }
int32_t MostStagesOf(const WgmmaKernel& kernel) { return MostStages(StageBytesOf(kernel), PiecesBytes(kernel)); }
int32_t SharedBytesOf(const WgmmaKernel& kernel, int32_t stages) {
  return SharedBytes(StageBytesOf(kernel), PiecesBytes(kernel), stages);
}

int32_t SkinnySplits(int64_t tiles, int64_t k_steps, int multiprocessors) {
  // The blocks that run longest do `rounds` works of `steps` each, and every work costs about two steps besides.
  int32_t best = 1;
  int64_t least = std::numeric_limits<int64_t>::max();
  for (int32_t splits = 1; splits <= std::min<int64_t>(kMaxSplits, k_steps); ++splits) {
    const int64_t rounds = CeilDiv(tiles * splits, multiprocessors);
    const int64_t cost = rounds * (CeilDiv(k_steps, splits) + 2);
    if (cost < least) {
      least = cost;
      best = splits;
    }
  }
  return best;
}

WgmmaChoice ChooseWgmma(const WgmmaProblem& p, int multiprocessors) {
  WgmmaChoice choice;
  choice.reason = WhyNot(p);
  if (!choice.supported()) return choice;
  WgmmaKernel& kernel = choice.kernel;
  kernel.dtype = p.dtype;
  kernel.c_dtype = p.c_dtype;
  kernel.w_transposed = p.w_transposed;
  if (p.m <= kSkinnyRows && p.bm >= p.m && p.bn % kSkinnyX == 0) {
    kernel.swapped = true;
    kernel.rows = kSkinnyX;
    kernel.cols = p.m <= kSkinnyCols[0] ? kSkinnyCols[0] : kSkinnyCols[1];
    kernel.slabs = kSkinnySlabs;
    // A ring that is too short does not keep memory busy, whatever was asked for.
    choice.stages = MostStagesOf(kernel);
    choice.splits = SkinnySplits(CeilDiv(p.n, kSkinnyX), CeilDiv(p.k, StepOf(kernel)), multiprocessors);
    return choice;
  }
  const bool known = std::any_of(std::begin(kTiles), std::end(kTiles), [&](const Tile& tile) {
    return tile.bm == p.bm && tile.bn == p.bn && tile.bk == p.bk;
  });
  if (!known) {
    choice.reason = "the Hopper kernel has no such tile: it has 128x128x64, 128x256x64, 256x128x64 and 128x128x128";
    return choice;
  }
  if (p.cluster_x * p.cluster_y > 2 || p.cluster_x < 1 || p.cluster_y < 1) {
    choice.reason = "the Hopper kernel has clusters of 1,1, 2,1 and 1,2 alone";
    return choice;
  }
  kernel.rows = p.bm;
  kernel.cols = p.bn;
  kernel.slabs = SlabsOf(p.bk, p.dtype);
  choice.cluster = p.cluster_x * p.cluster_y;
  choice.stages = std::clamp<int32_t>(p.stages, 2, MostStagesOf(kernel));
  return choice;
}

WgmmaOrder OrderOf(const WgmmaGemm& gemm) {
  WgmmaOrder order;
  order.tiles = gemm.tiles;
  order.grid_cols = static_cast<int32_t>(gemm.grid_cols);
  order.grid_rows = static_cast<int32_t>(CeilDiv(gemm.m, gemm.bm));
  order.first = static_cast<int32_t>(gemm.first);
  order.count = static_cast<int32_t>(gemm.count);
  order.bm = gemm.bm;
  order.bn = gemm.bn;
  order.cluster = gemm.cluster;
  order.splits = gemm.splits;
  order.swapped = gemm.kernel.swapped;
  order.parts = order.swapped ? gemm.bn / gemm.kernel.rows : 1;
  order.x_rows = static_cast<int32_t>(order.swapped ? gemm.n : gemm.m);
  order.k_steps = static_cast<int32_t>(CeilDiv(gemm.k, StepOf(gemm.kernel)));
  return order;
}

int64_t SlotsOf(const WgmmaGemm& gemm) { return gemm.count * OrderOf(gemm).parts; }
int64_t PartialPitch(int64_t n) { return CeilDiv(n, 4) * 4; }
int64_t PartialBytes(int64_t m, int64_t n, int32_t splits) {
  return splits > 1 ? splits * m * PartialPitch(n) * int64_t{sizeof(float)} : 0;
}

std::array<WgmmaMap, 2> MapsOf(const WgmmaGemm& gemm) {
  const WgmmaKernel& kernel = gemm.kernel;
  const auto bytes = static_cast<uint64_t>(BytesOf(kernel.dtype));
  const auto step = static_cast<uint32_t>(StepOf(kernel));
  const auto slab = static_cast<uint32_t>(kSwizzleBytes) / static_cast<uint32_t>(bytes);
  const auto box_rows = [&](int32_t rows) { return static_cast<uint32_t>(rows / gemm.cluster); };
  WgmmaMap a;
  a.base = gemm.a;
  a.inner = static_cast<uint64_t>(gemm.k);
  a.outer = static_cast<uint64_t>(gemm.m);
  a.pitch = static_cast<uint64_t>(gemm.lda) * bytes;
  a.box_inner = slab;
  a.box_outer = box_rows(kernel.swapped ? kernel.cols : kernel.rows);
  WgmmaMap w;
  w.base = gemm.w;
  w.pitch = static_cast<uint64_t>(gemm.ldw) * bytes;
  w.inner = static_cast<uint64_t>(kernel.w_transposed ? gemm.k : gemm.n);
  w.outer = static_cast<uint64_t>(kernel.w_transposed ? gemm.n : gemm.k);
  w.box_inner = slab;
  w.box_outer = kernel.w_transposed ? box_rows(kernel.swapped ? kernel.rows : kernel.cols) : step;
  if (kernel.swapped) return {w, a};
  return {a, w};
}

WgmmaRatios RatiosOf(const std::vector<WgmmaCounts>& counts, int64_t per_launch, const WgmmaKernel& kernel,
                     int32_t stages) {
  // Dense products a multiprocessor does in a cycle, as multiply-adds: 2048 of 16-bit types, 4096 of fp8.
  const double rate = IsF8(kernel.dtype) ? 4096 : 2048;
  const double per_step = static_cast<double>(kernel.rows) * kernel.cols * StepOf(kernel) / rate;
  double active = 0, available = 0, busy = 0, present = 0, ring = 0, steps = 0;
  for (size_t begin = 0; begin < counts.size(); begin += static_cast<size_t>(per_launch)) {
    const size_t end = std::min(counts.size(), begin + static_cast<size_t>(per_launch));
    uint64_t longest = 0;
    for (size_t i = begin; i < end; ++i) longest = std::max(longest, counts[i].elapsed);
    // A multiprocessor without a block, or whose block ended early, was there and did nothing.
    available += static_cast<double>(longest) * static_cast<double>(end - begin);
    for (size_t i = begin; i < end; ++i) {
      const WgmmaCounts& c = counts[i];
      active += static_cast<double>(c.steps) * per_step;
      busy += static_cast<double>(c.elapsed - std::min(c.elapsed, c.idle));
      ring += static_cast<double>(c.ring);
      steps += static_cast<double>(c.steps);
      if (c.elapsed > 0) present += static_cast<double>(longest);
    }
  }
  const auto ratio = [](double part, double of) {
    return of > 0 ? static_cast<float>(std::clamp(part / of, 0.0, 1.0)) : -1.0f;
  };
  return {ratio(active, available), ratio(busy, present), ratio(ring, steps * stages)};
}

}  // namespace bwrt::kernels
