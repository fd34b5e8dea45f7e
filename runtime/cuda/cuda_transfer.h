// CudaTransfer: copies between pageable host memory and the device, through two pinned pieces of memory in turn, so
// that one is filled while the other is on its way.
//
// One thread at a time. Its pieces and events are recycled for as long as it lives.
//
// 1. A piece is written, or read, by the host only after the event behind its last copy has passed.
#ifndef BWRT_RUNTIME_CUDA_CUDA_TRANSFER_H_
#define BWRT_RUNTIME_CUDA_CUDA_TRANSFER_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>

#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_status.h"

namespace bwrt::cuda {

class CudaTransfer {
 public:
  // Puts bytes [offset, offset + bytes) of what is copied at `to`.
  using Fill = std::function<void(int64_t offset, int64_t bytes, std::byte* to)>;
  using Take = std::function<void(int64_t offset, int64_t bytes, const std::byte* from)>;

  // `piece` in bytes, of each of the two.
  static CudaStatus Create(CudaDriver* driver, int64_t piece, std::unique_ptr<CudaTransfer>* to);
  ~CudaTransfer();
  CudaTransfer(const CudaTransfer&) = delete;
  CudaTransfer& operator=(const CudaTransfer&) = delete;

  // The context is gone, and what was made in it: the driver is not asked for it any more.
  void Abandon() { pieces_ = {}; }

  // Returns when the last copy is queued on `stream`; what `fill` reads from is no longer needed then.
  CudaStatus ToDevice(DevicePtr to, int64_t bytes, const Fill& fill, Stream stream);
  // Returns when `take` has had everything; the stream has then come past all that was queued before.
  CudaStatus ToHost(const std::byte* from, int64_t bytes, const Take& take, Stream stream);

 private:
  struct Piece {
    std::byte* memory = nullptr;
    Event copied = nullptr;
    bool under_way = false;
  };

  CudaTransfer(CudaDriver* driver, int64_t piece) : driver_(driver), piece_(piece) {}
  CudaStatus Await(Piece& piece);

  CudaDriver* const driver_;
  const int64_t piece_;
  std::array<Piece, 2> pieces_;
  size_t next_ = 0;
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_TRANSFER_H_
