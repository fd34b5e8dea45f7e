// The judging half of WaveOracle.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/dtype.h"
#include "client/wave_oracle.h"

namespace bwrt::client {
namespace {

// "<name> is <got>, want <want>", or nothing where they are equal.
template <class Got, class Want>
std::string Differs(absl::string_view name, const Got& got, const Want& want) {
  return static_cast<int64_t>(got) == static_cast<int64_t>(want)
             ? ""
             : absl::StrCat(name, " is ", static_cast<int64_t>(got), ", want ", static_cast<int64_t>(want));
}

double SmallestNormal(DType dtype) { return dtype == F16 ? 0x1p-14 : 0x1p-126; }

std::string FirstOf(std::initializer_list<std::string> mismatches) {
  for (const std::string& mismatch : mismatches) {
    if (!mismatch.empty()) return mismatch;
  }
  return "";
}

}  // namespace

Verdict WaveOracle::Judge(const v1::WaveResult& result) const {
  Verdict verdict;
  verdict.mismatch = JudgeReport(result.effective(), result.tokens());
  const std::string model = request_.model().empty() ? "default" : request_.model();
  if (verdict.ok() && result.model() != model) {
    verdict.mismatch = absl::StrCat("model is \"", result.model(), "\", want \"", model, "\"");
  }
  if (verdict.ok() && request_.required_version() != 0) {
    verdict.mismatch = Differs("version", result.version(), request_.required_version());
  }
  Verdict of_c = JudgeC(result.c());
  if (!verdict.ok()) of_c.mismatch = std::move(verdict.mismatch);
  return of_c;
}

Verdict WaveOracle::Judge(const v1::ValidateWaveResponse& response) const {
  Verdict verdict;
  verdict.mismatch = JudgeReport(response.effective(), response.tokens());
  if (!verdict.ok()) return verdict;
  verdict.mismatch = Differs("the number of tiles in order", response.order_size(), schedule_.order.size());
  for (int i = 0; verdict.ok() && i < response.order_size(); ++i) {
    const TileCoord& got = response.order(i);
    const ScheduledTile& want = schedule_.order[static_cast<size_t>(i)];
    if (got.m() == want.m && got.n() == want.n) continue;
    verdict.mismatch =
        absl::StrCat("order[", i, "] is (", got.m(), ",", got.n(), "), want (", want.m, ",", want.n, ")");
  }
  return verdict;
}

std::string WaveOracle::JudgeReport(const v1::EffectiveSpec& effective, const v1::TokenPlan& tokens) const {
  const WaveSpec& spec = request_.spec();
  return FirstOf({
      Differs("tokens.prefetch_tokens", tokens.prefetch_tokens(), schedule_.prefetch_tokens),
      Differs("tokens.tile_tokens", tokens.tile_tokens(), schedule_.tile_tokens),
      Differs("tokens.swap_begin", tokens.swap_begin(), spec.swap_begin()),
      Differs("tokens.swap_end", tokens.swap_end(), spec.swap_end()),
      Differs("effective.tiles_listed", effective.tiles_listed(), schedule_.listed),
      Differs("effective.tiles_appended", effective.tiles_appended(), schedule_.appended),
      Differs("effective.tiles_dropped", effective.tiles_dropped(), schedule_.dropped),
      Differs("effective.tiles_omitted", effective.tiles_omitted(), schedule_.omitted),
      Differs("effective.bm", effective.bm(), spec.bm()),
      Differs("effective.bn", effective.bn(), spec.bn()),
      Differs("effective.dtype", effective.dtype(), dtype_),
      Differs("effective.c_dtype", effective.c_dtype(), c_dtype_),
      Differs("effective.tail_policy", effective.tail_policy(), spec.tail_policy()),
  });
}

std::string WaveOracle::WantedC() const {
  std::string bytes = start_;
  const auto size = static_cast<size_t>(DTypeBytes(c_dtype_));
  std::string element;
  for (int64_t row = part_.row_begin; row < part_.row_end; ++row) {
    for (int64_t column = part_.column_begin; column < part_.column_end; ++column) {
      const size_t at = IndexOf(row, column);
      if (!computed_[at]) continue;
      element.clear();
      AppendElement(c_dtype_, static_cast<float>(want_[at]), &element);
      std::memcpy(&bytes[static_cast<size_t>(row * c_stride_ + column) * size], element.data(), size);
    }
  }
  return bytes;
}

std::string WaveOracle::JudgedBytes(absl::string_view c) const {
  if (judges_gaps_) return std::string(c);
  const int64_t size = DTypeBytes(c_dtype_);
  std::string bytes;
  for (int64_t row = part_.row_begin; row < part_.row_end; ++row) {
    absl::StrAppend(&bytes, c.substr(static_cast<size_t>((row * c_stride_ + part_.column_begin) * size),
                                     static_cast<size_t>(part_.columns() * size)));
  }
  return bytes;
}

Verdict WaveOracle::JudgeC(const std::string& c) const {
  Verdict verdict;
  if (c.size() != start_.size()) {
    verdict.mismatch = absl::StrCat("c has ", c.size(), " bytes, want ", start_.size());
    return verdict;
  }
  JudgeUntouched(c, &verdict);
  std::vector<double> got(want_.size());
  const int64_t size = DTypeBytes(c_dtype_);
  for (int64_t row = part_.row_begin; row < part_.row_end; ++row) {
    const absl::string_view bytes(&c[static_cast<size_t>((row * c_stride_ + part_.column_begin) * size)],
                                  static_cast<size_t>(part_.columns() * size));
    const auto decoded = DecodeElements(c_dtype_, bytes);
    if (!decoded.ok()) {
      verdict.mismatch = std::string(decoded.status().message());
      return verdict;
    }
    std::copy(decoded->begin(), decoded->end(), got.begin() + (row - part_.row_begin) * part_.columns());
  }
  for (size_t position = 0; position < schedule_.order.size(); ++position) JudgeTile(position, got, &verdict);
  if (verdict.ok() && verdict.worst_rel_error > tolerance()) {
    verdict.mismatch = absl::StrCat("tile (", verdict.worst_m, ",", verdict.worst_n, ") is off by ",
                                    verdict.worst_rel_error, ", allowed ", tolerance());
  }
  return verdict;
}

void WaveOracle::JudgeUntouched(const std::string& c, Verdict* verdict) const {
  const auto size = static_cast<size_t>(DTypeBytes(c_dtype_));
  const int64_t n = request_.n();
  for (int64_t row = part_.row_begin; row < part_.row_end; ++row) {
    const bool gap = judges_gaps_ && row + 1 < request_.m();  // Nothing follows the last row.
    const int64_t column_end = gap ? c_stride_ : part_.column_end;
    for (int64_t column = part_.column_begin; column < column_end; ++column) {
      if (column < n && computed_[IndexOf(row, column)]) continue;
      const size_t at = static_cast<size_t>(row * c_stride_ + column) * size;
      if (std::memcmp(&c[at], &start_[at], size) == 0) continue;
      verdict->mismatch = absl::StrCat(
          "c at row ", row, ", column ", column, column < n ? " (in a skipped tile)" : " (in a gap)", " must stay ",
          absl::BytesToHexString(start_.substr(at, size)), ", but is ", absl::BytesToHexString(c.substr(at, size)));
      verdict->first_difference = ElementIndex{row, column};
      return;
    }
  }
}

void WaveOracle::JudgeTile(size_t position, const std::vector<double>& got, Verdict* verdict) const {
  const ScheduledTile& tile = schedule_.order[position];
  if (tile.dropped) return;
  const TileElements elements = ElementsOf(tile);
  if (elements.size() == 0) return;
  double off = 0, norm = 0;
  for (const int64_t row : elements.rows) {
    for (int64_t column = elements.column_begin; column < elements.column_end; ++column) {
      const size_t at = IndexOf(row, column);
      const double difference = got[at] - want_[at];
      off += difference * difference;
      norm += want_[at] * want_[at];
    }
  }
  const double count = std::sqrt(static_cast<double>(elements.size()));
  const double against = std::max({std::sqrt(norm), scales_[position] / 4, SmallestNormal(c_dtype_) * count});
  double error = off == 0 ? 0 : std::sqrt(off) / against;
  if (std::isnan(error)) error = std::numeric_limits<double>::infinity();  // A NaN that does not belong there.
  if (error > verdict->worst_rel_error) {
    verdict->worst_rel_error = error;
    verdict->worst_m = tile.m;
    verdict->worst_n = tile.n;
  }
  if (error <= tolerance()) return;
  // Were every element within its share, the tile would be within the tolerance.
  const double share = tolerance() * against / count;
  for (const int64_t row : elements.rows) {
    for (int64_t column = elements.column_begin; column < elements.column_end; ++column) {
      const size_t at = IndexOf(row, column);
      if (std::abs(got[at] - want_[at]) <= share) continue;  // False for a NaN.
      const ElementIndex index = {row, column};
      if (!verdict->first_difference || index < *verdict->first_difference) verdict->first_difference = index;
    }
  }
}

}  // namespace bwrt::client
