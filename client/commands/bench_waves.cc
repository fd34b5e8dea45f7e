#include "client/commands/bench_waves.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/commands/explained_wave.h"
#include "client/dtype.h"
#include "client/operands.h"

namespace bwrt::client {
namespace {

constexpr uint64_t kSeed = 1;
constexpr int64_t kMaxDim = int64_t{1} << 24;  // As every daemon's.

struct Sizes {
  std::vector<int64_t> m;
  int64_t n;
  int64_t k;
};

Sizes SizesOf(BenchPreset preset) {
  switch (preset) {
    case BenchPreset::kSmall:
      return {{128}, 128, 128};
    case BenchPreset::kDecode:
      return {{1}, 4096, 4096};
    case BenchPreset::kPrefill:
      return {{128, 512}, 4096, 4096};
  }
  return {};
}

struct Tile {
  int32_t bm = 128;
  int32_t bn = 128;
  int32_t bk = 0;  // 0: not given.
};

absl::StatusOr<Tile> ParseTile(const std::string& text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, 'x');
  Tile tile;
  if (parts.size() < 2 || parts.size() > 3 || !absl::SimpleAtoi(parts[0], &tile.bm) ||
      !absl::SimpleAtoi(parts[1], &tile.bn) || (parts.size() == 3 && !absl::SimpleAtoi(parts[2], &tile.bk)) ||
      tile.bm <= 0 || tile.bn <= 0 || (parts.size() == 3 && tile.bk <= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tile=", text, ": must be BMxBN or BMxBNxBK in positive integers, such as 128x256"));
  }
  return tile;
}

absl::Status CheckDim(absl::string_view name, int64_t value) {
  if (value >= 1 && value <= kMaxDim) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, "=", value, ": must be from 1 to ", kMaxDim));
}

absl::Status CheckDims(const v1::SubmitWaveRequest& request) {
  for (const auto& [name, value] : {std::pair<absl::string_view, int64_t>{"m", request.m()},
                                    {"n", request.n()},
                                    {"k", request.k()},
                                    {"spec.bm", request.spec().bm()},
                                    {"spec.bn", request.spec().bn()}}) {
    if (absl::Status status = CheckDim(name, value); !status.ok()) return status;
  }
  return absl::OkStatus();
}

std::string SizeName(const v1::SubmitWaveRequest& request) {
  return absl::StrCat(DTypeName(request.spec().dtype()), " ", request.m(), "x", request.n(), "x", request.k());
}

std::string WName(const v1::SubmitWaveRequest& request) {
  return absl::StrCat("w.", DTypeName(request.spec().dtype()), ".", request.k(), "x", request.n(),
                      request.w_transposed() ? ".t" : "");
}

absl::StatusOr<BenchWave> FromFile(const BenchWaveFlags& flags) {
  if (flags.m.size() > 1) return absl::InvalidArgumentError("--m: one size at most goes with --spec");
  ExplainFlags file = {.spec = flags.spec, .wave = flags.wave, .n = flags.n, .k = flags.k};
  if (!flags.m.empty()) file.m = flags.m[0];
  auto read = ReadExplainedWave(file);
  if (!read.ok()) return read.status();
  BenchWave wave = {.request = std::move(read->request)};
  if (wave.request.spec().dtype() == DTYPE_UNSPECIFIED) wave.request.mutable_spec()->set_dtype(flags.dtype);
  if (flags.c_dtype != DTYPE_UNSPECIFIED) wave.request.set_c_dtype(flags.c_dtype);
  wave.name = absl::StrCat(read->name, " ", SizeName(wave.request));
  return wave;
}

BenchWave FromSizes(const BenchWaveFlags& flags, int64_t m, int64_t n, int64_t k, const Tile& tile) {
  BenchWave wave;
  wave.request.set_m(m);
  wave.request.set_n(n);
  wave.request.set_k(k);
  wave.request.set_c_dtype(flags.c_dtype);
  WaveSpec* spec = wave.request.mutable_spec();
  spec->set_dtype(flags.dtype);
  spec->set_bm(tile.bm);
  spec->set_bn(tile.bn);
  spec->set_bk(tile.bk);
  const auto tiles = [](int64_t size, int64_t step) { return (size + step - 1) / step; };
  const int64_t tokens = tiles(m, tile.bm) * tiles(n, tile.bn);
  spec->set_swap_end(static_cast<int32_t>(std::min<int64_t>(tokens, std::numeric_limits<int32_t>::max())));
  wave.name = absl::StrCat(SizeName(wave.request), " by ", tile.bm, "x", tile.bn,
                           tile.bk == 0 ? "" : absl::StrCat("x", tile.bk));
  return wave;
}

