#include "runtime/cuda_connection.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/cuda_plugin.h"
#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

absl::Status Lost(const absl::Status& why) {
  return MakeError(
      absl::StatusCode::kUnavailable, "DEVICE_LOST",
      absl::StrCat("the CUDA device is out of service, and nothing of this wave is served: ", why.message(),
                   "; use another daemon, or wait until this one's health is SERVING again"));
}

}  // namespace

absl::StatusOr<std::shared_ptr<CudaConnection>> CudaConnection::Open(const BwrtCudaTable* table,
                                                                     const BwrtCudaOptions& options) {
  BwrtCudaDevice* device = nullptr;
  BwrtCudaError error{};
  if (const int32_t code = table->open(&options, &device, &error); code != BWRT_CUDA_OK) {
    error.code = code;
    return CudaError(error);
  }
  return std::shared_ptr<CudaConnection>(new CudaConnection(table, device));
}

CudaConnection::CudaConnection(const BwrtCudaTable* table, BwrtCudaDevice* device) : table_(table), device_(device) {
  info_.size = sizeof(info_);
  table_->get_info(device_, &info_);
}

CudaConnection::~CudaConnection() { table_->close(device_); }

absl::Status CudaConnection::CheckServing() const {
  if (serving_.load(std::memory_order_acquire)) return absl::OkStatus();
  MutexLock lock(mu_);
  return Lost(why_lost_);
}

absl::Status CudaConnection::ToStatus(uint64_t epoch, int32_t code, const BwrtCudaError& error) {
  if (code == BWRT_CUDA_OK) return absl::OkStatus();
  BwrtCudaError coded = error;
  coded.code = code;
  absl::Status status = CudaError(coded);
  if (code != BWRT_CUDA_DEVICE_LOST) return status;
  std::function<void(const absl::Status&)> on_lost;
  {
    MutexLock lock(mu_);
    if (serving_.load(std::memory_order_relaxed) && epoch == epoch_.load(std::memory_order_relaxed)) {
      why_lost_ = status;
      epoch_.fetch_add(1, std::memory_order_release);
      serving_.store(false, std::memory_order_release);
      on_lost = on_lost_;
    }
    status = Lost(why_lost_.ok() ? status : why_lost_);
  }
  if (on_lost) on_lost(status);
  return status;
}

void CudaConnection::SetOnLost(std::function<void(const absl::Status&)> on_lost) {
  MutexLock lock(mu_);
  on_lost_ = std::move(on_lost);
}

absl::Status CudaConnection::Recreate() {
  BwrtCudaError error{};
  const int32_t code = table_->recreate(device_, &error);
  if (code == BWRT_CUDA_OK) return absl::OkStatus();
  error.code = code;
  return CudaError(error);
}

void CudaConnection::MarkServing() {
  MutexLock lock(mu_);
  why_lost_ = absl::OkStatus();
  serving_.store(true, std::memory_order_release);
}

absl::StatusOr<std::shared_ptr<CudaBuffer>> CudaBuffer::Allocate(std::shared_ptr<CudaConnection> connection,
                                                                 Bytes bytes) {
  // Read first: a loss in between makes the buffer one of a past epoch, and so it is.
  const uint64_t epoch = connection->epoch();
  BwrtCudaBuffer* handle = nullptr;
  BwrtCudaError error{};
  const int32_t code = connection->table().allocate(connection->device(), bytes.value(), &handle, &error);
  if (absl::Status status = connection->ToStatus(epoch, code, error); !status.ok()) return status;
  return std::shared_ptr<CudaBuffer>(new CudaBuffer(std::move(connection), handle, epoch));
}

CudaBuffer::~CudaBuffer() { connection_->table().free_buffer(connection_->device(), handle_); }

absl::Status CudaBuffer::Upload(const char* from, Bytes bytes) {
  const uint64_t epoch = connection_->epoch();
  BwrtCudaError error{};
  const int32_t code = connection_->table().upload(connection_->device(), handle_, 0, from, bytes.value(), &error);
  return connection_->ToStatus(epoch, code, error);
}

absl::Status CudaBuffer::Read(int64_t offset, int64_t bytes, char* to) const {
  const uint64_t epoch = connection_->epoch();
  if (absl::Status status = connection_->CheckServing(); !status.ok()) return status;
  BwrtCudaError error{};
  const int32_t code = connection_->table().read(connection_->device(), handle_, offset, to, bytes, &error);
  return connection_->ToStatus(epoch, code, error);
}

}  // namespace bwrt::runtime
