// Flaws of lists beside the traversal: pack_order, rows, extents.
#include <limits>

#include "absl/strings/str_cat.h"
#include "client/wave_flaw.h"

namespace bwrt::client {
namespace {

constexpr int kTooMany = 65'537;
constexpr int64_t kBeyondInt32 = int64_t{1} << 31;

bool PackId(Breaking* b) {
  auto* ids = b->spec()->mutable_pack_order();
  ids->Add(b->draws.Pick<int64_t>({-1, kBeyondInt32, std::numeric_limits<int64_t>::max()}));
  b->Expect(absl::StrCat("spec.pack_order[", ids->size() - 1, "]"), "ID_OUT_OF_RANGE");
  return true;
}

bool TooManyIds(Breaking* b) {
  b->spec()->mutable_pack_order()->Resize(kTooMany, 3);
  b->Expect("spec.pack_order", "TOO_MANY");
  return true;
}

void AddRow(Breaking* b, int64_t id, int64_t begin, int64_t end) {
  v1::RowRange* range = b->request().add_rows();
  range->set_id(id);
  range->set_begin(begin);
  range->set_end(end);
}

// Every row there is belongs to one request, in `ranges` parts that begin with row 0.
bool Partition(Breaking* b, int64_t ranges) {
  const int64_t m = b->request().m();
  if (m < 2 * ranges) return false;
  b->request().clear_rows();
  for (int64_t i = 0; i < ranges; ++i) AddRow(b, 10 + i, m * i / ranges, m * (i + 1) / ranges);
  return true;
}

bool RowsOverlap(Breaking* b) {
  if (!Partition(b, 2)) return false;
  const int64_t middle = b->request().rows(0).end();
  b->request().mutable_rows(0)->set_end(middle + 1);
  b->Expect("rows[1].begin", "ROWS_OVERLAP");
  if (b->draws.Percent(50)) {
    b->request().mutable_rows(1)->set_end(b->request().m() - 1);  // Then the total is still M.
  } else {
    b->Expect("rows", "ROWS_TOTAL");
  }
  return true;
}

bool RowsTotal(Breaking* b) {
  if (!Partition(b, 3)) return false;
  const int64_t cut = b->draws.Pick({0, 1, 2});
  v1::RowRange* range = b->request().mutable_rows(static_cast<int>(cut));
  b->draws.Percent(50) ? range->set_begin(range->begin() + 1) : range->set_end(range->end() - 1);
  b->Expect("rows", "ROWS_TOTAL");
  return true;
}

bool RowsBegin(Breaking* b) {
  if (!Partition(b, 2)) return false;
  b->request().mutable_rows(1)->set_begin(b->draws.Pick<int64_t>(
      {-1, b->request().m(), std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()}));
  b->Expect("rows[1].begin", "ROW_OUT_OF_RANGE");
  return true;
}

bool RowsEnd(Breaking* b) {
  if (!Partition(b, 2)) return false;
  v1::RowRange* range = b->request().mutable_rows(1);
  range->set_end(b->draws.Pick<int64_t>(
      {range->begin(), range->begin() - 1, -1, b->request().m() + 1, std::numeric_limits<int64_t>::max()}));
  b->Expect("rows[1].end", "ROW_OUT_OF_RANGE");
  return true;
}

bool RowsId(Breaking* b) {
  if (!Partition(b, 2)) return false;
  b->request().mutable_rows(0)->set_id(b->draws.Pick<int64_t>({-1, kBeyondInt32}));
  b->Expect("rows[0].id", "ID_OUT_OF_RANGE");
  return true;
}

bool RowsRepeated(Breaking* b) {
  if (!Partition(b, 3)) return false;
  b->request().mutable_rows(2)->set_id(b->request().rows(static_cast<int>(b->draws.Below(2))).id());
  b->Expect("rows[2].id", "ID_REPEATED");
  return true;
}

bool TooManyRows(Breaking* b) {
  b->request().clear_rows();
  for (int i = 0; i < kTooMany; ++i) AddRow(b, i, 0, 1);
  b->Expect("rows", "TOO_MANY");
  return true;
}

IoExtent* AddExtent(Breaking* b, std::string* path) {
  IoExtent* extent = b->spec()->add_io_extents();
  extent->set_layer("0");
  *path = absl::StrCat("spec.io_extents[", b->spec()->io_extents_size() - 1, "]");
  return extent;
}

bool ExtentStart(Breaking* b) {
  std::string path;
  AddExtent(b, &path)->set_start_pid(b->draws.Pick<int64_t>({-1, kBeyondInt32, std::numeric_limits<int64_t>::min()}));
  b->Expect(path + ".start_pid", "ID_OUT_OF_RANGE");
  return true;
}

bool ExtentEnd(Breaking* b) {
  std::string path;
  AddExtent(b, &path)->set_end_pid(b->draws.Pick<int64_t>({-2, kBeyondInt32, std::numeric_limits<int64_t>::max()}));
  b->Expect(path + ".end_pid", "ID_OUT_OF_RANGE");
  return true;
}

bool ExtentLayer(Breaking* b) {
  std::string path;
  AddExtent(b, &path)->set_layer(b->draws.Pick<std::string>({"", std::string(129, 'l'), "a\nb", std::string(1, '\0')}));
  b->Expect(path + ".layer", "LAYER_NAME");
  return true;
}

bool TooManyExtents(Breaking* b) {
  std::string path;
  while (b->spec()->io_extents_size() < kTooMany) AddExtent(b, &path);
  b->Expect("spec.io_extents", "TOO_MANY");
  return true;
}

}  // namespace

std::vector<Flaw> ListFlaws() {
  return {
      {"pack_order id out of range", WavePart::kPack, PackId},
      {"pack_order too long", WavePart::kPack, TooManyIds},
      {"rows overlap", WavePart::kRows, RowsOverlap},
      {"rows do not add up to m", WavePart::kRows, RowsTotal},
      {"rows begin outside", WavePart::kRows, RowsBegin},
      {"rows end outside", WavePart::kRows, RowsEnd},
      {"rows id out of range", WavePart::kRows, RowsId},
      {"rows id repeated", WavePart::kRows, RowsRepeated},
      {"too many rows", WavePart::kRows, TooManyRows},
      {"extent start out of range", WavePart::kExtents, ExtentStart},
      {"extent end out of range", WavePart::kExtents, ExtentEnd},
      {"extent layer", WavePart::kExtents, ExtentLayer},
      {"too many extents", WavePart::kExtents, TooManyExtents},
  };
}

}  // namespace bwrt::client
