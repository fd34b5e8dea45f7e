#include "runtime/cpu_scratch.h"

#include <new>
#include <optional>
#include <utility>

namespace bwrt::runtime {
namespace {

// The one put back last, whose memory is the warmest; null where there is none.
template <typename T>
std::unique_ptr<T> TakeLast(std::vector<std::unique_ptr<T>>& from) {
  if (from.empty()) return nullptr;
  std::unique_ptr<T> item = std::move(from.back());
  from.pop_back();
  return item;
}

// To forget it where there is no memory to remember it in frees it.
template <typename T>
void PutBack(std::unique_ptr<T> item, std::vector<std::unique_ptr<T>>& to) {
  try {
    to.push_back(std::move(item));
  } catch (const std::bad_alloc&) {
    return;
  }
}

}  // namespace

CpuScratch::Loan<kernels::TileScratch> CpuScratch::ForTiles() {
  {
    MutexLock lock(mu_);
    if (auto kept = TakeLast(tiles_)) return {this, std::move(kept)};
  }
  std::optional<kernels::TileScratch> fresh = kernels::TileScratch::Create();
  if (!fresh) return {this, nullptr};
  return {this, std::unique_ptr<kernels::TileScratch>(new (std::nothrow) kernels::TileScratch(*std::move(fresh)))};
}

CpuScratch::Loan<kernels::AlignedBuffer> CpuScratch::ForRows() {
  {
    MutexLock lock(mu_);
    if (auto kept = TakeLast(rows_)) return {this, std::move(kept)};
  }
  return {this, std::unique_ptr<kernels::AlignedBuffer>(new (std::nothrow) kernels::AlignedBuffer)};
}

void CpuScratch::Return(std::unique_ptr<kernels::TileScratch> tiles) {
  MutexLock lock(mu_);
  PutBack(std::move(tiles), tiles_);
}

void CpuScratch::Return(std::unique_ptr<kernels::AlignedBuffer> rows) {
  if (rows->size() > kKeptRowBytes) return;
  MutexLock lock(mu_);
  PutBack(std::move(rows), rows_);
}

}  // namespace bwrt::runtime
