#include "client/progress.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace bwrt::client {

Progress::Progress(std::ostream& out, bool terminal, absl::string_view label, uint64_t total)
    : out_(out), terminal_(terminal), label_(label), total_(total) {}

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
  const std::string line =
      absl::StrCat(label_, " [", std::string(filled, '#'), std::string(kWidth - filled, '.'), "] ", done, "/", total_);
  out_ << '\r' << line << std::flush;
  width_ = std::max(width_, line.size());
}

}  // namespace bwrt::client
