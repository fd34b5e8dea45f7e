// Whatever is in a plan file: it is read into waves that stand for it, or refused with a bounded list of what is wrong.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/plan.h"
#include "tests/fuzz/check.h"

namespace bwrt::client {
namespace {

void CheckWave(const PlannedWave& wave) {
  const WaveSpec& spec = wave.spec;
  BWRT_FUZZ_CHECK(!wave.path.empty());
  BWRT_FUZZ_CHECK(spec.dtype() == DTYPE_UNSPECIFIED);
  // Nothing was truncated or wrapped.
  for (const int64_t number : {spec.bm(), spec.bn(), spec.bk(), spec.cluster_shape().x(), spec.cluster_shape().y(),
                               spec.tmem_layout().columns(), spec.tmem_layout().phases(), spec.tmem_layout().stage_n(),
                               spec.swap_begin(), spec.swap_end()}) {
    BWRT_FUZZ_CHECK(number >= 0);
  }
  int64_t rows = 1, cols = 1;
  for (const TileCoord& tile : spec.tile_order()) {
    BWRT_FUZZ_CHECK(tile.m() >= 0 && tile.n() >= 0);
    rows = std::max<int64_t>(rows, int64_t{tile.m()} + 1);
    cols = std::max<int64_t>(cols, int64_t{tile.n()} + 1);
  }
  for (const uint32_t tile : spec.tile_order_flat()) {
    rows = std::max<int64_t>(rows, int64_t{tile >> 16} + 1);
    cols = std::max<int64_t>(cols, int64_t{tile & 0xffff} + 1);
  }
  BWRT_FUZZ_CHECK(wave.m == rows * spec.bm() && wave.n == cols * spec.bn());
  BWRT_FUZZ_CHECK(wave.tile_tokens >= 1);
  BWRT_FUZZ_CHECK(wave.prefetch_tokens == static_cast<uint64_t>(spec.io_extents_size()));
  constexpr int64_t kMaxId = 2147483647;
  for (const int64_t id : spec.pack_order()) BWRT_FUZZ_CHECK(id >= 0 && id <= kMaxId);
  for (const IoExtent& e : spec.io_extents()) {
    BWRT_FUZZ_CHECK(e.start_pid() >= 0 && e.start_pid() <= kMaxId && e.end_pid() >= 0 && e.end_pid() <= kMaxId);
  }
}

}  // namespace
}  // namespace bwrt::client

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bwrt::client;
  const auto plan = ParsePlan(absl::string_view(reinterpret_cast<const char*>(data), size));
  if (plan.ok()) {
    for (const PlannedWave& wave : plan->waves) CheckWave(wave);
  } else {
    BWRT_FUZZ_CHECK(absl::IsInvalidArgument(plan.status()));
    // The text itself is not echoed at length.
    BWRT_FUZZ_CHECK(plan.status().message().size() < 4096);
  }
  return 0;
}
