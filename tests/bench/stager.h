// Stager: a client that stages tensors over gRPC. The same bytes in each chunk but a tensor's first, so that it costs
// little itself and yet no two tensors are one blob.
#ifndef BWRT_TESTS_BENCH_STAGER_H_
#define BWRT_TESTS_BENCH_STAGER_H_

#include <grpcpp/channel.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bwrt/v1/weights.grpc.pb.h"
#include "runtime/digest.h"

namespace bwrt::bench {

class Stager {
 public:
  // `bytes` is a multiple of `chunk_bytes`. `tensors` tensors of `bytes` each.
  Stager(const std::shared_ptr<grpc::Channel>& channel, int64_t bytes, int64_t chunk_bytes,
         runtime::Digest::Kind digest, int tensors = 1);

  // Begins an update of `model`; its id.
  std::string Begin(const std::string& model);
  // Stages all of it; the seconds that took. `sent`, if given, counts the bytes as they go, and `stop`, if given and
  // set, ends each tensor early.
  double Stage(const std::string& update_id, std::atomic<int64_t>* sent = nullptr,
               const std::atomic<bool>* stop = nullptr);
  void Precommit(const std::string& update_id);
  void Commit(const std::string& update_id);
  void Abort(const std::string& update_id);

 private:
  const std::unique_ptr<v1::Weights::Stub> weights_;
  const int64_t bytes_;
  const int64_t chunk_bytes_;
  std::vector<std::string> names_;
  std::vector<std::string> digests_;
  v1::StageWeightsRequest message_;
};

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_STAGER_H_
