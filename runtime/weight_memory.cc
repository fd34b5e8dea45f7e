#include "runtime/weight_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <utility>
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

struct WeightBuffer::Block {
  Block() = default;
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() {
    if (memory != nullptr) {
      memory->GiveBack(base, mapped);
    } else if (mapped != 0) {
      munmap(base, mapped);
    } else {
      std::free(base);
    }
  }

  WeightBudget::Reservation reserved;  // Given back after the memory.
  WeightMemory* memory = nullptr;      // Null: `base`, if any, is a file's mapping or from the heap.
  char* base = nullptr;
  size_t mapped = 0;
  std::string adopted;
};

WeightBuffer::WeightBuffer(std::shared_ptr<Block> block, size_t size)
    : block_(std::move(block)), base_(block_->base), size_(size) {}

WeightBuffer::WeightBuffer(std::string adopted) : block_(std::make_shared<Block>()), size_(adopted.size()) {
  block_->adopted = std::move(adopted);
  base_ = block_->adopted.data();
}

void WeightBuffer::SkipPrefix(size_t bytes) {
  bytes = std::min(bytes, size_);
  base_ += bytes;
  size_ -= bytes;
}

WeightBuffer WeightBuffer::Part(size_t offset, size_t bytes) const {
  WeightBuffer part = *this;
  part.base_ += offset;
  part.size_ = bytes;
  return part;
}

void WeightBuffer::Charge(WeightBudget::Reservation reservation) {
  if (block_ != nullptr) block_->reserved = std::move(reservation);
}

bool WeightBuffer::charged() const { return block_ != nullptr && block_->reserved.bytes() > Bytes(0); }

WeightMemory::~WeightMemory() {
  for (const auto& [mapped, base] : free_) munmap(base, mapped);
}

absl::StatusOr<WeightBuffer> WeightMemory::Allocate(size_t bytes) {
  const auto exhausted = [&] {
    return MakeError(absl::StatusCode::kResourceExhausted, "WEIGHT_MEMORY",
                     absl::StrCat("weights: the machine has no ", bytes, " bytes left"));
  };
  if (Fails(failpoints_, "memory.allocate")) return exhausted();
  if (bytes < kMappedFrom) {
    void* base = nullptr;
    if (posix_memalign(&base, kAlignment, std::max<size_t>(bytes, 1)) != 0) return exhausted();
    auto block = std::make_shared<WeightBuffer::Block>();
    block->base = static_cast<char*>(base);
    return WeightBuffer(std::move(block), bytes);
  }
  const size_t unit = bytes < kHugePage ? size_t{1} << 16 : kHugePage;
  if (bytes > SIZE_MAX - unit) return exhausted();
  const size_t mapped = (bytes + unit - 1) / unit * unit;

  auto block = std::make_shared<WeightBuffer::Block>();
  std::vector<std::pair<size_t, char*>> released;
  {
    MutexLock lock(mu_);
    // What fits with little waste.
    if (const auto at = free_.lower_bound(mapped); at != free_.end() && at->first - mapped <= mapped / 8) {
      block->memory = this;
      block->mapped = at->first;
      block->base = at->second;
      kept_ -= at->first;
      free_.erase(at);
      return WeightBuffer(std::move(block), bytes);
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
  block->memory = this;
  block->mapped = mapped;
  block->base = static_cast<char*>(base);
  return WeightBuffer(std::move(block), bytes);
}

absl::StatusOr<WeightBuffer> WeightMemory::MapFile(const std::string& directory, size_t bytes) {
  const auto failed = [&](int error) {
    if (error == ENOSPC || error == EDQUOT) {
      return MakeError(absl::StatusCode::kResourceExhausted, "STATE_DIR_FULL",
                       absl::StrCat("the state directory has no room for ", bytes, " bytes of staged weights"));
    }
    return MakeError(absl::StatusCode::kUnavailable, "STATE_DIR_FAILED",
                     absl::StrCat("can't stage weights in the state directory: ", std::strerror(error)));
  };
  auto block = std::make_shared<WeightBuffer::Block>();
  const int fd = open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) return failed(errno);
  // All of it now: a mapping of a file that turns out not to fit its disk can only crash.
  int error = posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  void* base = MAP_FAILED;
  if (error == 0) {
    base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) error = errno;
  }
  close(fd);
  if (error != 0) return failed(error);
  block->base = static_cast<char*>(base);
  block->mapped = bytes;
  return WeightBuffer(std::move(block), bytes);
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
