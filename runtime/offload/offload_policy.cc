#include "runtime/offload/offload_policy.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace bwrt::runtime {
namespace {

std::string Micros(Duration time) {
  return absl::StrCat(std::chrono::duration_cast<std::chrono::microseconds>(time).count(), " us");
}

std::string Text(const Placement::Prediction& p) {
  return absl::StrCat(p.device, " ", Micros(*p.time), p.resident ? "" : " with its weights copied there");
}

}  // namespace

Choice Choose(std::vector<Placement::Prediction> predictions, const OffloadOptions& options) {
  Choice choice;
  Placement& placement = choice.placement;
  const Placement::Prediction& first = predictions.front();
  size_t best = 0;
  for (size_t i = 1; i < predictions.size(); ++i) {
    if (!predictions[i].time) continue;
    if (best == 0 || *predictions[i].time < *predictions[best].time) best = i;
  }
  if (*first.time < options.small_wave) {
    placement.reason = Placement::Reason::kSmallWave;
    placement.text = absl::StrCat("a small wave: predicted ", Text(first), ", below ", Micros(options.small_wave));
  } else if (best == 0) {
    placement.reason = Placement::Reason::kOutOfService;
    placement.text = absl::StrCat("no other device can run it now; predicted ", Text(first));
  } else {
    placement.threshold = std::chrono::duration_cast<Duration>(*first.time * options.worth);
    const bool faster = *predictions[best].time < placement.threshold;
    placement.reason = faster ? Placement::Reason::kFaster : Placement::Reason::kNotFaster;
    placement.text = absl::StrCat("predicted ", Text(predictions[best]), faster ? ", below " : ", not below ",
                                  Micros(placement.threshold), " (", Text(first), " less a margin)");
    if (faster) choice.device = best;
  }
  placement.device = predictions[choice.device].device;
  placement.predictions = std::move(predictions);
  return choice;
}

}  // namespace bwrt::runtime
