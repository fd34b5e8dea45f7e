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
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/failpoints.h"
#include "runtime/mutex.h"
#include "runtime/weight_budget.h"

namespace bwrt::runtime {

class WeightMemory;

// A piece of memory: a handle whose copies share the bytes. Writable until it is given to a tensor. At least 64-byte
// aligned unless it adopted a string.
class WeightBuffer {
 public:
  WeightBuffer() = default;
  // Takes over a string's bytes.
  explicit WeightBuffer(std::string adopted);

  char* data() { return base_; }
  const char* data() const { return base_; }
  size_t size() const { return size_; }
  absl::string_view view() const { return {base_, size_}; }

  // Leaves out the first `bytes`, which stay allocated.
  void SkipPrefix(size_t bytes);

  // The bytes [offset, offset + bytes), which lie within: one handle more to the same memory.
  WeightBuffer Part(size_t offset, size_t bytes) const;

  // Makes `reservation` last as long as the memory.
  void Charge(WeightBudget::Reservation reservation);
  bool charged() const;

 private:
  friend class WeightMemory;
  struct Block;
  WeightBuffer(std::shared_ptr<Block> block, size_t size);

  std::shared_ptr<Block> block_;
  char* base_ = nullptr;
  size_t size_ = 0;
};

class WeightMemory {
 public:
  // Keeps at most `kept_limit` bytes of what was given back. `failpoints` is null but in tests.
  explicit WeightMemory(size_t kept_limit, Failpoints* failpoints = nullptr)
      : kept_limit_(kept_limit), failpoints_(failpoints) {}
  ~WeightMemory();
  WeightMemory(const WeightMemory&) = delete;
  WeightMemory& operator=(const WeightMemory&) = delete;

  // Uninitialised bytes. RESOURCE_EXHAUSTED, reason WEIGHT_MEMORY, when the machine has none left.
  absl::StatusOr<WeightBuffer> Allocate(size_t bytes);

  // Bytes that lie in an unnamed file of `directory` rather than in memory, and are gone with the buffer.
  // RESOURCE_EXHAUSTED, reason STATE_DIR_FULL; UNAVAILABLE, reason STATE_DIR_FAILED.
  static absl::StatusOr<WeightBuffer> MapFile(const std::string& directory, size_t bytes);

  // Bytes kept for reuse.
  size_t kept() const;

 private:
  friend class WeightBuffer;
  void GiveBack(char* base, size_t mapped);

  const size_t kept_limit_;
  Failpoints* const failpoints_;
  mutable Mutex mu_;
  std::multimap<size_t, char*> free_ ABSL_GUARDED_BY(mu_);  // By mapped size.
  size_t kept_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_WEIGHT_MEMORY_H_
