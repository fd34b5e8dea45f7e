// A progress bar, for people who wait at a terminal.
//
// Bytes are shown with their rate and the time that is left at it.
//
// Owned by whoever does the work. Not thread-safe: one thread, or a lock of the caller's. Draws
// nothing unless told that it writes to a terminal; leaves the line clean when destroyed.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace bwrt::client {

class Progress {
 public:
  enum class Unit { kCount, kBytes };

  // `out` must outlive the bar. `total` is what Update counts up to.
  Progress(std::ostream& out, bool terminal, absl::string_view label, uint64_t total, Unit unit = Unit::kCount);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Redraws at most ten times a second, and at the end.
  void Update(uint64_t done);

  // What follows the bar for bytes: "1.0 MiB/4.0 MiB, 512.0 KiB/s, 6s left".
  static std::string Transfer(uint64_t done, uint64_t total, absl::Duration elapsed);

 private:
  std::ostream& out_;
  const bool terminal_;
  const std::string label_;
  const uint64_t total_;
  const Unit unit_;
  const absl::Time begin_;
  absl::Time drawn_ = absl::InfinitePast();
  size_t width_ = 0;  // Of the line on the screen.
};

}  // namespace bwrt::client
