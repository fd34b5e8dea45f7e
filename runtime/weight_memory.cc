#include "runtime/weight_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
// From here on a buffer is a mapping of its own.
constexpr size_t kMappedFrom = size_t{1} << 20;
constexpr size_t kAlignment = 64;

}  // namespace

WeightBuffer& WeightBuffer::operator=(WeightBuffer&& other) noexcept {
  WeightBuffer taken(std::move(other));
  Swap(taken);
  return *this;
}

void WeightBuffer::Swap(WeightBuffer& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(base_, other.base_);
  std::swap(mapped_, other.mapped_);
  adopted_.swap(other.adopted_);
  std::swap(skipped_, other.skipped_);
  std::swap(size_, other.size_);
}

WeightBuffer::~WeightBuffer() {
  if (base_ == nullptr) return;
  if (mapped_ == 0) {
    std::free(base_);
  } else {
    memory_->GiveBack(base_, mapped_);
  }
}

void WeightBuffer::SkipPrefix(size_t bytes) {
  bytes = std::min(bytes, size_);
  skipped_ += bytes;
  size_ -= bytes;
}

WeightMemory::~WeightMemory() {
  for (const auto& [mapped, base] : free_) munmap(base, mapped);
}

absl::StatusOr<WeightBuffer> WeightMemory::Allocate(size_t bytes) {
  const auto exhausted = [&] {
    return MakeError(absl::StatusCode::kResourceExhausted, "WEIGHT_MEMORY",
                     absl::StrCat("weights: the machine has no ", bytes, " bytes left"));
  };
  if (bytes < kMappedFrom) {
    void* base = nullptr;
    if (posix_memalign(&base, kAlignment, std::max<size_t>(bytes, 1)) != 0) return exhausted();
    return WeightBuffer(this, static_cast<char*>(base), 0, bytes);
  }
  const size_t unit = bytes < kHugePage ? size_t{1} << 16 : kHugePage;
  if (bytes > SIZE_MAX - unit) return exhausted();
  const size_t mapped = (bytes + unit - 1) / unit * unit;

  std::vector<std::pair<size_t, char*>> released;
  {
    MutexLock lock(mu_);
    // What fits with little waste.
    if (const auto at = free_.lower_bound(mapped); at != free_.end() && at->first - mapped <= mapped / 8) {
      WeightBuffer found(this, at->second, at->first, bytes);
      kept_ -= at->first;
      free_.erase(at);
      return found;
    }
    for (size_t sum = 0; sum < mapped && !free_.empty();) {
      // The smallest that is enough, so that one small tensor doesn't cost the largest buffer; else the largest.
      auto at = free_.lower_bound(mapped - sum);
      if (at == free_.end()) --at;
      released.emplace_back(*at);
      sum += at->first;
      kept_ -= at->first;
      free_.erase(at);
    }
  }
  for (const auto& [size, base] : released) munmap(base, size);
  void* base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return exhausted();
  madvise(base, mapped, MADV_HUGEPAGE);  // A wish: without it, it is only slower.
  return WeightBuffer(this, static_cast<char*>(base), mapped, bytes);
}

size_t WeightMemory::kept() const {
  MutexLock lock(mu_);
  return kept_;
}

void WeightMemory::GiveBack(char* base, size_t mapped) {
  {
    MutexLock lock(mu_);
    if (mapped <= kept_limit_ - kept_) {
      free_.emplace(mapped, base);
      kept_ += mapped;
      return;
    }
  }
  munmap(base, mapped);
}

}  // namespace bwrt::runtime
