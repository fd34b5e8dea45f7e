// CudaRows: the rows of a matrix in host memory, as they lie on the device: one behind the other, each padded to a
// pitch, in the order of the problem.
//
// A view. Copies touch no byte between the matrix's rows; what becomes of the padding is not defined.
#ifndef BWRT_RUNTIME_CUDA_CUDA_ROWS_H_
#define BWRT_RUNTIME_CUDA_CUDA_ROWS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace bwrt::cuda {

struct CudaRows {
  std::byte* host = nullptr;
  int64_t rows = 0;
  int64_t row_bytes = 0;
  int64_t pitch = 0;               // Bytes from row to row on the device, >= row_bytes.
  int64_t stride = 0;              // Bytes from row to row in host memory.
  const int64_t* order = nullptr;  // Row i is row order[i] of the host's; null: row i.

  int64_t bytes() const { return rows * pitch; }

  // Bytes [offset, offset + count) of the device's image, from host memory to `to`.
  void Gather(int64_t offset, int64_t count, std::byte* to) const {
    Each(offset, count,
         [&](std::byte* at, int64_t done, int64_t size) { std::memcpy(to + done, at, static_cast<size_t>(size)); });
  }
  // The same from `from` to host memory.
  void Scatter(int64_t offset, int64_t count, const std::byte* from) const {
    Each(offset, count,
         [&](std::byte* at, int64_t done, int64_t size) { std::memcpy(at, from + done, static_cast<size_t>(size)); });
  }

 private:
  template <typename Piece>
  void Each(int64_t offset, int64_t count, const Piece& piece) const {
    for (int64_t done = 0; done < count;) {
      const int64_t row = (offset + done) / pitch;
      const int64_t col = (offset + done) % pitch;
      const int64_t left = std::min(pitch - col, count - done);
      if (col < row_bytes) {
        piece(host + (order == nullptr ? row : order[row]) * stride + col, done, std::min(row_bytes - col, left));
      }
      done += left;
    }
  }
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_ROWS_H_
