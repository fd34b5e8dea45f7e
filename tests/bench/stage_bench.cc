#include "tests/bench/stage_bench.h"

#include <openssl/evp.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "runtime/shard_stage.h"
#include "runtime/weight_budget.h"
#include "runtime/weight_memory.h"
#include "tests/bench/bench_daemon.h"
#include "tests/bench/require.h"
#include "tests/bench/samples.h"
#include "tests/bench/stager.h"

namespace bwrt::bench {
namespace {

constexpr int64_t kChunk = int64_t{1} << 20;

using runtime::Digest;

}  // namespace

StageRates MeasureStaging(const std::string& bwrtd, const std::string& self, int64_t bytes, int repeats) {
  const BenchDaemon daemon = StartBwrtd(bwrtd, {});
  const BenchDaemon sink(self, {"--sink"});
  Stager xxh3(daemon.Connect(), bytes, kChunk, Digest::Kind::kXxh3);
  Stager sha256(daemon.Connect(), bytes, kChunk, Digest::Kind::kSha256);
  Stager peer(sink.Connect(), bytes, kChunk, Digest::Kind::kXxh3);
  const auto stage = [](Stager& stager) {
    const std::string update = stager.Begin("");
    const double seconds = stager.Stage(update);
    stager.Abort(update);
    return seconds;
  };
  StageRates rates;
  peer.Stage("warm-up");
  rates.first = static_cast<double>(bytes) / stage(xxh3);
  std::vector<double> ours;
  std::vector<double> strong;
  std::vector<double> bare;
  for (int i = 0; i < repeats; ++i) {
    ours.push_back(stage(xxh3));
    bare.push_back(peer.Stage("peer"));
    strong.push_back(stage(sha256));
  }
  rates.xxh3 = static_cast<double>(bytes) / Median(std::move(ours));
  rates.sha256 = static_cast<double>(bytes) / Median(std::move(strong));
  rates.stream = static_cast<double>(bytes) / Median(std::move(bare));
  return rates;
}

DigestRates MeasureDigest(int64_t bytes, int repeats) {
  runtime::WeightMemory memory(static_cast<size_t>(bytes));
  runtime::WeightBudget budget(runtime::Bytes(2 * bytes));
  runtime::WeightBuffer content = Require(memory.Allocate(static_cast<size_t>(bytes)));
  for (int64_t i = 0; i < bytes; ++i) content.data()[i] = static_cast<char>(i * 2654435761 >> 13);
  const auto chunk = [&](int64_t at) { return absl::string_view(content.data() + at, kChunk); };
  const auto received = [&](int64_t at) { return absl::MakeCordFromExternal(chunk(at), [] {}); };

  std::string digest;
  std::vector<double> bare;
  std::vector<double> ours;
  for (int i = 0; i <= repeats; ++i) {  // The first is the warm-up.
    const Stopwatch bare_watch;
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> evp(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
    EVP_DigestInit_ex(evp.get(), EVP_sha256(), nullptr);
    for (int64_t at = 0; at < bytes; at += kChunk) EVP_DigestUpdate(evp.get(), chunk(at).data(), kChunk);
    std::array<unsigned char, EVP_MAX_MD_SIZE> out;
    EVP_DigestFinal_ex(evp.get(), out.data(), nullptr);
    bare.push_back(bare_watch.seconds());

    if (digest.empty()) digest = Digest::Of(Digest::Kind::kSha256, content.view()).ToString();
    runtime::ShardStage shard(bytes, Require(Digest::Parse(digest)),
                              Require(budget.Reserve(runtime::Bytes(bytes), runtime::WeightBudget::Kind::kContent)));
    const Stopwatch our_watch;
    for (int64_t at = 0; at < bytes; at += kChunk) {
      Require(shard.Write("shard", at, received(at), [&](size_t size) { return memory.Allocate(size); }));
    }
    ours.push_back(our_watch.seconds());
    Require(!shard.Check(), "the digests differ");
  }
  ours.erase(ours.begin());
  bare.erase(bare.begin());
  return {static_cast<double>(bytes) / Median(std::move(ours)), static_cast<double>(bytes) / Median(std::move(bare))};
}

}  // namespace bwrt::bench
