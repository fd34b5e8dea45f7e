// WaveClient: submits one small wave again and again, one after the other.
#ifndef BWRT_TESTS_BENCH_WAVE_CLIENT_H_
#define BWRT_TESTS_BENCH_WAVE_CLIENT_H_

#include <grpcpp/channel.h>

#include <cstdint>
#include <memory>
#include <string>

#include "bwrt/v1/execution.grpc.pb.h"
#include "bwrt/v1/weights.grpc.pb.h"

namespace bwrt::bench {

struct WaveShape {
  int64_t m;
  int64_t n;
  int64_t k;
};

// f32, of the default model, with a matrix of `value` everywhere. `policy` WAIT_FOR_WINDOW.
v1::SetWeightsRequest ConstantWeights(const WaveShape& shape, float value);

class WaveClient {
 public:
  enum class Source { kStored, kInline };

  // A is all ones and W the model's tensor "w", so that C is k times what W is everywhere; or all ones too, and sent
  // along. Every window is open.
  WaveClient(const std::shared_ptr<grpc::Channel>& channel, const WaveShape& shape, Source w);

  // Runs it once; the seconds that took.
  double Run();
  // Of the last one.
  const grpc::Status& status() const { return status_; }
  const v1::WaveResult& result() const { return result_; }

 private:
  const std::unique_ptr<v1::Execution::Stub> execution_;
  v1::SubmitWaveRequest wave_;
  grpc::Status status_;
  v1::WaveResult result_;
};

}  // namespace bwrt::bench

#endif  // BWRT_TESTS_BENCH_WAVE_CLIENT_H_
