#include "runtime/request_check.h"

#include "absl/strings/str_cat.h"
#include "runtime/tensor_name.h"
#include "runtime/wave_validator.h"

namespace bwrt::runtime {
namespace {

constexpr Duration kMaxWait = std::chrono::hours(1);

}  // namespace

void CheckTensorName(absl::string_view path, const std::string& name, std::set<absl::string_view>& names,
                     Violations& bad) {
  const std::string field = absl::StrCat(path, ".name");
  if (!IsTensorName(name)) {
    bad.Add(field, "TENSOR_NAME", Quoted(name), TensorNameRule());
  } else if (!names.insert(name).second) {
    bad.Add(field, "TENSOR_REPEATED", Quoted(name), "given before; each name once");
  }
}

std::optional<TensorType> CheckTensorType(absl::string_view path, int dtype, const std::vector<int64_t>& shape,
                                          const Limits& limits, Violations& bad) {
  const auto type = ElementType::FromWire(dtype);
  if (!type) {
    bad.Add(absl::StrCat(path, ".dtype"), "UNKNOWN_DTYPE", dtype, "not a dtype this daemon knows; see the DType enum");
  }
  const std::string field = absl::StrCat(path, ".shape");
  if (shape.empty() || static_cast<int64_t>(shape.size()) > limits.max_tensor_dims) {
    bad.Add(field, "DIMS", absl::StrCat(shape.size(), " dimensions"), "use 1 to ", limits.max_tensor_dims);
    return std::nullopt;
  }
  int64_t bytes = type ? type->size() : 1;
  bool good = true;  // Every dimension is in range.
  bool fits = true;  // Their product is.
  for (size_t d = 0; d < shape.size(); ++d) {
    const bool positive = shape[d] > 0 && shape[d] <= limits.max_dim;
    if (!positive) {
      bad.Add(absl::StrCat(field, "[", d, "]"), "DIM_OUT_OF_RANGE", shape[d], "must lie in [1, ", limits.max_dim, "]");
    }
    good = good && positive;
    fits = fits && good && !__builtin_mul_overflow(bytes, shape[d], &bytes);
  }
  if (good && !fits) {
    bad.Add(field, "TENSOR_SIZE", absl::StrCat(shape.size(), " dimensions"), "their product is larger than any memory");
  }
  if (!type || !good || !fits) return std::nullopt;
  return TensorType{*type, shape};
}

void CheckModelName(absl::string_view model, Violations& bad) {
  if (model.empty() || IsModelName(model)) return;
  bad.Add("model", "MODEL_NAME", Quoted(model), "use 1 to ", kMaxModelNameBytes,
          " of A-Z a-z 0-9 . _ / -, beginning with a letter or digit");
}

void CheckLabel(absl::string_view field, absl::string_view label, Violations& bad) {
  if (label.size() > kMaxLabelBytes) {
    bad.Add(field, "TOO_LONG", absl::StrCat(label.size(), " bytes"), "at most ", kMaxLabelBytes);
  }
}

SwapOptions CheckSwapWish(const SwapWish& wish, Violations& bad) {
  SwapOptions options;
  if (wish.policy < 0 || wish.policy > static_cast<int>(SwapPolicy::kWhenIdle)) {
    bad.Add("policy", "UNKNOWN_VALUE", wish.policy, "use IN_WINDOW, WAIT_FOR_WINDOW or WHEN_IDLE");
  } else {
    options.policy = static_cast<SwapPolicy>(wish.policy);
  }
  const bool waits = options.policy == SwapPolicy::kWaitForWindow;
  const auto duration = [&](absl::string_view field, const std::optional<Duration>& d, bool zero) {
    if (!d) return;
    const std::string value = absl::StrCat(Seconds(*d), "s");
    if (!waits) {
      bad.Add(field, "POLICY", value, "only WAIT_FOR_WINDOW waits; set that policy or leave ", field, " out");
    } else if (*d < Duration(0) || (!zero && *d == Duration(0)) || *d > kMaxWait) {
      bad.Add(field, "OUT_OF_RANGE", value, "must lie in ", zero ? "[" : "(", "0 s, ", Seconds(kMaxWait), " s]");
    }
  };
  duration("wait_timeout", wish.wait_timeout, /*zero=*/false);
  duration("hold_after", wish.hold_after, /*zero=*/true);
  if (wish.wait_timeout) options.wait_timeout = *wish.wait_timeout;
  options.hold_after = wish.hold_after;
  return options;
}

void CheckDuration(absl::string_view field, std::optional<Duration> value, Duration min, Duration max,
                   Violations& bad) {
  if (!value || (*value >= min && *value <= max)) return;
  bad.Add(field, "OUT_OF_RANGE", absl::StrCat(Seconds(*value), "s"), "must lie in [", Seconds(min), " s, ",
          Seconds(max), " s]");
}

}  // namespace bwrt::runtime
