#include "client/wave_carrier.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>

#include "client/operands.h"
#include "client/status.h"
#include "tests/client/fake_daemon.h"

namespace bwrt::client {
namespace {

using Open = absl::StatusOr<std::unique_ptr<WaveCarrier>> (*)(const CarrierOptions&);

class WaveCarrierTest : public testing::TestWithParam<Open> {
 protected:
  static v1::SubmitWaveRequest SmallWave(const std::string& model = "") {
    v1::SubmitWaveRequest wave;
    wave.set_model(model);
    wave.set_m(2);
    wave.set_n(3);
    wave.set_k(8);
    WaveSpec* spec = wave.mutable_spec();
    spec->set_bm(16);
    spec->set_bn(16);
    spec->set_bk(16);
    spec->set_dtype(F32);
    wave.mutable_a()->set_inline_(*RandomMatrix({1, 0, OperandStream::kA}, F32, 2, 8));
    wave.mutable_w()->set_inline_(*RandomMatrix({1, 0, OperandStream::kW}, F32, 8, 3));
    return wave;
  }

  std::unique_ptr<WaveCarrier> Carry(const v1::SubmitWaveRequest& wave, int64_t in_flight) {
    auto carrier = GetParam()({.address = daemon_.address(), .wave = wave, .in_flight = in_flight});
    EXPECT_TRUE(carrier.ok()) << carrier.status();
    return *std::move(carrier);
  }

  static WaveCarrier::Time Soon() { return std::chrono::steady_clock::now() + std::chrono::minutes(1); }

  // Sends `count` waves and returns their answers.
  static std::vector<WaveCarrier::Answer> Exchange(WaveCarrier& carrier, uint64_t count) {
    for (uint64_t id = 0; id < count; ++id) carrier.Send(id);
    std::vector<WaveCarrier::Answer> answers;
    while (answers.size() < count) {
      const absl::Status status = carrier.Receive(Soon(), &answers);
      EXPECT_TRUE(status.ok()) << status;
      if (!status.ok()) break;
    }
    return answers;
  }

  FakeDaemon daemon_;
};

TEST_P(WaveCarrierTest, EveryWaveIsAnsweredOnce) {
  constexpr uint64_t kCount = 3 * kWavesPerStream + 1;  // Four streams.
  const auto carrier = Carry(SmallWave(), kCount);
  for (int round = 0; round < 2; ++round) {
    std::set<uint64_t> ids;
    for (const WaveCarrier::Answer& answer : Exchange(*carrier, kCount)) {
      EXPECT_TRUE(answer.status.ok()) << answer.status;
      EXPECT_TRUE(ids.insert(answer.id).second);
    }
    EXPECT_EQ(ids.size(), kCount);
    EXPECT_EQ(*ids.rbegin(), kCount - 1);
  }
}

TEST_P(WaveCarrierTest, AWaveThatFailsFailsAlone) {
  const auto carrier = Carry(SmallWave(kRefuses), 2);
  for (const WaveCarrier::Answer& answer : Exchange(*carrier, 2)) {
    EXPECT_TRUE(absl::IsInvalidArgument(answer.status)) << answer.status;
    EXPECT_EQ(DetailsOf(answer.status).field_violations.size(), 2u);
  }
}

TEST_P(WaveCarrierTest, ACOfAnotherSizeIsAnError) {
  const auto carrier = Carry(SmallWave(kShort), 1);
  EXPECT_EQ(Exchange(*carrier, 1)[0].status, absl::DataLossError("the daemon's C has 23 bytes instead of 24"));
}

TEST_P(WaveCarrierTest, WaitsNoLongerThanAsked) {
  const auto carrier = Carry(SmallWave(kHangs), 1);
  carrier->Send(0);
  std::vector<WaveCarrier::Answer> answers;
  EXPECT_TRUE(carrier->Receive(std::chrono::steady_clock::now() + std::chrono::milliseconds(20), &answers).ok());
  EXPECT_TRUE(answers.empty());
}

TEST_P(WaveCarrierTest, GoingAwayCancelsWhatIsInFlight) {
  {
    const auto carrier = Carry(SmallWave(kHangs), 1);
    carrier->Send(0);
    std::vector<WaveCarrier::Answer> answers;
    while (daemon_.hanging() == 0) {
      ASSERT_TRUE(carrier->Receive(std::chrono::steady_clock::now() + std::chrono::milliseconds(5), &answers).ok());
    }
  }
  while (daemon_.cancelled() == 0) std::this_thread::yield();
}

TEST_P(WaveCarrierTest, NobodyThere) {
  const auto carrier = GetParam()({.address = "unix:none.sock", .wave = SmallWave()});
  EXPECT_TRUE(IsUnreachable(carrier.status())) << carrier.status();
}

INSTANTIATE_TEST_SUITE_P(Kinds, WaveCarrierTest, testing::Values(&CarryByStreams, &CarryByCalls),
                         [](const auto& info) { return info.index == 0 ? "Streams" : "Calls"; });

}  // namespace
}  // namespace bwrt::client
