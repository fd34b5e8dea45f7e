// StageBench: how fast weights come in, and how fast bare gRPC and a bare digest would be.
#ifndef BWRT_TESTS_BENCH_STAGE_BENCH_H_
#define BWRT_TESTS_BENCH_STAGE_BENCH_H_

#include <cstdint>
#include <string>

namespace bwrt::bench {

// Bytes a second.
struct StageRates {
  double xxh3 = 0;
  double sha256 = 0;
  double first = 0;   // With xxh3, into memory that nothing has touched yet.
  double stream = 0;  // The peer's.
};

// `self` is this program, which can be the peer.
StageRates MeasureStaging(const std::string& bwrtd, const std::string& self, int64_t bytes, int repeats);

struct DigestRates {
  double stage = 0;    // ShardStage::Write, with a sha256 digest.
  double openssl = 0;  // The digest alone.
};

DigestRates MeasureDigest(int64_t bytes, int repeats);

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_STAGE_BENCH_H_
