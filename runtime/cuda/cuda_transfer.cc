#include "runtime/cuda/cuda_transfer.h"

#include <algorithm>

namespace bwrt::cuda {

CudaStatus CudaTransfer::Create(CudaDriver* driver, int64_t piece, std::unique_ptr<CudaTransfer>* to) {
  std::unique_ptr<CudaTransfer> made(new CudaTransfer(driver, piece));
  for (Piece& p : made->pieces_) {
    if (CudaStatus status = driver->AllocatePinned(piece, &p.memory); !status.ok()) return status;
    if (CudaStatus status = driver->CreateEvent(&p.copied); !status.ok()) return status;
  }
  *to = std::move(made);
  return {};
}

// Errors here are those that every later call meets again.
CudaTransfer::~CudaTransfer() {
  for (Piece& p : pieces_) {
    if (p.copied != nullptr) (void)driver_->DestroyEvent(p.copied).ok();
    if (p.memory != nullptr) (void)driver_->FreePinned(p.memory).ok();
  }
}

CudaStatus CudaTransfer::Await(Piece& piece) {
  if (!piece.under_way) return {};
  CudaStatus status = driver_->Synchronize(piece.copied);
  if (status.ok()) piece.under_way = false;
  return status;
}

CudaStatus CudaTransfer::ToDevice(DevicePtr to, int64_t bytes, const Fill& fill, Stream stream) {
  for (int64_t offset = 0; offset < bytes; offset += piece_) {
    const int64_t count = std::min(piece_, bytes - offset);
    Piece& piece = pieces_[next_++ % pieces_.size()];
    if (CudaStatus status = Await(piece); !status.ok()) return status;
    fill(offset, count, piece.memory);
    if (CudaStatus status = driver_->CopyToDevice(to + offset, piece.memory, count, stream); !status.ok()) {
      return status;
    }
    if (CudaStatus status = driver_->Record(piece.copied, stream); !status.ok()) return status;
    piece.under_way = true;
  }
  return {};
}

CudaStatus CudaTransfer::ToHost(const std::byte* from, int64_t bytes, const Take& take, Stream stream) {
  Piece* before = nullptr;
  int64_t before_offset = 0;
  int64_t before_count = 0;
  const auto finish = [&]() -> CudaStatus {
    if (before == nullptr) return {};
    if (CudaStatus status = Await(*before); !status.ok()) return status;
    take(before_offset, before_count, before->memory);
    return {};
  };
  for (int64_t offset = 0; offset < bytes; offset += piece_) {
    const int64_t count = std::min(piece_, bytes - offset);
    Piece& piece = pieces_[next_++ % pieces_.size()];
    if (CudaStatus status = Await(piece); !status.ok()) return status;
    if (CudaStatus status = driver_->CopyToHost(piece.memory, from + offset, count, stream); !status.ok()) {
      return status;
    }
    if (CudaStatus status = driver_->Record(piece.copied, stream); !status.ok()) return status;
    piece.under_way = true;
    if (CudaStatus status = finish(); !status.ok()) return status;
    before = &piece;
    before_offset = offset;
    before_count = count;
  }
  return finish();
}

}  // namespace bwrt::cuda
