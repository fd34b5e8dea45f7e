// The judging half of WaveOracle.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

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
  JudgeC(result.c(), &verdict);
  return verdict;
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

void WaveOracle::JudgeC(const std::string& c, Verdict* verdict) const {
  const auto say = [&](std::string mismatch) {
    if (verdict->ok()) verdict->mismatch = std::move(mismatch);
  };
  if (c.size() != start_.size()) return say(absl::StrCat("c has ", c.size(), " bytes, want ", start_.size()));
  const int64_t n = request_.n(), size = DTypeBytes(c_dtype_);
  for (int64_t i = 0; i < static_cast<int64_t>(c.size()) / size; ++i) {
    const int64_t row = i / c_stride_, column = i % c_stride_;
    if (column < n && computed_[static_cast<size_t>(row * n + column)]) continue;
    const auto at = static_cast<size_t>(i * size), count = static_cast<size_t>(size);
    if (std::memcmp(&c[at], &start_[at], count) == 0) continue;
    say(absl::StrCat("c at row ", row, ", column ", column, column < n ? " (in a skipped tile)" : " (in a gap)",
                     " must stay ", absl::BytesToHexString(start_.substr(at, count)), ", but is ",
                     absl::BytesToHexString(c.substr(at, count))));
    break;
  }

  const auto got = DecodeElements(c_dtype_, c);
  if (!got.ok()) return say(got.status().ToString());
  for (size_t t = 0; t < schedule_.order.size(); ++t) {
    const ScheduledTile& tile = schedule_.order[t];
    if (tile.dropped) continue;
    const int64_t row_end = std::min((tile.m + 1) * request_.spec().bm(), request_.m());
    const int64_t column_begin = tile.n * request_.spec().bn();
    const int64_t column_end = std::min<int64_t>(column_begin + request_.spec().bn(), n);
    double off = 0, norm = 0;
    for (int64_t packed = tile.m * request_.spec().bm(); packed < row_end; ++packed) {
      const int64_t row = schedule_.packed_rows[static_cast<size_t>(packed)];
      for (int64_t column = column_begin; column < column_end; ++column) {
        const double want = want_[static_cast<size_t>(row * n + column)];
        const double difference = (*got)[static_cast<size_t>(row * c_stride_ + column)] - want;
        off += difference * difference;
        norm += want * want;
      }
    }
    const double elements =
        static_cast<double>((row_end - tile.m * request_.spec().bm()) * (column_end - column_begin));
    const double against = std::max({std::sqrt(norm), scales_[t] / 4, SmallestNormal(c_dtype_) * std::sqrt(elements)});
    double error = off == 0 ? 0 : std::sqrt(off) / against;
    if (std::isnan(error)) error = std::numeric_limits<double>::infinity();  // A NaN that does not belong there.
    if (error <= verdict->worst_rel_error) continue;
    verdict->worst_rel_error = error;
    verdict->worst_m = tile.m;
    verdict->worst_n = tile.n;
  }
  if (verdict->worst_rel_error > tolerance()) {
    say(absl::StrCat("tile (", verdict->worst_m, ",", verdict->worst_n, ") is off by ", verdict->worst_rel_error,
                     ", allowed ", tolerance()));
  }
}

}  // namespace bwrt::client
