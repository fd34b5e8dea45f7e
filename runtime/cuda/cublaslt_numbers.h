// cuBLASLt's numbers for tiles, stages and clusters, and what they stand for. Pure functions.
//
// The numbers are those of cublasLt.h of CUDA 13; cublaslt_driver.cc, which sees that header, asserts them.
#ifndef BWRT_RUNTIME_CUDA_CUBLASLT_NUMBERS_H_
#define BWRT_RUNTIME_CUDA_CUBLASLT_NUMBERS_H_

#include <cstdint>
#include <optional>

namespace bwrt::cuda {

// A pair along cuBLASLt's rows and columns.
struct LtExtent {
  int32_t rows = 0;
  int32_t cols = 0;
  friend bool operator==(const LtExtent&, const LtExtent&) = default;
};

// Depth of K of a stage, and how many stages; count 0: as many as fit.
struct LtStages {
  int32_t k = 0;
  int32_t count = 0;
  friend bool operator==(const LtStages&, const LtStages&) = default;
};

// cublasLtMatmulTile_t; nullopt where the library has no such tile.
std::optional<uint32_t> LtTileNumber(LtExtent tile);
std::optional<LtExtent> LtTileOf(uint32_t number);

// cublasLtClusterShape_t.
std::optional<uint16_t> LtClusterNumber(LtExtent cluster);
// Nullopt for 0, which leaves the choice to the library.
std::optional<LtExtent> LtClusterOf(uint16_t number);

// cublasLtMatmulStages_t; nullopt for 0 and numbers that stand for nothing.
std::optional<LtStages> LtStagesOf(uint32_t number);

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUBLASLT_NUMBERS_H_
