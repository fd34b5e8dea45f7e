#include "runtime/cuda_tensor.h"

#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

// What a publisher can do something about has one reason on every device.
absl::Status AsWeightError(const absl::Status& status) {
  if (!absl::IsResourceExhausted(status)) return status;
  return MakeError(absl::StatusCode::kResourceExhausted, "WEIGHT_MEMORY", status.message());
}

absl::StatusOr<std::shared_ptr<CudaBuffer>> UploadNew(const std::shared_ptr<CudaConnection>& connection,
                                                      const WeightBuffer& data) {
  auto buffer = CudaBuffer::Allocate(connection, Bytes(static_cast<int64_t>(data.size())));
  if (!buffer.ok()) return AsWeightError(buffer.status());
  if (absl::Status status = (*buffer)->Upload(data.data(), Bytes(static_cast<int64_t>(data.size()))); !status.ok()) {
    return AsWeightError(status);
  }
  return buffer;
}

}  // namespace

absl::StatusOr<std::shared_ptr<CudaTensor>> CudaTensor::Create(std::shared_ptr<CudaConnection> connection,
                                                               HostTensor tensor, bool keep_host,
                                                               WeightBudget& budget) {
  const Bytes bytes = tensor.type.bytes();
  WeightBudget::Reservation reservation;
  if (!tensor.data.charged()) {
    auto reserved = budget.Reserve(bytes, WeightBudget::Kind::kContent);
    if (!reserved.ok()) return reserved.status();
    if (keep_host) {
      tensor.data.Charge(*std::move(reserved));
    } else {
      reservation = *std::move(reserved);
    }
  } else if (!keep_host) {
    // In the place of the host's bytes, which are given back when this returns.
    reservation = budget.ReserveAhead(bytes, WeightBudget::Kind::kContent);
  }
  auto buffer = UploadNew(connection, tensor.data);
  if (!buffer.ok()) return buffer.status();
  std::optional<WeightBuffer> host;
  if (keep_host) host = std::move(tensor.data);
  return std::shared_ptr<CudaTensor>(new CudaTensor(std::move(connection), std::move(tensor.type), std::move(host),
                                                    std::move(reservation), *std::move(buffer)));
}

absl::Status CudaTensor::Read(int64_t offset, int64_t bytes, char* to) const {
  return buffer()->Read(offset, bytes, to);
}

absl::Status CudaTensor::Restore() {
  if (!host_) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NOT_KEPT", "the tensor was not kept in host memory");
  }
  auto buffer = UploadNew(connection_, *host_);
  if (!buffer.ok()) return buffer.status();
  std::shared_ptr<CudaBuffer> old;  // Freed outside the lock.
  MutexLock lock(mu_);
  old = std::exchange(buffer_, *std::move(buffer));
  return absl::OkStatus();
}

}  // namespace bwrt::runtime
