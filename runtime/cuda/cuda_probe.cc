#include "runtime/cuda/cuda_probe.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/dtype.h"

namespace bwrt::cuda {
namespace {

constexpr int64_t kAlign = 256;
constexpr int kPoison = 0xff;  // A NaN in every type.
constexpr int64_t kGridCols = 3;

int64_t Aligned(int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

// One instantiation's problem: three ragged columns and two ragged rows of tiles, of which the first is not listed; two
// pairs that share W and A, and one tile alone.
struct Case {
  explicit Case(const kernels::WgmmaKernel& kernel) : kernel(kernel) {
    bm = kernel.swapped ? 128 : kernel.rows;
    bn = kernel.swapped ? kernel.rows : kernel.cols;
    m = kernel.swapped ? kernel.cols - 3 : bm + 41;
    n = 2 * bn + 25;
    k = int64_t{kernels::StepOf(kernel)} * 3 + 24;
    tiles = kernel.swapped ? std::vector<uint32_t>{0x00002, 0x00001}
                           : std::vector<uint32_t>{0x00001, 0x10001, 0x10000, 0x10002, 0x00002};
    lda = PaddedRow(k, kernel.dtype);
    ldw = PaddedRow(kernel.w_transposed ? k : n, kernel.dtype);
    ldc = PaddedRow(n, kernel.c_dtype) + 16;
    a_bytes = m * lda * ElementBytes(kernel.dtype);
    w_bytes = (kernel.w_transposed ? n : k) * ldw * ElementBytes(kernel.dtype);
    c_bytes = m * ldc * ElementBytes(kernel.c_dtype);
  }
  // Whether the tile with this row and this column of C is.
  bool Listed(int64_t row, int64_t col) const {
    const auto tile = static_cast<uint32_t>(row / bm << 16 | col / bn);
    return std::find(tiles.begin(), tiles.end(), tile) != tiles.end();
  }

  kernels::WgmmaKernel kernel;
  int64_t m, n, k, lda, ldw, ldc;
  int32_t bm, bn;
  std::vector<uint32_t> tiles;
  int64_t a_bytes, w_bytes, c_bytes;
};

// Where things lie, on the device and in pinned memory alike: what is sent, then the two results.
struct Layout {
  Layout(const Case& c, int blocks_counted) {
    const auto place = [this](int64_t bytes) { return std::exchange(end, end + Aligned(bytes)); };
    tiles = place(static_cast<int64_t>(c.tiles.size() * sizeof(uint32_t)));
    ticket = place(sizeof(unsigned long long));
    slots = place(static_cast<int64_t>(c.tiles.size() * sizeof(uint32_t)));
    bias = place(c.n * int64_t{sizeof(float)});
    a = place(c.a_bytes);
    w = place(c.w_bytes);
    plain = place(c.c_bytes);
    own = place(c.c_bytes);
    partials = place(kernels::PartialBytes(c.m, c.n, 2));
    counts = place(blocks_counted * int64_t{sizeof(kernels::WgmmaCounts)});
  }
  int64_t tiles, ticket, slots, bias, a, w, plain, own, partials, counts;
  int64_t end = 0;
};

kernels::DType TypeOf(int32_t dtype) {
  switch (dtype) {
    case BWRT_CUDA_F16:
      return kernels::DType::kF16;
    case BWRT_CUDA_BF16:
      return kernels::DType::kBF16;
    case BWRT_CUDA_F8_E4M3:
      return kernels::DType::kF8E4M3;
    case BWRT_CUDA_F8_E5M2:
      return kernels::DType::kF8E5M2;
    default:
      return kernels::DType::kF32;
  }
}

void Fill(std::byte* to, int64_t count, int32_t dtype, std::mt19937& random) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f;
  kernels::FromF32(TypeOf(dtype), values.data(), count, to);
}

// Whether own is plain as far as it must be, and nothing else was touched.
bool Agree(const Case& c, const std::byte* plain, const std::byte* own) {
  double difference = 0, norm = 0;
  const int64_t size = ElementBytes(c.kernel.c_dtype);
  const auto poisoned = [](const std::byte* begin, int64_t bytes) {
    return std::all_of(begin, begin + bytes, [](std::byte b) { return b == std::byte{kPoison}; });
  };
  std::vector<float> expected(static_cast<size_t>(c.bn));
  std::vector<float> got(expected.size());
  for (int64_t row = 0; row < c.m; ++row) {
    const int64_t line = row * c.ldc * size;
    for (int64_t col = 0; col < c.n; col += c.bn) {
      const int64_t count = std::min<int64_t>(c.bn, c.n - col);
      if (!c.Listed(row, col)) {
        if (!poisoned(own + line + col * size, count * size)) return false;
        continue;
      }
      kernels::ToF32(TypeOf(c.kernel.c_dtype), plain + line + col * size, count, expected.data());
      kernels::ToF32(TypeOf(c.kernel.c_dtype), own + line + col * size, count, got.data());
      for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
        const double off = static_cast<double>(got[i]) - static_cast<double>(expected[i]);
        difference += off * off;
        norm += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
      }
    }
    if (!poisoned(own + line + c.n * size, (c.ldc - c.n) * size)) return false;
  }
  // False for a NaN.
  return norm > 0 && std::sqrt(difference / norm) <= kProbeTolerance;
}

class Prober {
 public:
  Prober(CudaDriver* driver, uint32_t seed, int blocks_counted)
      : driver_(*driver), random_(seed), blocks_counted_(blocks_counted) {}
  ~Prober() {
    if (stream_ != nullptr) (void)driver_.DestroyStream(stream_).ok();
    if (device_ != nullptr) (void)driver_.Free(device_).ok();
    if (pinned_ != nullptr) (void)driver_.FreePinned(pinned_).ok();
  }
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  CudaStatus Prepare(int64_t bytes) {
    if (CudaStatus status = driver_.Allocate(bytes, &device_); !status.ok()) return status;
    if (CudaStatus status = driver_.AllocatePinned(bytes, &pinned_); !status.ok()) return status;
    return driver_.CreateStream(/*high=*/false, &stream_);
  }

