#include "server/decision_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/log.h"

namespace bwrt::server {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMaxWaiting = 10'000;

std::string Text(absl::string_view s) { return std::string(s); }

std::string Line(const runtime::WaveEnd& end, int64_t left_out) {
  const runtime::Wave& wave = *end.wave;
  const runtime::Placement& placement = *end.placement;
  Json json;
  json["time"] = UtcNow();
  json["model"] = Text(end.model);
  if (!wave.wave_id.empty()) json["wave_id"] = wave.wave_id;
  json["m"] = wave.grid.m;
  json["n"] = wave.grid.n;
  json["k"] = wave.k;
  json["dtype"] = Text(kernels::Name(wave.dtype));
  json["device"] = placement.device;
  json["reason"] = Text(Name(placement.reason));
  json["text"] = placement.text;
  json["threshold_seconds"] = runtime::Seconds(placement.threshold);
  Json& predicted = json["predicted"] = Json::array();
  for (const auto& prediction : placement.predictions) {
    Json& one = predicted.emplace_back();
    one["device"] = prediction.device;
    // Absent where the device could not run the wave.
    if (prediction.time) one["seconds"] = runtime::Seconds(*prediction.time);
    one["resident"] = prediction.resident;
  }
  json["outcome"] = Text(Name(end.outcome));
  if (end.timings != nullptr) {
    json["compute_seconds"] = runtime::Seconds(end.timings->compute);
    json["copy_seconds"] = runtime::Seconds(end.timings->copy);
  }
  if (left_out > 0) json["left_out"] = left_out;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

absl::StatusOr<std::unique_ptr<DecisionLog>> DecisionLog::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("--decision-log=", path));
  return std::unique_ptr<DecisionLog>(new DecisionLog(fd));
}

bool DecisionLog::Append(absl::string_view text) const {
  while (!text.empty()) {
    const ssize_t written = write(file_.fd(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

void DecisionLog::Write(const runtime::WaveEnd& end) {
  if (end.placement == nullptr) return;
  int64_t left_out = 0;
  {
    runtime::MutexLock lock(mu_);
    if (waiting_ >= kMaxWaiting) {
      ++left_out_;
      return;
    }
    ++waiting_;
    left_out = std::exchange(left_out_, 0);
  }
  writer_.Post([this, line = Line(end, left_out), left_out] {
    // What a failed write left of its line must not run into this one.
    broken_ = !Append(broken_ ? "\n" + line : line);
    runtime::MutexLock lock(mu_);
    --waiting_;
    if (broken_) left_out_ += left_out + 1;
  });
}

}  // namespace bwrt::server
