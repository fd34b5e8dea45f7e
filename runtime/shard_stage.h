// ShardStage: one shard of an update while its bytes arrive: the memory, what of it is there, and the digest of that.
//
// Chunks come at any offset, in any order, from several threads, and may come again. Bytes are hashed as they come if
// everything before them is there; the others when their turn comes. Thread-safe.
#ifndef BWRT_RUNTIME_SHARD_STAGE_H_
#define BWRT_RUNTIME_SHARD_STAGE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "runtime/byte_ranges.h"
#include "runtime/digest.h"
#include "runtime/mutex.h"
#include "runtime/weight_budget.h"
#include "runtime/weight_memory.h"

namespace bwrt::runtime {

class ShardStage {
 public:
  // More pieces than this mean a client that sends single bytes: TOO_FRAGMENTED.
  static constexpr size_t kMaxPieces = 65536;

  // `bytes` > 0 have been reserved; `reserved` is empty where what Write allocates is charged to the budget already, or
  // takes no memory. `expected` is what they must hash to, if that is known.
  ShardStage(int64_t bytes, std::optional<Digest> expected, WeightBudget::Reservation reserved)
      : bytes_(bytes), expected_(expected), reserved_(std::move(reserved)) {}

  int64_t bytes() const { return bytes_; }

  // `name` is the shard in errors. `memory` allocates on the first write. INVALID_ARGUMENT CHUNK_OUT_OF_RANGE,
  // CHUNK_CONFLICT; RESOURCE_EXHAUSTED WEIGHT_MEMORY, TOO_FRAGMENTED. Then nothing of the chunk was taken.
  absl::Status Write(absl::string_view name, int64_t offset, const absl::Cord& data,
                     const std::function<absl::StatusOr<WeightBuffer>(size_t)>& allocate);

  int64_t received() const;
  // At most `limit` ranges.
  std::vector<ByteRange> Missing(size_t limit) const;

  // OK when all of it is there and hashes to what was expected. Otherwise one of UPDATE_INCOMPLETE's reasons and why:
  // then `reason` is SHARD_MISSING, SHARD_SHORT or DIGEST_MISMATCH; a mismatch drops the bytes.
  struct Fault {
    std::string reason;
    std::string why;
  };
  std::optional<Fault> Check();

  // Copies staged bytes, from `offset` on, as many as fit `bytes`. FAILED_PRECONDITION UPDATE_INCOMPLETE unless all
  // of them have been staged.
  absl::Status Read(absl::string_view name, int64_t offset, int64_t bytes, char* to) const;

  // After Check found no fault: the bytes, charged to the budget.
  WeightBuffer content() const;

 private:
  // Takes `bytes`, which lie at `offset` and are not there yet.
  void TakeLocked(int64_t offset, const absl::Cord& bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void HashLocked(absl::string_view next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int64_t bytes_;
  const std::optional<Digest> expected_;
  mutable Mutex mu_;
  WeightBudget::Reservation reserved_ ABSL_GUARDED_BY(mu_);
  WeightBuffer data_ ABSL_GUARDED_BY(mu_);
  ByteRanges received_ ABSL_GUARDED_BY(mu_);
  std::optional<Hasher> hasher_ ABSL_GUARDED_BY(mu_);  // From the first byte to the last.
  std::optional<Digest> found_ ABSL_GUARDED_BY(mu_);   // Of all bytes.
  int64_t hashed_ ABSL_GUARDED_BY(mu_) = 0;
  bool verified_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_SHARD_STAGE_H_
