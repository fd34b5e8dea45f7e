#include "runtime/weight_version.h"

#include <algorithm>
#include <utility>

namespace bwrt::runtime {
namespace {

using TensorPtr = std::shared_ptr<const NamedTensor>;

bool ByName(const TensorPtr& a, const TensorPtr& b) { return a->name < b->name; }

Bytes Total(const std::vector<TensorPtr>& tensors) {
  int64_t total = 0;
  for (const TensorPtr& t : tensors) total += t->tensor->type().bytes().value();
  return Bytes(total);
}

}  // namespace

WeightVersion::Ptr WeightVersion::Empty() { return Ptr(new WeightVersion()); }

WeightVersion::Ptr WeightVersion::With(
    std::string label, const std::vector<std::pair<std::string, std::shared_ptr<const DeviceTensor>>>& changed) const {
  auto next = std::shared_ptr<WeightVersion>(new WeightVersion());
  next->number_ = number_.next();
  next->label_ = std::move(label);

  std::vector<TensorPtr> fresh;
  fresh.reserve(changed.size());
  for (const auto& [name, tensor] : changed) {
    fresh.push_back(std::make_shared<NamedTensor>(NamedTensor{name, next->number_, tensor}));
  }
  std::sort(fresh.begin(), fresh.end(), ByName);
  next->tensors_.reserve(tensors_.size() + fresh.size());
  // set_union takes equal elements from the first range: a fresh tensor wins over the one it replaces.
  std::set_union(fresh.begin(), fresh.end(), tensors_.begin(), tensors_.end(), std::back_inserter(next->tensors_),
                 ByName);
  next->bytes_ = Total(next->tensors_);
  return next;
}

const NamedTensor* WeightVersion::Find(absl::string_view name) const {
  const auto at = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                   [](const TensorPtr& t, absl::string_view n) { return t->name < n; });
  return at != tensors_.end() && (*at)->name == name ? at->get() : nullptr;
}

Bytes WeightVersion::BytesNotIn(const WeightVersion& other) const {
  int64_t total = 0;
  for (const TensorPtr& t : tensors_) {
    const NamedTensor* theirs = other.Find(t->name);
    if (theirs == nullptr || theirs->tensor != t->tensor) total += t->tensor->type().bytes().value();
  }
  return Bytes(total);
}

}  // namespace bwrt::runtime
