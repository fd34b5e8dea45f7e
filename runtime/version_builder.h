// VersionBuilder: makes tensors durable and resident, and versions of them: all the costly work before a flip.
//
// Thread-safe; calls block for as long as disk, packing or copying take. What it works with outlives it.
#ifndef BWRT_RUNTIME_VERSION_BUILDER_H_
#define BWRT_RUNTIME_VERSION_BUILDER_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/device.h"
#include "runtime/limits.h"
#include "runtime/observer.h"
#include "runtime/state/state_store.h"
#include "runtime/tensor.h"
#include "runtime/weight_budget.h"
#include "runtime/weight_memory.h"
#include "runtime/weight_version.h"

namespace bwrt::runtime {

// Bytes of tensors on their way into a version: counted while it lives.
class StagedBytes {
 public:
  StagedBytes() = default;
  explicit StagedBytes(std::atomic<int64_t>* total) : total_(total) {}
  StagedBytes(StagedBytes&& other) noexcept { *this = std::move(other); }
  StagedBytes& operator=(StagedBytes&& other) noexcept {
    std::swap(total_, other.total_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~StagedBytes() { Set(0); }

  void Set(int64_t bytes) {
    if (total_ != nullptr) total_->fetch_add(bytes - bytes_, std::memory_order_relaxed);
    bytes_ = bytes;
  }
  void Add(int64_t bytes) { Set(bytes_ + bytes); }

 private:
  std::atomic<int64_t>* total_ = nullptr;
  int64_t bytes_ = 0;
};

class VersionBuilder {
 public:
  struct Context {
    const Limits* limits;
    Device* device;
    WeightBudget* budget;
    WeightMemory* memory;
    RuntimeObserver* observer;
    StateStore* state;            // Null: nothing is durable.
    std::string state_directory;  // Where `state` lies.
  };

  explicit VersionBuilder(Context context) : context_(std::move(context)) {}

  bool durable() const { return context_.state != nullptr; }
  StateStore* state() const { return context_.state; }

  // Room for staged bytes: memory, or with `on_disk` a file in the state directory.
  absl::StatusOr<WeightBuffer> AllocateStage(size_t bytes, bool on_disk) const;
  // The shards of a tensor as one piece, charged to the budget, `room` of it first, unless it lies on disk.
  absl::StatusOr<WeightBuffer> Join(const std::vector<WeightBuffer>& shards, bool on_disk,
                                    WeightBudget::Reservation& room) const;

  // Nothing written is collected while it lives; null without a state directory.
  StateStore::Hold HoldCollection() const;

  // Writes the tensors to the state directory, if there is one: where each lies, in the same order.
  absl::StatusOr<std::vector<std::optional<StoredBytes>>> Store(const std::vector<HostTensor>& tensors) const;

  // Charges the budget with tensors that have not been staged. RESOURCE_EXHAUSTED, reason WEIGHT_MEMORY.
  absl::Status Charge(std::vector<HostTensor>& tensors) const;

  // Makes `room`, of kLayout, large enough for what will be made of a tensor beside what is staged: its layouts on
  // `base` (null: none) by Upload and, where `joins` is set, one piece of its shards by Join. To be asked before any
  // work is done. RESOURCE_EXHAUSTED, reason WEIGHT_MEMORY, names the tensor; then `room` is as it was.
  absl::Status ReserveRoom(const std::string& name, const TensorType& type, const WeightVersion* base, bool joins,
                           WeightBudget::Reservation& room) const;

  // Makes tensors resident, in the layouts that those they replace in `base` were used in. `stored` is Store's answer,
  // `layouts` the room reserved for each tensor's. A layout that waves have begun to use since, and for which there is
  // no room, is left to the first wave that wants it.
  absl::StatusOr<std::vector<NamedTensor>> Upload(std::vector<HostTensor> tensors,
                                                  const std::vector<std::optional<StoredBytes>>& stored,
                                                  const WeightVersion& base,
                                                  std::vector<WeightBudget::Reservation> layouts) const;

  // A version, and its manifest where it is durable. RESOURCE_EXHAUSTED TOO_MANY_TENSORS.
  struct Built {
    WeightVersion::Ptr version;
    std::optional<Digest> manifest;
  };
  absl::StatusOr<Built> Build(const std::string& model, const WeightVersion& base, VersionChange change) const;

  // The tensors of a stored version, made resident: those that `near` has already are shared, the others read from the
  // state directory and checked. `lazily`: without the layouts that waves want; see Prepare. Otherwise with them, where
  // there is room.
  absl::StatusOr<std::vector<NamedTensor>> Load(const std::vector<StoredTensor>& tensors, const WeightVersion& near,
                                                bool lazily = false) const;

  // ---- In place: tensors that are read in once those they replace have gone
  // Bytes that `next`, of whose tensors the `absent` ones are to be read in, will take beyond what its base gives back.
  static Bytes Growth(const std::vector<StoredTensor>& absent, const WeightVersion& next);
  // Room for that, while the base is still there: RESOURCE_EXHAUSTED, reason WEIGHT_MEMORY, names the model.
  absl::StatusOr<WeightBudget::Reservation> ReserveGrowth(const std::string& model, Bytes growth) const;
  // Makes `room` large enough for the tensors, whose predecessors are there still, or have just gone.
  void ReserveAhead(const std::vector<StoredTensor>& absent, WeightBudget::Reservation& room) const;
  // As Load, into `room`.
  absl::StatusOr<std::vector<NamedTensor>> LoadInto(const std::vector<StoredTensor>& tensors, const WeightVersion& near,
                                                    WeightBudget::Reservation& room) const;

  // Makes the layouts of tensors that were loaded lazily.
  void Prepare(const WeightVersion& version) const;

 private:
  absl::StatusOr<NamedTensor> LoadOne(const StoredTensor& tensor, const WeightVersion& near, bool lazily,
                                      WeightBudget::Reservation& room) const;

  const Context context_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_VERSION_BUILDER_H_
