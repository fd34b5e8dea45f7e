#include "runtime/cuda/cuda_graph_cache.h"

#include <algorithm>
#include <utility>

namespace bwrt::cuda {

// Errors of destroying are those that every later call meets again.
void CudaGraphCache::DestroyRetired() {
  for (const Graph graph : retired_) (void)driver_->DestroyGraph(graph).ok();
  retired_.clear();
}

CudaGraphCache::~CudaGraphCache() {
  for (const Entry& entry : entries_) {
    if (entry.graph != nullptr) retired_.push_back(entry.graph);
  }
  DestroyRetired();
}

void CudaGraphCache::Abandon() {
  entries_.clear();
  retired_.clear();
}

void CudaGraphCache::Forget(const std::byte* memory, int64_t bytes) {
  entries_.remove_if([&](const Entry& entry) {
    if (entry.weights < memory || entry.weights >= memory + bytes) return false;
    if (entry.graph != nullptr) retired_.push_back(entry.graph);
    return true;
  });
}

CudaStatus CudaGraphCache::Run(Stream stream, const CudaPlanKey& kind, const std::byte* weights,
                               const GraphArguments& arguments, const std::function<CudaStatus()>& queue) {
  if (limit_ == 0) return queue();
  DestroyRetired();
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.weights == weights && entry.kind == kind; });
  if (found == entries_.end()) {
    entries_.push_front({kind, weights, arguments, nullptr});
    if (entries_.size() > limit_) {
      if (entries_.back().graph != nullptr) retired_.push_back(entries_.back().graph);
      entries_.pop_back();
    }
    return queue();
  }
  entries_.splice(entries_.begin(), entries_, found);
  Entry& entry = entries_.front();
  if (entry.graph == nullptr || entry.arguments != arguments) {
    entry.arguments = arguments;
    if (CudaStatus status = Capture(entry, stream, queue); !status.ok()) {
      if (entry.graph != nullptr) retired_.push_back(entry.graph);
      entries_.pop_front();
      return status;
    }
  }
  return driver_->LaunchGraph(entry.graph, stream);
}

CudaStatus CudaGraphCache::Capture(Entry& entry, Stream stream, const std::function<CudaStatus()>& queue) {
  if (CudaStatus status = driver_->BeginCapture(stream); !status.ok()) return status;
  if (CudaStatus status = queue(); !status.ok()) {
    // The stream must come out of capturing whatever went wrong; what did is the answer.
    (void)driver_->EndCapture(stream, nullptr).ok();
    return status;
  }
  return driver_->EndCapture(stream, &entry.graph);
}

}  // namespace bwrt::cuda
