// WeightBudget: how many bytes of weights the daemon may hold, counted before anything is allocated.
//
// Thread-safe. Must outlive its reservations.
#ifndef BWRT_RUNTIME_WEIGHT_BUDGET_H_
#define BWRT_RUNTIME_WEIGHT_BUDGET_H_

#include <array>
#include <atomic>
#include <functional>
#include <utility>

#include "absl/status/statusor.h"
#include "runtime/ids.h"

namespace bwrt::runtime {

class WeightBudget {
 public:
  // Gives its bytes back when destroyed.
  class Reservation {
   public:
    Reservation() = default;
    Reservation(Reservation&& other) noexcept { *this = std::move(other); }
    Reservation& operator=(Reservation&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(bytes_, other.bytes_);
      std::swap(kind_, other.kind_);
      return *this;
    }
    ~Reservation();
    Bytes bytes() const { return bytes_; }
    // Takes over what `other`, of the same budget and kind, has.
    void Add(Reservation other);
    // Gives back what is more than `bytes`.
    void Shrink(Bytes bytes);

   private:
    friend class WeightBudget;
    Reservation(WeightBudget* budget, Bytes bytes, int kind) : budget_(budget), bytes_(bytes), kind_(kind) {}
    WeightBudget* budget_ = nullptr;
    Bytes bytes_;
    int kind_ = 0;
  };

  explicit WeightBudget(Bytes limit) : limit_(limit) {}

  // What the bytes are: a tensor's content as published, or a copy of it in a device's own layout.
  enum class Kind { kContent = 0, kLayout = 1 };

  // RESOURCE_EXHAUSTED, reason WEIGHT_MEMORY, when `bytes` more would pass the limit.
  absl::StatusOr<Reservation> Reserve(Bytes bytes, Kind kind);
  // The same, but what `room` has, of whatever kind, is taken from there first. On an error `room` is as it was.
  absl::StatusOr<Reservation> Reserve(Bytes bytes, Kind kind, Reservation& room);

  // Reserves even beyond the limit, for what takes the place of bytes that are about to be given back: nobody else can
  // have them then.
  Reservation ReserveAhead(Bytes bytes, Kind kind);

  // What is asked, under no lock, when a reservation does not fit: true when it has given something back. To be set
  // before the budget is used.
  void SetPressure(std::function<bool()> pressure) { pressure_ = std::move(pressure); }

  Bytes limit() const { return limit_; }
  // Reserved bytes of one kind.
  Bytes reserved(Kind kind) const { return Bytes(by_kind_[static_cast<size_t>(kind)].load(std::memory_order_relaxed)); }

 private:
  bool TryReserve(int64_t bytes);

  const Bytes limit_;
  std::function<bool()> pressure_;
  std::atomic<int64_t> reserved_{0};
  std::array<std::atomic<int64_t>, 2> by_kind_{};
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_WEIGHT_BUDGET_H_