  CudaStatus Check(const Case& c, bool* agree) {
    const Layout at(c, blocks_counted_);
    std::memset(pinned_, 0, static_cast<size_t>(at.bias));
    std::memcpy(pinned_ + at.tiles, c.tiles.data(), c.tiles.size() * sizeof(uint32_t));
    for (int64_t i = 0; i < c.n; ++i) {
      const float value = static_cast<float>(static_cast<int32_t>(random_())) * 0x1p-31f;
      std::memcpy(pinned_ + at.bias + i * 4, &value, sizeof(value));
    }
    // Gaps between rows too: whoever reads them computes something else.
    Fill(pinned_ + at.a, c.a_bytes / ElementBytes(c.kernel.dtype), c.kernel.dtype, random_);
    Fill(pinned_ + at.w, c.w_bytes / ElementBytes(c.kernel.dtype), c.kernel.dtype, random_);
    std::memset(pinned_ + at.plain, kPoison, static_cast<size_t>(at.counts - at.plain));
    std::memset(pinned_ + at.counts, 0, static_cast<size_t>(at.end - at.counts));
    CudaStatus status = Queue(c, at);
    // Also after an error: nothing of it may be under way when the memory is used again.
    if (!status.lost()) status.Update(driver_.SynchronizeStream(stream_));
    if (status.ok()) *agree = Agree(c, pinned_ + at.plain, pinned_ + at.own);
    return status;
  }