// Saturates.
int64_t Times(int64_t a, int64_t b) {
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<int64_t>::max() : product;
}
int64_t Plus(int64_t a, int64_t b) {
  int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<int64_t>::max() : sum;
}

}  // namespace

std::vector<int64_t> InFlightOf(BenchPreset preset) {
  switch (preset) {
    case BenchPreset::kSmall:
      return {1, 8, 64, 512, 2048, 8192};
    case BenchPreset::kDecode:
      return {1, 8, 64, 512};
    case BenchPreset::kPrefill:
      return {1, 8, 64};
  }
  return {};
}

absl::StatusOr<std::vector<BenchWave>> ReadBenchWaves(const BenchWaveFlags& flags) {
  std::vector<BenchWave> waves;
  if (!flags.spec.empty()) {
    auto wave = FromFile(flags);
    if (!wave.ok()) return wave.status();
    waves.push_back(*std::move(wave));
  } else {
    Sizes sizes = SizesOf(flags.preset);
    if (!flags.m.empty()) sizes.m = flags.m;
    std::vector<Tile> tiles;
    for (const std::string& text : flags.tiles) {
      const auto tile = ParseTile(text);
      if (!tile.ok()) return tile.status();
      tiles.push_back(*tile);
    }
    if (tiles.empty()) tiles.emplace_back();
    for (const int64_t m : sizes.m) {
      for (const Tile& tile : tiles) {
        waves.push_back(FromSizes(flags, m, flags.n.value_or(sizes.n), flags.k.value_or(sizes.k), tile));
      }
    }
  }
  std::set<std::string> names;
  for (BenchWave& wave : waves) {
    if (absl::Status status = CheckDims(wave.request); !status.ok()) return status;
    if (!names.insert(wave.name).second) {
      return absl::InvalidArgumentError(absl::StrCat(wave.name, ": asked for twice; give each --m and --tile once"));
    }
    wave.request.mutable_w()->set_tensor(WName(wave.request));
  }
  return waves;
}

void CompleteTile(const v1::GetCapabilitiesResponse& capabilities, v1::SubmitWaveRequest* request) {
  WaveSpec* spec = request->mutable_spec();
  const bool open = spec->bk() == 0 || (!spec->has_cluster_shape() && !spec->has_tmem_layout());
  if (!open) return;
  for (const v1::TileShape& shape : capabilities.tile_whitelist()) {
    if (shape.bm() != spec->bm() || shape.bn() != spec->bn()) continue;
    if (spec->bk() != 0 && spec->bk() != shape.bk()) continue;
    spec->set_bk(shape.bk());
    if (!spec->has_cluster_shape()) *spec->mutable_cluster_shape() = shape.cluster_shape();
    if (!spec->has_tmem_layout()) spec->mutable_tmem_layout()->set_stage_n(shape.stage_n());
    return;
  }
  if (spec->bk() == 0) spec->set_bk(64);
}

absl::Status DrawA(v1::SubmitWaveRequest* request) {
  auto a = RandomMatrix({kSeed, 0, OperandStream::kA}, request->spec().dtype(), request->m(), request->k());
  if (!a.ok()) return a.status();
  request->mutable_a()->set_inline_(*std::move(a));
  return absl::OkStatus();
}

absl::StatusOr<v1::Tensor> DrawW(const v1::SubmitWaveRequest& request) {
  const int64_t rows = request.w_transposed() ? request.n() : request.k();
  const int64_t columns = request.w_transposed() ? request.k() : request.n();
  auto w = RandomMatrix({kSeed, 0, OperandStream::kW}, request.spec().dtype(), rows, columns);
  if (!w.ok()) return w.status();
  v1::Tensor tensor;
  tensor.set_name(request.w().tensor());
  tensor.set_dtype(request.spec().dtype());
  tensor.add_shape(rows);
  tensor.add_shape(columns);
  tensor.set_data(*std::move(w));
  return tensor;
}

namespace {

int64_t BytesOfA(const v1::SubmitWaveRequest& request) {
  return Times(Times(request.m(), request.k()), DTypeBytes(request.spec().dtype()));
}

int64_t BytesOfC(const v1::SubmitWaveRequest& request) {
  const DType dtype = request.c_dtype() == DTYPE_UNSPECIFIED ? F32 : request.c_dtype();
  return Times(Times(request.m(), request.n()), DTypeBytes(dtype));
}

}  // namespace

int64_t HeldBytes(const v1::SubmitWaveRequest& request) { return Plus(BytesOfA(request), BytesOfC(request)); }

int64_t FootprintBytes(const v1::SubmitWaveRequest& request) { return Times(2, HeldBytes(request)); }

}  // namespace bwrt::client
