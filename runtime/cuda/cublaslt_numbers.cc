#include "runtime/cuda/cublaslt_numbers.h"

namespace bwrt::cuda {
namespace {

struct NumberedExtent {
  uint32_t number;
  LtExtent extent;
};

// Those a planner could ask for: both sides multiples of 8 up to 512.
constexpr NumberedExtent kTiles[] = {
    {1, {8, 8}},      {2, {8, 16}},     {3, {16, 8}},    {4, {8, 32}},    {5, {16, 16}},    {6, {32, 8}},
    {7, {8, 64}},     {8, {16, 32}},    {9, {32, 16}},   {10, {64, 8}},   {11, {32, 32}},   {12, {32, 64}},
    {13, {64, 32}},   {14, {32, 128}},  {15, {64, 64}},  {16, {128, 32}}, {17, {64, 128}},  {18, {128, 64}},
    {19, {64, 256}},  {20, {128, 128}}, {21, {256, 64}}, {22, {64, 512}}, {23, {128, 256}}, {24, {256, 128}},
    {25, {512, 64}},  {26, {64, 96}},   {27, {96, 64}},  {28, {96, 128}}, {29, {128, 160}}, {30, {160, 128}},
    {31, {192, 128}}, {32, {128, 192}}, {33, {128, 96}}, {34, {32, 256}}, {35, {256, 32}},
};

constexpr NumberedExtent kClusters[] = {
    {2, {1, 1}}, {3, {2, 1}},  {4, {4, 1}},  {5, {1, 2}},  {6, {2, 2}},  {7, {4, 2}},  {8, {1, 4}},
    {9, {2, 4}}, {10, {4, 4}}, {11, {8, 1}}, {12, {1, 8}}, {13, {8, 2}}, {14, {2, 8}},
};

struct NumberedStages {
  uint32_t number;
  LtStages stages;
};

constexpr NumberedStages kStages[] = {
    {1, {16, 1}},   {2, {16, 2}},   {3, {16, 3}},   {4, {16, 4}},   {5, {16, 5}},   {6, {16, 6}},
    {7, {32, 1}},   {8, {32, 2}},   {9, {32, 3}},   {10, {32, 4}},  {11, {32, 5}},  {12, {32, 6}},
    {13, {64, 1}},  {14, {64, 2}},  {15, {64, 3}},  {16, {64, 4}},  {17, {64, 5}},  {18, {64, 6}},
    {19, {128, 1}}, {20, {128, 2}}, {21, {128, 3}}, {22, {128, 4}}, {23, {128, 5}}, {24, {128, 6}},
    {25, {32, 10}}, {26, {8, 4}},   {27, {16, 10}}, {28, {8, 5}},   {31, {8, 3}},   {32, {8, 0}},
    {33, {16, 0}},  {34, {32, 0}},  {35, {64, 0}},  {36, {128, 0}}, {37, {256, 0}}, {38, {768, 0}},
};

template <typename Table>
std::optional<uint32_t> NumberIn(const Table& table, LtExtent extent) {
  for (const NumberedExtent& entry : table) {
    if (entry.extent == extent) return entry.number;
  }
  return std::nullopt;
}

template <typename Table>
std::optional<LtExtent> ExtentIn(const Table& table, uint32_t number) {
  for (const NumberedExtent& entry : table) {
    if (entry.number == number) return entry.extent;
  }
  return std::nullopt;
}

}  // namespace

std::optional<uint32_t> LtTileNumber(LtExtent tile) { return NumberIn(kTiles, tile); }
std::optional<LtExtent> LtTileOf(uint32_t number) { return ExtentIn(kTiles, number); }

std::optional<uint16_t> LtClusterNumber(LtExtent cluster) {
  const auto number = NumberIn(kClusters, cluster);
  if (!number) return std::nullopt;
  return static_cast<uint16_t>(*number);
}
std::optional<LtExtent> LtClusterOf(uint16_t number) { return ExtentIn(kClusters, number); }

std::optional<LtStages> LtStagesOf(uint32_t number) {
  for (const NumberedStages& entry : kStages) {
    if (entry.number == number) return entry.stages;
  }
  return std::nullopt;
}

}  // namespace bwrt::cuda
