// Tensors: as bytes from a client (HostTensor) and resident on a device (DeviceTensor).
#ifndef BWRT_RUNTIME_TENSOR_H_
#define BWRT_RUNTIME_TENSOR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/element_type.h"
#include "runtime/error.h"
#include "runtime/ids.h"
#include "runtime/weight_memory.h"

namespace bwrt::runtime {

struct TensorType {
  ElementType dtype = kernels::DType::kF32;
  std::vector<int64_t> shape;  // Each > 0; the product times the dtype's size fits int64.

  int64_t elements() const {
    int64_t n = 1;
    for (const int64_t d : shape) n *= d;
    return n;
  }
  Bytes bytes() const { return Bytes(elements() * dtype.size()); }
  friend bool operator==(const TensorType&, const TensorType&) = default;
};

// Row-major, little-endian; data.size() is type.bytes().
struct HostTensor {
  std::string name;
  TensorType type;
  WeightBuffer data;  // Unless it is charged to the budget already, whoever makes the tensor resident does that.
};

// A tensor as one device holds it. Immutable content; thread-safe. Destruction gives its memory back.
class DeviceTensor {
 public:
  explicit DeviceTensor(TensorType type) : type_(std::move(type)) {}
  virtual ~DeviceTensor() = default;
  DeviceTensor(const DeviceTensor&) = delete;
  DeviceTensor& operator=(const DeviceTensor&) = delete;

  const TensorType& type() const { return type_; }

  // Copies bytes [offset, offset + bytes) of the content, row-major and little-endian, to `to`. The range must lie
  // within type().bytes(). An error when the device fails.
  virtual absl::Status Read(int64_t offset, int64_t bytes, char* to) const = 0;

  // False for one that only stands for what is still to come (AbsentTensor).
  virtual bool resident() const { return true; }

 private:
  const TensorType type_;
};

// A tensor of a version that is being copied in place: its type is known, its bytes are not there yet. No wave ever
// leases a version that has one.
class AbsentTensor final : public DeviceTensor {
 public:
  using DeviceTensor::DeviceTensor;
  absl::Status Read(int64_t /*offset*/, int64_t /*bytes*/, char* /*to*/) const override {
    return MakeError(absl::StatusCode::kUnavailable, "MODEL_LOADING",
                     "the tensor is being copied in place; retry soon");
  }
  bool resident() const override { return false; }
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_TENSOR_H_
