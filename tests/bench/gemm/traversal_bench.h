// TraversalBench: what the order of tiles is worth on the CPU device, and whether the L2 model knew.
#ifndef BWRT_TESTS_BENCH_GEMM_TRAVERSAL_BENCH_H_
#define BWRT_TESTS_BENCH_GEMM_TRAVERSAL_BENCH_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "kernels/dtype.h"
#include "tests/bench/gemm/gemm_setting.h"
#include "tests/bench/gemm/gemm_shape.h"
#include "tests/bench/report.h"

namespace bwrt::bench {

// Two products of whole tiles: a square one whose A, W and C take three quarters of a cache of `l3_bytes`; and one of
// eight tile rows whose W alone takes twice that cache (but at most 8192 x 8192 elements), so that an order of tiles
// which goes along the rows has to fetch W from memory again for each.
std::vector<GemmShape> TraversalShapes(kernels::DType dtype, int64_t l3_bytes);

// What a model's hit ratios say of two traversals, of which the first was `speed_ratio` times as fast as the second:
// whether they name the faster one; "within 5 %" when neither was notably faster.
nlohmann::ordered_json NamesFaster(double speed_ratio, double hit, double other_hit);

// Several traversals against the row snake, in turn, on the same A, W and C, of these shapes. Adds the array
// "traversals". Throws when a traversal changes the result.
void MeasureTraversals(const GemmSetting& setting, Report* report);

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_GEMM_TRAVERSAL_BENCH_H_
