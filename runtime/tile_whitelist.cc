#include "runtime/tile_whitelist.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace bwrt::runtime {
namespace {

std::string Line(const TileShape& s) {
  return absl::StrCat(s.bm, ",", s.bn, ",", s.bk, ",", s.stage, ",", s.cluster_x, ",", s.cluster_y, "\n");
}

std::string Digest(const std::vector<TileShape>& sorted) {
  std::string text;
  for (const TileShape& shape : sorted) text += Line(shape);
  std::array<unsigned char, SHA256_DIGEST_LENGTH> hash;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data());
  return absl::StrCat(
      "sha256:", absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(hash.data()), hash.size())));
}

double Distance(const TileShape& a, const TileShape& b) {
  const auto d = [](int32_t x, int32_t y) {
    return std::abs(std::log2(std::max(x, 1) / static_cast<double>(std::max(y, 1))));
  };
  return d(a.bm, b.bm) + d(a.bn, b.bn) + d(a.bk, b.bk) + d(a.stage, b.stage) + d(a.cluster_x, b.cluster_x) +
         d(a.cluster_y, b.cluster_y);
}

}  // namespace

TileWhitelist::TileWhitelist(std::vector<TileShape> shapes) : shapes_(std::move(shapes)) {
  std::sort(shapes_.begin(), shapes_.end());
  shapes_.erase(std::unique(shapes_.begin(), shapes_.end()), shapes_.end());
  digest_ = Digest(shapes_);
}

TileWhitelist TileWhitelist::Default() {
  return TileWhitelist(
      {{128, 128, 64, 2, 2, 1}, {128, 256, 64, 2, 2, 1}, {256, 128, 64, 2, 2, 1}, {128, 128, 128, 3, 2, 1}});
}

absl::StatusOr<TileWhitelist> TileWhitelist::Parse(absl::string_view text) {
  std::vector<TileShape> shapes;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    const std::vector<absl::string_view> parts = absl::StrSplit(line, ',');
    std::array<int32_t, 6> v;
    bool good = parts.size() == v.size();
    for (size_t i = 0; good && i < v.size(); ++i) {
      good = absl::SimpleAtoi(parts[i], &v[i]) && v[i] > 0;
    }
    if (!good) {
      return absl::InvalidArgumentError(
          absl::StrCat("tile whitelist line ", number, ": \"", line.substr(0, 80),
                       "\" is not six positive numbers; write bm,bn,bk,stage,cx,cy such as 128,128,64,2,2,1"));
    }
    shapes.push_back({v[0], v[1], v[2], v[3], v[4], v[5]});
  }
  if (shapes.empty()) {
    return absl::InvalidArgumentError("tile whitelist: no shape listed; give at least one line");
  }
  return TileWhitelist(std::move(shapes));
}

bool TileWhitelist::Contains(const TileShape& shape) const {
  return std::binary_search(shapes_.begin(), shapes_.end(), shape);
}

const TileShape& TileWhitelist::Nearest(const TileShape& shape) const {
  return *std::min_element(shapes_.begin(), shapes_.end(), [&](const TileShape& a, const TileShape& b) {
    return Distance(a, shape) < Distance(b, shape);
  });
}

std::string ToString(const TileShape& s) {
  return absl::StrCat("(", s.bm, ",", s.bn, ",", s.bk, ",", s.stage, ",(", s.cluster_x, ",", s.cluster_y, "))");
}

}  // namespace bwrt::runtime
