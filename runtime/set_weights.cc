#include "runtime/set_weights.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/tensor_name.h"
#include "runtime/violations.h"
#include "runtime/wave_validator.h"

namespace bwrt::runtime {
namespace {

constexpr Duration kMaxWait = std::chrono::hours(1);

class Check {
 public:
  Check(const SetWeightsRequest& request, const Limits& limits) : r_(request), limits_(limits) {}

  absl::Status Run() {
    if (!r_.model.empty() && !IsModelName(r_.model)) {
      bad_.Add("model", "MODEL_NAME", Quoted(r_.model), "use 1 to ", kMaxModelNameBytes,
               " of A-Z a-z 0-9 . _ / -, beginning with a letter or digit");
    }
    if (r_.label.size() > kMaxLabelBytes) {
      bad_.Add("label", "TOO_LONG", absl::StrCat(r_.label.size(), " bytes"), "at most ", kMaxLabelBytes);
    }
    Policy();
    if (r_.tensors.empty()) bad_.Add("tensors", "MISSING", "(none)", "give at least one tensor");
    if (static_cast<int64_t>(r_.tensors.size()) > limits_.max_tensors) {
      bad_.Add("tensors", "TOO_MANY", absl::StrCat(r_.tensors.size(), " tensors"), "at most ", limits_.max_tensors);
    } else {
      for (size_t i = 0; i < r_.tensors.size(); ++i) Tensor(i);
    }
    return bad_.Take("weights");
  }

  WeightChange Take(SetWeightsRequest&& r) {
    WeightChange change;
    change.model = ModelName(std::move(r.model));
    for (TensorRequest& t : r.tensors) {
      change.tensors.push_back({std::move(t.name),
                                {*ElementType::FromWire(static_cast<int>(t.dtype)), std::move(t.shape)},
                                std::move(t.data)});
    }
    change.label = std::move(r.label);
    change.options.policy = static_cast<SwapPolicy>(r.policy);
    if (r.wait_timeout) change.options.wait_timeout = *r.wait_timeout;
    change.options.hold_after = r.hold_after;
    if (r.base_version) change.base_version = Version(*r.base_version);
    return change;
  }

 private:
  void Policy() {
    if (r_.policy < 0 || r_.policy > static_cast<int>(SwapPolicy::kWhenIdle)) {
      bad_.Add("policy", "UNKNOWN_VALUE", r_.policy, "use IN_WINDOW, WAIT_FOR_WINDOW or WHEN_IDLE");
    }
    const bool waits = r_.policy == static_cast<int>(SwapPolicy::kWaitForWindow);
    const auto duration = [&](absl::string_view field, const std::optional<Duration>& d, bool zero) {
      if (!d) return;
      const std::string value = absl::StrCat(Seconds(*d), "s");
      if (!waits) {
        bad_.Add(field, "POLICY", value, "only WAIT_FOR_WINDOW waits; set that policy or leave ", field, " out");
      } else if (*d < Duration(0) || (!zero && *d == Duration(0)) || *d > kMaxWait) {
        bad_.Add(field, "OUT_OF_RANGE", value, "must lie in ", zero ? "[" : "(", "0 s, ", Seconds(kMaxWait), " s]");
      }
    };
    duration("wait_timeout", r_.wait_timeout, /*zero=*/false);
    duration("hold_after", r_.hold_after, /*zero=*/true);
  }

  void Tensor(size_t i) {
    const TensorRequest& t = r_.tensors[i];
    const auto path = [i](absl::string_view part) { return absl::StrCat("tensors[", i, "].", part); };
    if (!IsTensorName(t.name)) {
      bad_.Add(path("name"), "TENSOR_NAME", Quoted(t.name), TensorNameRule());
    } else if (!names_.insert(t.name).second) {
      bad_.Add(path("name"), "TENSOR_REPEATED", Quoted(t.name), "given before; each name once");
    }
    const auto dtype = ElementType::FromWire(static_cast<int>(t.dtype));
    if (!dtype) {
      bad_.Add(path("dtype"), "UNKNOWN_DTYPE", static_cast<int>(t.dtype),
               "not a dtype this daemon knows; see the DType enum");
    }
    if (t.shape.empty() || static_cast<int64_t>(t.shape.size()) > limits_.max_tensor_dims) {
      bad_.Add(path("shape"), "DIMS", absl::StrCat(t.shape.size(), " dimensions"), "use 1 to ",
               limits_.max_tensor_dims);
      return;
    }
    int64_t bytes = dtype ? dtype->size() : 1;
    bool good = true;  // Every dimension is in range.
    bool fits = true;  // Their product is.
    for (size_t d = 0; d < t.shape.size(); ++d) {
      const bool positive = t.shape[d] > 0 && t.shape[d] <= limits_.max_dim;
      if (!positive) {
        bad_.Add(absl::StrCat("tensors[", i, "].shape[", d, "]"), "DIM_OUT_OF_RANGE", t.shape[d], "must lie in [1, ",
                 limits_.max_dim, "]");
      }
      good = good && positive;
      fits = fits && good && !__builtin_mul_overflow(bytes, t.shape[d], &bytes);
    }
    if (good && !fits) {
      bad_.Add(path("shape"), "TENSOR_SIZE", absl::StrCat(t.shape.size(), " dimensions"),
               "their product is larger than any memory");
    } else if (dtype && good && static_cast<int64_t>(t.data.size()) != bytes) {
      bad_.Add(path("data"), "TENSOR_SIZE", absl::StrCat(t.data.size(), " bytes"), "shape and dtype ", dtype->name(),
               " need exactly ", bytes);
    }
  }

  const SetWeightsRequest& r_;
  const Limits& limits_;
  std::set<absl::string_view> names_;
  Violations bad_;
};

}  // namespace

absl::StatusOr<WeightChange> CheckSetWeights(SetWeightsRequest request, const Limits& limits) {
  Check check(request, limits);
  if (absl::Status status = check.Run(); !status.ok()) return status;
  return check.Take(std::move(request));
}

}  // namespace bwrt::runtime
