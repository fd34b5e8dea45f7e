#include "runtime/stream_copy.h"

#include <emmintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace bwrt::runtime {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kWord = sizeof(__m128i);

}  // namespace

void StreamCopy(char* to, const char* from, size_t bytes) {
  // Whole lines are streamed, so that each leaves the processor in one piece.
  const size_t head = std::min(bytes, (kLine - reinterpret_cast<uintptr_t>(to) % kLine) % kLine);
  std::memcpy(to, from, head);
  size_t at = head;
  for (; bytes - at >= kLine; at += kLine) {
    const auto* const source = reinterpret_cast<const __m128i*>(from + at);
    auto* const target = reinterpret_cast<__m128i*>(to + at);
    const __m128i words[] = {_mm_loadu_si128(source), _mm_loadu_si128(source + 1), _mm_loadu_si128(source + 2),
                             _mm_loadu_si128(source + 3)};
    for (size_t i = 0; i < kLine / kWord; ++i) _mm_stream_si128(target + i, words[i]);
  }
  std::memcpy(to + at, from + at, bytes - at);
  _mm_sfence();  // Streamed stores are ordered with no others, not even a lock's.
}

}  // namespace bwrt::runtime
