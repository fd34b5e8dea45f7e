// Contender: one way to compute C = A @ W, made ready beforehand so that only the product is timed.
#ifndef BWRT_TESTS_BENCH_GEMM_CONTENDER_H_
#define BWRT_TESTS_BENCH_GEMM_CONTENDER_H_

#include <cstddef>

namespace bwrt::bench {

// Used by one thread. Throws when the library behind it fails.
class Contender {
 public:
  virtual ~Contender() = default;

  // Computes C with copy `copy` of W. Copies have equal content in different memory: who rotates over enough of them
  // measures a W that comes from memory and not from a cache.
  virtual void Multiply(int copy) = 0;

  // C of the last Multiply, [m, n] without gaps, in the operands' type.
  virtual const std::byte* c() const = 0;
};

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GEMM_CONTENDER_H_
