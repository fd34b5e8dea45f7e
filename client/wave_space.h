// The space of waves that a daemon should accept, as a generator of random waves needs to know it.
//
// Plain values and pure functions; thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "bwrt/v1/execution.pb.h"
#include "bwrt/v1/wave.pb.h"
#include "bwrt/v1/weights.pb.h"

namespace bwrt::client {

// A model whose current version holds these tensors.
struct PublishedModel {
  std::string name = {};
  uint64_t version = 0;
  std::vector<v1::Tensor> tensors = {};
};

struct WaveSpace {
  // Empty: the built-in one.
  std::vector<v1::TileShape> whitelist = {};
  // Empty: waves state none.
  std::string whitelist_digest = {};
  // Of A and W.
  std::vector<DType> dtypes = {F32, BF16, F16};
  // Also tile shapes that are not listed, and any K.
  bool lenient = false;
  // What W may come from, beside a wave's own bytes. The model "default" exists even where it is not among them.
  std::vector<PublishedModel> models = {};
  // False where a page source is configured, which would read them.
  bool io_extents = true;
  // Empty: waves have no wave_id.
  std::string client_id = {};
};

// As the daemon describes itself. Models and client_id are left out.
WaveSpace SpaceOf(const v1::GetCapabilitiesResponse& capabilities);

// A model of `seed` to publish before its waves run: matrices of every dtype and various shapes, and tensors that no
// wave can use because they are no matrices or of a type no device computes with.
PublishedModel RandomModel(uint64_t seed, const std::string& name);

inline bool IsComputed(const WaveSpace& space, DType dtype) {
  return std::find(space.dtypes.begin(), space.dtypes.end(), dtype) != space.dtypes.end();
}

// The request that publishes it; the version is the caller's to fill in.
v1::SetWeightsRequest Publication(const PublishedModel& model);

// True for a wave that only a lenient daemon runs: its tile shape is not listed, or its K or bk is no whole number of
// granules. `dtype` is that of A and W.
bool NeedsLeniency(const WaveSpace& space, const v1::SubmitWaveRequest& request, DType dtype);

// Elements whose bytes are a whole granule of K: 32 bytes.
int64_t GranuleOf(DType dtype);

// Tiles along `size`.
inline int64_t TilesAlong(int64_t size, int64_t tile) { return (size + tile - 1) / tile; }

}  // namespace bwrt::client
