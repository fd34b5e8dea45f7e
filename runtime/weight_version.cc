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

WeightVersion::Ptr WeightVersion::With(VersionChange change) const {
  auto next = std::shared_ptr<WeightVersion>(new WeightVersion());
  next->number_ = change.number;
  next->base_ = number_;
  next->restored_from_ = change.restored_from;
  next->label_ = std::move(change.label);

  std::vector<TensorPtr> fresh;
  fresh.reserve(change.put.size());
  for (NamedTensor& tensor : change.put) {
    if (tensor.version == Version()) tensor.version = change.number;
    fresh.push_back(std::make_shared<NamedTensor>(std::move(tensor)));
  }
  std::sort(fresh.begin(), fresh.end(), ByName);
  std::sort(change.removed.begin(), change.removed.end());
  std::vector<TensorPtr> kept;
  if (!change.replaces_all) {
    kept.reserve(tensors_.size());
    for (const TensorPtr& t : tensors_) {
      if (!std::binary_search(change.removed.begin(), change.removed.end(), t->name)) kept.push_back(t);
    }
  }
  next->tensors_.reserve(kept.size() + fresh.size());
  // set_union takes equal elements from the first range: a fresh tensor wins over the one it replaces.
  std::set_union(fresh.begin(), fresh.end(), kept.begin(), kept.end(), std::back_inserter(next->tensors_), ByName);
  next->bytes_ = Total(next->tensors_);
  next->replaced_ = BytesNotIn(*next);
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
