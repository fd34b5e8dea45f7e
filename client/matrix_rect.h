// A rectangle of a matrix's elements, and how people write one: "ROW0:ROW1,COL0:COL1", ends exclusive.
//
// A plain value and pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bwrt::client {

struct MatrixRect {
  int64_t row_begin = 0;
  int64_t row_end = 0;  // Exclusive.
  int64_t column_begin = 0;
  int64_t column_end = 0;  // Exclusive.

  int64_t rows() const { return row_end - row_begin; }
  int64_t columns() const { return column_end - column_begin; }
  bool empty() const { return row_end <= row_begin || column_end <= column_begin; }
  bool HasRow(int64_t row) const { return row_begin <= row && row < row_end; }

  friend bool operator==(const MatrixRect&, const MatrixRect&) = default;
};

// INVALID_ARGUMENT: not of that form, a negative or too large number, or no element in it.
absl::StatusOr<MatrixRect> ParseMatrixRect(absl::string_view text);

std::string FormatMatrixRect(const MatrixRect& rect);

// What of `rect` lies in both; empty() where nothing does.
MatrixRect Intersect(const MatrixRect& rect, const MatrixRect& other);

}  // namespace bwrt::client
