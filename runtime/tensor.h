// Tensors: as bytes from a client (HostTensor) and resident on a device (DeviceTensor).
#ifndef BWRT_RUNTIME_TENSOR_H_
#define BWRT_RUNTIME_TENSOR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/element_type.h"
#include "runtime/ids.h"

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
  std::string data;
};

// A tensor as one device holds it. Immutable content; thread-safe. Destruction gives its memory back.
class DeviceTensor {
 public:
  explicit DeviceTensor(TensorType type) : type_(std::move(type)) {}
  virtual ~DeviceTensor() = default;
  DeviceTensor(const DeviceTensor&) = delete;
  DeviceTensor& operator=(const DeviceTensor&) = delete;

  const TensorType& type() const { return type_; }

 private:
  const TensorType type_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_TENSOR_H_
