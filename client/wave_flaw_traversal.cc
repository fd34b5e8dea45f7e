// Flaws of traversals: the order of tiles, told once or twice.
#include <limits>

#include "absl/strings/str_cat.h"
#include "client/wave_flaw.h"

namespace bwrt::client {
namespace {

constexpr int kTooMany = 65'537;

int64_t Rows(const Breaking& b) { return TilesAlong(b.wave.request.m(), b.wave.request.spec().bm()); }
int64_t Columns(const Breaking& b) { return TilesAlong(b.wave.request.n(), b.wave.request.spec().bn()); }

// Appends a tile to the orders the wave has (tile_order where it has none); the path of the one that counts.
std::string AddTile(Breaking* b, int32_t m, int32_t n) {
  WaveSpec* spec = b->spec();
  const bool flat = !spec->tile_order_flat().empty(), both = flat && !spec->tile_order().empty();
  if (flat) spec->add_tile_order_flat(static_cast<uint32_t>(m) << 16 | static_cast<uint32_t>(n));
  if (flat && !both) return absl::StrCat("spec.tile_order_flat[", spec->tile_order_flat_size() - 1, "]");
  TileCoord* tile = spec->add_tile_order();
  tile->set_m(m);
  tile->set_n(n);
  return absl::StrCat("spec.tile_order[", spec->tile_order_size() - 1, "]");
}

bool IsFlatAlone(const WaveSpec& spec) { return spec.tile_order().empty() && !spec.tile_order_flat().empty(); }

// An order that lacks something is no violation of its own here.
void AllowMissing(Breaking* b) {
  if (b->request().coverage() == v1::EXACT) b->request().set_coverage(v1::COMPLETE);
}

bool Duplicate(Breaking* b) {
  WaveSpec* spec = b->spec();
  AllowMissing(b);
  if (spec->tile_order().empty() && spec->tile_order_flat().empty()) AddTile(b, 0, 0);
  const bool flat = IsFlatAlone(*spec);
  const int any = static_cast<int>(b->draws.Below(flat ? spec->tile_order_flat_size() : spec->tile_order_size()));
  const int32_t m = flat ? static_cast<int32_t>(spec->tile_order_flat(any) >> 16) : spec->tile_order(any).m();
  const int32_t n = flat ? static_cast<int32_t>(spec->tile_order_flat(any) & 0xffff) : spec->tile_order(any).n();
  b->Expect(AddTile(b, m, n), "TILE_REPEATED");
  return true;
}

// Just outside, or far; below zero only where the order can say so.
int32_t Outside(Breaking* b, int64_t count) {
  if (!b->spec()->tile_order_flat().empty()) return static_cast<int32_t>(b->draws.Pick<int64_t>({count, 65'535}));
  return b->draws.Pick({static_cast<int32_t>(count), -1, 65'536, std::numeric_limits<int32_t>::max(),
                        std::numeric_limits<int32_t>::min()});
}

bool OutsideRows(Breaking* b) {
  AllowMissing(b);
  const bool flat = IsFlatAlone(*b->spec());
  b->Expect(absl::StrCat(AddTile(b, Outside(b, Rows(*b)), 0), flat ? "" : ".m"), "TILE_OUTSIDE_GRID");
  return true;
}

bool OutsideColumns(Breaking* b) {
  AllowMissing(b);
  const bool flat = IsFlatAlone(*b->spec());
  b->Expect(absl::StrCat(AddTile(b, 0, Outside(b, Columns(*b))), flat ? "" : ".n"), "TILE_OUTSIDE_GRID");
  return true;
}

bool OutsideBoth(Breaking* b) {
  AllowMissing(b);
  if (IsFlatAlone(*b->spec())) return false;  // One path for both.
  const int32_t m = Outside(b, Rows(*b));
  const std::string path = AddTile(b, m, Outside(b, Columns(*b)));
  b->Expect(path + ".m", "TILE_OUTSIDE_GRID");
  b->Expect(path + ".n", "TILE_OUTSIDE_GRID");
  return true;
}

bool ExactIncomplete(Breaking* b) {
  const int64_t tiles = Rows(*b) * Columns(*b);
  if (tiles == 1) return false;
  b->spec()->clear_tile_order();
  b->spec()->clear_tile_order_flat();
  AddTile(b, static_cast<int32_t>(Rows(*b) - 1), static_cast<int32_t>(Columns(*b) - 1));
  b->request().set_coverage(v1::EXACT);
  b->Expect("coverage", "COVERAGE_INCOMPLETE");
  return true;
}

// An order of kept tiles, told twice.
bool BothOrders(Breaking* b) {
  WaveSpec* spec = b->spec();
  if (spec->tile_order().empty() && spec->tile_order_flat().empty()) return false;
  if (spec->tile_order().empty()) {
    for (const uint32_t flat : spec->tile_order_flat()) {
      TileCoord* tile = spec->add_tile_order();
      tile->set_m(static_cast<int32_t>(flat >> 16));
      tile->set_n(static_cast<int32_t>(flat & 0xffff));
    }
  }
  spec->clear_tile_order_flat();
  for (const TileCoord& tile : spec->tile_order()) {
    spec->add_tile_order_flat(static_cast<uint32_t>(tile.m()) << 16 | static_cast<uint32_t>(tile.n()));
  }
  return true;
}

bool FlatDiffers(Breaking* b) {
  if (!BothOrders(b)) return false;
  const int at = static_cast<int>(b->draws.Below(b->spec()->tile_order_flat_size()));
  const uint32_t tile = b->spec()->tile_order_flat(at);
  b->spec()->set_tile_order_flat(at, b->draws.Pick<uint32_t>({tile ^ 1, tile ^ 0x10000, tile ^ 0x80000000}));
  b->Expect(absl::StrCat("spec.tile_order_flat[", at, "]"), "TRAVERSALS_DIFFER");
  return true;
}

bool FlatLength(Breaking* b) {
  if (!BothOrders(b)) return false;
  b->spec()->add_tile_order_flat(0);
  b->Expect("spec.tile_order_flat", "TRAVERSALS_DIFFER");
  return true;
}

bool TooManyTiles(Breaking* b) {
  b->spec()->clear_tile_order();
  b->spec()->clear_tile_order_flat();
  for (int i = 0; i < kTooMany; ++i) b->spec()->add_tile_order();
  b->Expect("spec.tile_order", "TOO_MANY");
  return true;
}

bool TooManyFlat(Breaking* b) {
  b->spec()->clear_tile_order();
  b->spec()->mutable_tile_order_flat()->Resize(kTooMany, 0);
  b->Expect("spec.tile_order_flat", "TOO_MANY");
  return true;
}

}  // namespace

std::vector<Flaw> TraversalFlaws() {
  return {
      {"tile listed twice", WavePart::kOrder, Duplicate},
      {"tile below the grid", WavePart::kOrder, OutsideRows},
      {"tile beside the grid", WavePart::kOrder, OutsideColumns},
      {"tile outside both ways", WavePart::kOrder, OutsideBoth},
      {"EXACT but incomplete", WavePart::kOrder, ExactIncomplete},
      {"orders differ", WavePart::kOrder, FlatDiffers},
      {"orders of different length", WavePart::kOrder, FlatLength},
      {"too many tiles listed", WavePart::kOrder, TooManyTiles},
      {"too many flat tiles", WavePart::kOrder, TooManyFlat},
  };
}

}  // namespace bwrt::client
