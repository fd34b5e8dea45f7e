#include "runtime/cuda_wave.h"

#include <algorithm>
#include <new>
#include <optional>

namespace bwrt::runtime {
namespace {

int32_t Code(kernels::DType dtype) {
  switch (dtype) {
    case kernels::DType::kF32:
      return BWRT_CUDA_F32;
    case kernels::DType::kF16:
      return BWRT_CUDA_F16;
    case kernels::DType::kBF16:
      return BWRT_CUDA_BF16;
    case kernels::DType::kF8E4M3:
      return BWRT_CUDA_F8_E4M3;
    case kernels::DType::kF8E5M2:
      return BWRT_CUDA_F8_E5M2;
  }
  return BWRT_CUDA_F32;
}

int32_t Code(kernels::Activation activation) {
  switch (activation) {
    case kernels::Activation::kIdentity:
      return BWRT_CUDA_IDENTITY;
    case kernels::Activation::kRelu:
      return BWRT_CUDA_RELU;
    case kernels::Activation::kGeluTanh:
      return BWRT_CUDA_GELU_TANH;
    case kernels::Activation::kGeluErf:
      return BWRT_CUDA_GELU_ERF;
    case kernels::Activation::kSilu:
      return BWRT_CUDA_SILU;
  }
  return BWRT_CUDA_IDENTITY;
}

int32_t Code(TailPolicy tails) {
  switch (tails) {
    case TailPolicy::kPad:
      return BWRT_CUDA_PAD;
    case TailPolicy::kDrop:
      return BWRT_CUDA_DROP;
    case TailPolicy::kPeel:
      return BWRT_CUDA_PEEL;
  }
  return BWRT_CUDA_PAD;
}

}  // namespace

CudaWave::CudaWave(const Wave& wave) {
  const TileGrid& grid = wave.grid;
  const Traversal& traversal = wave.traversal;
  abi_.size = sizeof(abi_);
  abi_.dtype = Code(wave.dtype);
  abi_.c_dtype = Code(wave.c_dtype);
  abi_.activation = Code(wave.activation);
  abi_.m = grid.m;
  abi_.n = grid.n;
  abi_.k = wave.k;
  abi_.bm = wave.tile.bm;
  abi_.bn = wave.tile.bn;
  abi_.bk = wave.tile.bk;
  abi_.stages = wave.stages;
  abi_.cluster_x = wave.tile.cluster_x;
  abi_.cluster_y = wave.tile.cluster_y;
  abi_.tails = Code(wave.tails);
  abi_.priority = wave.priority;
  const bool drops = wave.tails == TailPolicy::kDrop;
  tiles_.reserve(traversal.order.size());
  for (const TileCoord& tile : traversal.order) {
    if (drops && grid.Partial(tile)) continue;
    // Validation has seen to it that both have 16 bits.
    tiles_.push_back(static_cast<uint32_t>(tile.m) << 16 | static_cast<uint32_t>(tile.n));
  }
  abi_.tiles = tiles_.data();
  abi_.tile_count = static_cast<int64_t>(traversal.order.size()) - (drops ? traversal.dropped : 0);
  abi_.whole = abi_.tile_count == grid.tiles() ? 1 : 0;
  abi_.tmem_hints = wave.tmem_hints ? 1 : 0;
  abi_.a = wave.a.data;
  abi_.a_stride = wave.a.row_stride;
  abi_.rows = wave.packed_rows.empty() ? nullptr : wave.packed_rows.data();
  if (wave.w) {
    abi_.w = wave.w->data;
    abi_.w_stride = wave.w->row_stride;
  } else {
    abi_.w_stride = wave.w_transposed ? wave.k : grid.n;
  }
  abi_.w_transposed = wave.w_transposed ? 1 : 0;
  abi_.alpha = wave.factor();
  abi_.beta = wave.beta;
  abi_.bias = wave.bias.empty() ? nullptr : wave.bias.data();
  abi_.c_stride = wave.c_stride;
  abi_.c_read = wave.beta != 0 || abi_.whole == 0 ? 1 : 0;
}

CudaTokens::CudaTokens(const Wave& wave, WaveProgress& progress)
    : wave_(wave), progress_(progress), start_token_(wave.tokens.prefetch), finish_token_(wave.tokens.prefetch) {}

bool CudaTokens::Dropped(size_t position) const {
  return wave_.tails == TailPolicy::kDrop && wave_.grid.Partial(wave_.traversal.order[position]);
}

size_t CudaTokens::Behind(size_t position, int64_t& seen, int64_t computed) const {
  const auto& order = wave_.traversal.order;
  while (position < order.size() && (seen < computed || Dropped(position))) {
    if (!Dropped(position)) ++seen;
    ++position;
  }
  return position;
}

absl::Status CudaTokens::Start(size_t end) {
  std::optional<int64_t> extent;
  if (!entered_ && wave_.tokens.prefetch > 0) extent = wave_.tokens.prefetch - 1;
  entered_ = true;
  std::optional<int64_t> largest;
  std::vector<int64_t> dropped;
  for (; started_ < end; ++started_) {
    if (wave_.traversal.IsAppended(started_)) {
      largest = wave_.tokens.last();
      continue;
    }
    const int64_t token = start_token_++;
    largest = std::max(largest.value_or(token), token);
    if (Dropped(started_) && token != wave_.tokens.last()) dropped.push_back(token);
  }
  if (absl::Status status = progress_.Step(extent, largest); !status.ok()) return status;
  for (const int64_t token : dropped) {
    if (absl::Status status = progress_.Step(token, std::nullopt); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CudaTokens::Finish(size_t end) {
  for (; finished_ < end; ++finished_) {
    if (wave_.traversal.IsAppended(finished_)) continue;
    const int64_t token = finish_token_++;
    if (token == wave_.tokens.last() || Dropped(finished_)) continue;
    if (absl::Status status = progress_.Step(token, std::nullopt); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CudaTokens::Advance(int64_t finished, int64_t started) {
  const size_t start_end = Behind(started_, started_tiles_, started);
  // Asks whether to go on even where nothing starts.
  if (absl::Status status = Start(start_end); !status.ok()) return status;
  return Finish(Behind(finished_, finished_tiles_, finished));
}

int32_t CudaTokens::Step(void* context, int64_t finished, int64_t started) {
  auto* const tokens = static_cast<CudaTokens*>(context);
  try {
    if (tokens->status_.ok()) tokens->status_ = tokens->Advance(finished, started);
  } catch (const std::bad_alloc&) {  // Nothing may be thrown across the plugin.
    tokens->status_ = absl::ResourceExhaustedError("no memory; retry later");
  }
  return tokens->status_.ok() ? 0 : 1;
}

}  // namespace bwrt::runtime
