#include "client/progress.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/format.h"

namespace bwrt::client {

Progress::Progress(std::ostream& out, bool terminal, absl::string_view label, uint64_t total, Unit unit)
    : out_(out), terminal_(terminal), label_(label), total_(total), unit_(unit), begin_(absl::Now()) {}

Progress::~Progress() {
  if (width_ == 0) return;
  out_ << '\r' << std::string(width_, ' ') << '\r' << std::flush;
}

void Progress::Update(uint64_t done) {
  if (!terminal_ || total_ == 0) return;
  const absl::Time now = absl::Now();
  if (done < total_ && now - drawn_ < absl::Milliseconds(100)) return;
  drawn_ = now;
  constexpr uint64_t kWidth = 30;
  const uint64_t filled = std::min(done, total_) * kWidth / total_;
  std::string line = absl::StrCat(label_, " [", std::string(filled, '#'), std::string(kWidth - filled, '.'), "] ");
  if (unit_ == Unit::kBytes) {
    absl::StrAppend(&line, Transfer(done, total_, now - begin_));
  } else {
    absl::StrAppend(&line, done, "/", total_);
  }
  // Blanks cover what a longer line left.
  width_ = std::max(width_, line.size());
  line.resize(width_, ' ');
  out_ << '\r' << line << std::flush;
}

std::string Progress::Transfer(uint64_t done, uint64_t total, absl::Duration elapsed) {
  std::string text = absl::StrCat(FormatBytes(done), "/", FormatBytes(total));
  const double seconds = absl::ToDoubleSeconds(elapsed);
  if (done == 0 || seconds <= 0) return text;
  const double rate = static_cast<double>(done) / seconds;
  absl::StrAppend(&text, ", ", FormatBytes(static_cast<uint64_t>(rate)), "/s");
  if (done >= total) return text;
  const absl::Duration left = absl::Seconds(std::ceil(static_cast<double>(total - done) / rate));
  absl::StrAppend(&text, ", ", absl::FormatDuration(left), " left");
  return text;
}

}  // namespace bwrt::client
