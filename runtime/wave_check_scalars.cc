// Names, scalars, the swap window and the extents.
#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "runtime/page_source.h"
#include "runtime/wave_check.h"
#include "runtime/wave_validator.h"

namespace bwrt::runtime {

void CheckNames(const WaveRequest& r, Violations& bad) {
  if (!r.model.empty() && !IsModelName(r.model)) {
    bad.Add("model", "MODEL_NAME", Quoted(r.model), "use 1 to ", kMaxModelNameBytes,
            " of A-Z a-z 0-9 . _ / -, beginning with a letter or digit");
  }
  if (r.client_id.size() > kMaxClientIdBytes) {
    bad.Add("client_id", "TOO_LONG", absl::StrCat(r.client_id.size(), " bytes"), "at most ", kMaxClientIdBytes);
  }
  if (r.wave_id.size() > kMaxWaveIdBytes) {
    bad.Add("wave_id", "TOO_LONG", absl::StrCat(r.wave_id.size(), " bytes"), "at most ", kMaxWaveIdBytes);
  }
  if (!r.wave_id.empty() && r.client_id.empty()) {
    bad.Add("client_id", "MISSING", "\"\"", "a wave_id needs the client_id it is unique in");
  }
}

void CheckScalars(const WaveRequest& r, bool dry, Violations& bad) {
  if (r.alpha && !std::isfinite(*r.alpha)) {
    bad.Add("alpha", "NOT_FINITE", *r.alpha, "must be a finite number");
  }
  if (r.beta && !std::isfinite(*r.beta)) {
    bad.Add("beta", "NOT_FINITE", *r.beta, "must be a finite number");
  } else if (r.beta.value_or(0) != 0 && r.c.source == OperandRequest::Source::kAbsent && !dry) {
    bad.Add("beta", "BETA_WITHOUT_C", *r.beta, "needs c to scale; give c or set beta to 0");
  }
  if (r.priority < -kMaxPriority || r.priority > kMaxPriority) {
    bad.Add("priority", "OUT_OF_RANGE", r.priority, "must lie in [", -kMaxPriority, ", ", kMaxPriority, "]");
  }
  if (r.timeout && *r.timeout <= Duration(0)) {
    bad.Add("timeout", "OUT_OF_RANGE", absl::StrCat(Seconds(*r.timeout), "s"),
            "must be positive; leave it out for none");
  }
  const auto known = [&](absl::string_view field, int value, int last) {
    if (value < 0 || value > last) bad.Add(field, "UNKNOWN_VALUE", value, "not a value this daemon knows");
  };
  known("activation", static_cast<int>(r.activation), static_cast<int>(ActivationWish::kSilu));
  known("coverage", static_cast<int>(r.coverage), static_cast<int>(Coverage::kPartial));
  known("spec.tail_policy", static_cast<int>(r.spec.tail_policy), static_cast<int>(TailPolicy::kPeel));
}

void CheckScales(const WaveRequest& r, std::optional<kernels::DType> dtype, Violations& bad) {
  bool good = true;
  const auto check = [&](absl::string_view field, const std::optional<float>& scale) {
    if (!scale) return;
    // Where the dtype itself is wrong, that is said.
    if (dtype && !kernels::IsF8(*dtype)) {
      bad.Add(field, "SCALE_WITHOUT_F8", *scale, "only F8_E4M3 and F8_E5M2 have scales, and the dtype is ",
              kernels::Name(*dtype), "; leave it out, or fold it into alpha");
      good = false;
    } else if (!std::isfinite(*scale) || *scale <= 0) {
      bad.Add(field, "SCALE", *scale, "must be a finite number above 0");
      good = false;
    }
  };
  check("a_scale", r.a_scale);
  check("w_scale", r.w_scale);
  const double factor = double{r.alpha.value_or(1)} * r.a_scale.value_or(1) * r.w_scale.value_or(1);
  if (good && std::isfinite(r.alpha.value_or(1)) && !std::isfinite(static_cast<float>(factor))) {
    bad.Add("a_scale", "SCALE", r.a_scale.value_or(1), "alpha * a_scale * w_scale is ", factor,
            ", beyond the range of f32; use smaller scales");
  }
}

void CheckWindow(const WaveSpec& s, Violations& bad) {
  if (s.swap_begin < 0) bad.Add("spec.swap_begin", "SWAP_WINDOW", s.swap_begin, "must be at least 0");
  if (s.swap_end <= s.swap_begin) {
    bad.Add("spec.swap_end", "SWAP_WINDOW", s.swap_end, "must be greater than swap_begin=", s.swap_begin,
            ": the window [swap_begin, swap_end) would be empty");
  }
}

void CheckExtents(const std::vector<IoExtent>& extents, bool paged, const Limits& limits, Violations& bad) {
  if (!CheckCount("spec.io_extents", extents.size(), limits.max_io_extents, bad)) return;
  int64_t pages = 0;
  for (size_t i = 0; i < extents.size(); ++i) {
    const IoExtent& e = extents[i];
    const auto path = [i](absl::string_view part) { return absl::StrCat("spec.io_extents[", i, "].", part); };
    if (e.layer.empty() || e.layer.size() > kMaxLayerBytes ||
        std::any_of(e.layer.begin(), e.layer.end(), [](char ch) { return absl::ascii_iscntrl(ch); })) {
      bad.Add(path("layer"), "LAYER_NAME", Quoted(e.layer), "use 1 to ", kMaxLayerBytes,
              " bytes without control characters");
    }
    const bool start = e.start_pid >= 0 && e.start_pid <= kMaxId;
    if (!start) {
      bad.Add(path("start_pid"), "ID_OUT_OF_RANGE", e.start_pid, "must lie in [0, ", kMaxId, "]; page ids are 32-bit");
    }
    // One below the first page is how an empty range at page 0 is written.
    const bool end = e.end_pid >= -1 && e.end_pid <= kMaxId;
    if (!end) {
      bad.Add(path("end_pid"), "ID_OUT_OF_RANGE", e.end_pid, "must lie in [-1, ", kMaxId, "]; page ids are 32-bit");
    }
    if (paged && LayerNumber(e.layer) < 0) {
      bad.Add(path("layer"), "LAYER_NUMBER", Quoted(e.layer),
              "the page source keeps layers by number; use digits, at most ", kMaxId);
    }
    // Of ids in range only: those are 32-bit, and extents few, so that this can't overflow.
    if (start && end) pages += std::max<int64_t>(e.end_pid - e.start_pid + 1, 0);
  }
  if (paged && pages > limits.max_wave_pages) {
    bad.Add("spec.io_extents", "TOO_MANY", absl::StrCat(pages, " pages"), "at most ", limits.max_wave_pages,
            " pages a wave");
  }
}

}  // namespace bwrt::runtime