 private:
  CudaStatus Queue(const Case& c, const Layout& at) {
    if (CudaStatus status = driver_.CopyToDevice(device_, pinned_, at.end, stream_); !status.ok()) return status;
    kernels::PlainGemm plain;
    plain.m = c.m;
    plain.n = c.n;
    plain.k = c.k;
    plain.a = device_ + at.a;
    plain.lda = c.lda;
    plain.w = device_ + at.w;
    plain.ldw = c.ldw;
    plain.w_transposed = c.kernel.w_transposed;
    plain.c = device_ + at.plain;
    plain.ldc = c.ldc;
    plain.dtype = c.kernel.dtype;
    plain.c_dtype = c.kernel.c_dtype;
    plain.activation = BWRT_CUDA_SILU;
    plain.alpha = 0.5f;
    plain.bias = reinterpret_cast<const float*>(device_ + at.bias);
    plain.bm = c.bm;
    plain.bn = c.bn;
    plain.tiles = reinterpret_cast<const uint32_t*>(device_ + at.tiles);
    plain.grid_cols = kGridCols;
    plain.count = static_cast<int64_t>(c.tiles.size());
    plain.ticket = reinterpret_cast<unsigned long long*>(device_ + at.ticket);
    if (CudaStatus status = driver_.LaunchPlain(plain, stream_); !status.ok()) return status;

    kernels::WgmmaGemm own;
    own.m = plain.m;
    own.n = plain.n;
    own.k = plain.k;
    own.a = plain.a;
    own.lda = plain.lda;
    own.w = plain.w;
    own.ldw = plain.ldw;
    own.c = device_ + at.own;
    own.ldc = plain.ldc;
    own.activation = plain.activation;
    own.alpha = plain.alpha;
    own.bias = plain.bias;
    own.kernel = c.kernel;
    own.stages = 2;
    own.cluster = c.kernel.swapped ? 1 : 2;
    own.splits = c.kernel.swapped ? 2 : 1;
    own.bm = c.bm;
    own.bn = c.bn;
    own.tiles = plain.tiles;
    own.grid_cols = kGridCols;
    own.count = plain.count;
    own.blocks = 2;  // That each goes through several tiles, and many times through its ring.
    if (own.splits > 1) {
      own.partials = reinterpret_cast<float*>(device_ + at.partials);
      own.slots = reinterpret_cast<uint32_t*>(device_ + at.slots);
    }
    if (blocks_counted_ > 0) own.counts = reinterpret_cast<kernels::WgmmaCounts*>(device_ + at.counts);
    if (CudaStatus status = driver_.LaunchWgmma(own, stream_); !status.ok()) return status;
    return driver_.CopyToHost(pinned_ + at.plain, device_ + at.plain, at.partials - at.plain, stream_);
  }

  CudaDriver& driver_;
  std::mt19937 random_;
  const int blocks_counted_;  // 0: the kernels that don't count.
  Stream stream_ = nullptr;
  DevicePtr device_ = nullptr;
  std::byte* pinned_ = nullptr;
};

}  // namespace

CudaStatus ProbeWgmma(CudaDriver& driver, uint32_t seed, bool counters, int multiprocessors, CudaKernels* kernels) {
  const int blocks_counted = counters ? multiprocessors : 0;
  int64_t bytes = 0;
  for (const kernels::WgmmaKernel& kernel : kernels::AllWgmmaKernels()) {
    bytes = std::max(bytes, Layout(Case(kernel), blocks_counted).end);
  }
  Prober prober(&driver, seed, blocks_counted);
  CudaStatus status = prober.Prepare(bytes);
  if (!status.ok()) {
    kernels->all_off = "they could not be checked: " + status.text();
    return status.lost() ? status : CudaStatus();
  }
  for (const kernels::WgmmaKernel& kernel : kernels::AllWgmmaKernels()) {
    bool agree = false;
    status = prober.Check(Case(kernel), &agree);
    if (status.lost()) {
      kernels->all_off = kernels::NameOf(kernel) + " lost the device: " + status.text();
      return status;
    }
    if (!status.ok() || !agree) kernels->off.insert(kernel);
  }
  return {};
}

}  // namespace bwrt::cuda
