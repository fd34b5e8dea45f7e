// Waves for the tests: requests with operands in them, the judgement of results, and waves that run as long as a
// test needs.
#ifndef BWRT_TESTS_E2E_WAVES_H_
#define BWRT_TESTS_E2E_WAVES_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "client/client.h"

namespace bwrt::e2e {

// What makes the daemon accept the tiles of a LongWave.
inline constexpr char kLenient[] = "--shape-check=lenient";

// A valid wave of tile shape (128,128,64,2,(2,1)): A and W drawn from `seed`, no order of its own, and the window
// [0, number of tiles), which is always open.
v1::SubmitWaveRequest MakeWave(int64_t m, int64_t n, int64_t k, DType dtype = F32, uint64_t seed = 1);

// The W that MakeWave gives its wave, as a tensor to publish; transposed where the wave says so.
v1::Tensor WeightOf(const v1::SubmitWaveRequest& wave, const std::string& name);
// `wave` with its W taken from that tensor.
v1::SubmitWaveRequest WithStored(v1::SubmitWaveRequest wave, const std::string& tensor);
void SetWindow(v1::SubmitWaveRequest* wave, int32_t begin, int32_t end);
// One tensor, to publish at once.
v1::SetWeightsRequest Publish(v1::Tensor tensor, const std::string& label = "");

// Success if C is what `wave` asks for, tile by tile. W must be in the wave.
testing::AssertionResult IsRight(const v1::SubmitWaveRequest& wave, const v1::WaveResult& result);

// A wave of small operands and 2^20 tiles, for a daemon with kLenient. On a fast machine it computes for k * 5 ms.
v1::SubmitWaveRequest MakeLongWave(const std::string& id, int64_t k = 1024);

// A MakeLongWave on its way, in a thread of its own. Cancelled when destroyed.
class LongWave {
 public:
  // Returns once it runs, and so occupies a lane. `client` must outlive it.
  LongWave(client::Client* client, v1::SubmitWaveRequest wave);
  ~LongWave();
  LongWave(const LongWave&) = delete;
  LongWave& operator=(const LongWave&) = delete;

  // Among the claims of its model's window.
  bool IsRunning() const;
  // Stops it; fails the test if it has ended before.
  void Cancel();
  // Waits for its end.
  absl::StatusOr<v1::WaveResult> Join();

 private:
  client::Client* const client_;
  v1::SubmitWaveRequest wave_;
  client::CallHandle handle_;
  absl::StatusOr<v1::WaveResult> result_;
  std::thread thread_;
};

// A SetWeights on its way, in a thread of its own. Cancelled when destroyed. `client` must outlive it.
class PendingSwap {
 public:
  PendingSwap(client::Client* client, v1::SetWeightsRequest request);
  ~PendingSwap();
  PendingSwap(const PendingSwap&) = delete;
  PendingSwap& operator=(const PendingSwap&) = delete;

  // Waits for its end.
  absl::StatusOr<v1::SetWeightsResponse> Join();

 private:
  client::CallHandle handle_;
  absl::StatusOr<v1::SetWeightsResponse> result_;
  std::thread thread_;
};

}  // namespace bwrt::e2e

#endif  // BWRT_TESTS_E2E_WAVES_H_
