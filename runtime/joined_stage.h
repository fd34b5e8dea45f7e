// JoinedStage: the memory of a tensor whose raw shards are staged one by one, each in its place: what has been staged
// is the tensor, and joining them takes neither time nor memory.
//
// Thread-safe: its shards are written by several streams at once. Shared between them and the update.
#ifndef BWRT_RUNTIME_JOINED_STAGE_H_
#define BWRT_RUNTIME_JOINED_STAGE_H_

#include <cstddef>
#include <functional>
#include <utility>

#include "absl/status/statusor.h"
#include "runtime/mutex.h"
#include "runtime/weight_budget.h"
#include "runtime/weight_memory.h"

namespace bwrt::runtime {

class JoinedStage {
 public:
  // `reserved` is the budget's room for all of the tensor's `bytes`; empty where they take no memory.
  JoinedStage(size_t bytes, WeightBudget::Reservation reserved) : bytes_(bytes), reserved_(std::move(reserved)) {}

  // Where the shard with the tensor's bytes [offset, offset + bytes) is to be written. The first call allocates the
  // whole tensor; an error of `allocate` is returned, and the next call tries again.
  absl::StatusOr<WeightBuffer> Part(size_t offset, size_t bytes,
                                    const std::function<absl::StatusOr<WeightBuffer>(size_t)>& allocate);

  // The tensor. After Part has been called for each of its shards.
  WeightBuffer whole() const;

 private:
  const size_t bytes_;
  mutable Mutex mu_;
  WeightBudget::Reservation reserved_ ABSL_GUARDED_BY(mu_);  // Until there is memory that is charged with it.
  WeightBuffer whole_ ABSL_GUARDED_BY(mu_);
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_JOINED_STAGE_H_
