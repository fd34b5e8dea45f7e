// WeightMemory: the memory of weight tensors on the host, recycled.
//
// Touching fresh memory for the first time costs ten times what writing to it costs afterwards, so that a
// swap in steady state should write where the version before last lay. Large buffers are mapped with huge
// pages and kept when they are given back; keeping them never makes the process larger than it has been: a
// new mapping first releases as much of what is kept.
//
// Thread-safe. Must outlive its buffers.
#ifndef BWRT_RUNTIME_WEIGHT_MEMORY_H_
#define BWRT_RUNTIME_WEIGHT_MEMORY_H_

#include <cstddef>
#include <map>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/mutex.h"

namespace bwrt::runtime {

class WeightMemory;

// A piece of memory. Move-only; writable until it is given to a tensor. At least 64-byte aligned unless it
// adopted a string or skips a prefix.
class WeightBuffer {
 public:
  WeightBuffer() = default;
  // Takes over a string's bytes.
  explicit WeightBuffer(std::string adopted) : adopted_(std::move(adopted)), size_(adopted_.size()) {}
  WeightBuffer(WeightBuffer&& other) noexcept { Swap(other); }
  // Gives back at once what it held.
  WeightBuffer& operator=(WeightBuffer&& other) noexcept;
  ~WeightBuffer();

  char* data() { return const_cast<char*>(std::as_const(*this).data()); }
  const char* data() const { return (base_ != nullptr ? base_ : adopted_.data()) + skipped_; }
  size_t size() const { return size_; }
  absl::string_view view() const { return {data(), size_}; }

  // Leaves out the first `bytes`, which stay allocated.
  void SkipPrefix(size_t bytes);

 private:
  friend class WeightMemory;
  WeightBuffer(WeightMemory* memory, char* base, size_t mapped, size_t size)
      : memory_(memory), base_(base), mapped_(mapped), size_(size) {}
  void Swap(WeightBuffer& other) noexcept;

  WeightMemory* memory_ = nullptr;
  char* base_ = nullptr;
  size_t mapped_ = 0;  // 0: from the heap.
  std::string adopted_;
  size_t skipped_ = 0;
  size_t size_ = 0;
};

class WeightMemory {
 public:
  // Keeps at most `kept_limit` bytes of what was given back.
  explicit WeightMemory(size_t kept_limit) : kept_limit_(kept_limit) {}
  ~WeightMemory();
  WeightMemory(const WeightMemory&) = delete;
  WeightMemory& operator=(const WeightMemory&) = delete;

  // Uninitialised bytes. RESOURCE_EXHAUSTED, reason WEIGHT_MEMORY, when the machine has none left.
  absl::StatusOr<WeightBuffer> Allocate(size_t bytes);

  // Bytes kept for reuse.
  size_t kept() const;

 private:
  friend class WeightBuffer;
  void GiveBack(char* base, size_t mapped);

  const size_t kept_limit_;
  mutable Mutex mu_;
  std::multimap<size_t, char*> free_ ABSL_GUARDED_BY(mu_);  // By mapped size.
  size_t kept_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_WEIGHT_MEMORY_H_
