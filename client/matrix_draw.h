// Random matrices as operands of generated waves: values of several kinds, and gaps between rows that must not show.
//
// Pure functions of the draws; thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "bwrt/wavespec.pb.h"
#include "client/draws.h"

namespace bwrt::client {

// How the values of one matrix are distributed. Magnitudes stay below 2, so that no sum overflows an f16.
enum class Fill { kUniform, kEighths, kWide, kSparse, kNaN };

// Any but kNaN, which is for what nobody may read.
Fill DrawFill(Draws* draws);

// rows x columns elements of `fill`, rows `stride` elements apart, with NaN in the gaps between them. Little-endian.
std::string DrawMatrix(Draws* draws, Fill fill, DType dtype, int64_t rows, int64_t columns, int64_t stride);

// Overwrites the gaps of such a matrix, whose elements have `size` bytes, with bytes that differ from their neighbours:
// a gap or a tile moved elsewhere does not go unnoticed.
void PutSentinels(std::string* bytes, int64_t size, int64_t rows, int64_t columns, int64_t stride);

}  // namespace bwrt::client
