// Swaps: the window decides when a version changes, and no wave ever sees half of one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/daemon_fixture.h"
#include "tests/e2e/waves.h"

namespace bwrt::e2e {
namespace {

using absl::StatusCode;
using client::DetailsOf;

constexpr int32_t kNever = 2'000'000'000;  // A token that no wave reaches.

class SwapsTest : public DaemonFixture {
 protected:
  void SetUp() override { StartDaemon({"--lanes=2", kLenient}); }

  static v1::SubmitWaveRequest Base() { return MakeWave(256, 384, 64); }  // 2 x 3 tiles.

  // Runs Base() with that window; its version.
  uint64_t RunWave(int32_t begin, int32_t end) {
    v1::SubmitWaveRequest wave = Base();
    SetWindow(&wave, begin, end);
    const auto result = client().SubmitWave(wave);
    EXPECT_TRUE(result.ok()) << client::FormatError(result.status());
    return result.ok() ? result->version() : 0;
  }

  static v1::SetWeightsRequest Change(v1::SwapPolicy policy = v1::IN_WINDOW) {
    v1::SetWeightsRequest request = Publish(WeightOf(Base(), "w"), "next");
    request.set_policy(policy);
    return request;
  }

  v1::WindowState Window() { return client().GetModel("")->window(); }
  uint64_t Version() { return client().GetModel("")->summary().version(); }
};

// ---- policies ----

TEST_F(SwapsTest, AClosedWindowRefusesWithItsNumbers) {
  EXPECT_TRUE(Window().open());  // Before the first wave.
  v1::SubmitWaveRequest tight = Base();
  tight.set_client_id(client().client_id());
  tight.set_wave_id("step-7");
  SetWindow(&tight, 0, 1);  // Of six tiles: it rests at token 5.
  ASSERT_TRUE(client().SubmitWave(tight).ok());
  const absl::Status refused = client().SetWeights(Change()).status();
  EXPECT_TRUE(Is(refused, StatusCode::kFailedPrecondition, "SWAP_WINDOW_CLOSED"));
  for (const char* number : {"wave 1", "step-7", "[0,1)", "[5,5]"}) {
    EXPECT_TRUE(absl::StrContains(refused.message(), number)) << number << " is missing: " << refused;
  }
  ASSERT_EQ(DetailsOf(refused).precondition_violations.size(), 1u);
  const client::PreconditionViolation violation = DetailsOf(refused).precondition_violations[0];
  EXPECT_EQ(violation.type, "SWAP_WINDOW");
  EXPECT_EQ(violation.subject, "default/wave 1");
  EXPECT_TRUE(absl::StrContains(violation.description, "[0,1)")) << violation.description;

  const v1::WindowState window = Window();
  EXPECT_FALSE(window.open());
  EXPECT_GT(window.closed_seconds(), 0);
  ASSERT_EQ(window.claims_size(), 1);
  EXPECT_EQ(window.claims(0).wave_id(), "step-7");
  EXPECT_EQ(window.claims(0).swap_begin(), 0);
  EXPECT_EQ(window.claims(0).swap_end(), 1);
  EXPECT_EQ(window.claims(0).clock().lo(), 5);
  EXPECT_EQ(window.claims(0).clock().hi(), 5);
  EXPECT_FALSE(window.claims(0).in_flight());
  EXPECT_TRUE(window.claims(0).blocks());
  EXPECT_EQ(Version(), 0u);

  const v1::ModelSummary listed = client().ListModels()->models(0);
  EXPECT_FALSE(listed.window_open());
  ASSERT_EQ(listed.blockers_size(), 1);
  EXPECT_EQ(listed.blockers(0).SerializeAsString(), window.claims(0).SerializeAsString());

  EXPECT_EQ(RunWave(0, 6), 0u);  // Before.
  EXPECT_TRUE(client().ListModels()->models(0).window_open());
  EXPECT_EQ(client().ListModels()->models(0).blockers_size(), 0);
  const auto accepted = client().SetWeights(Change());
  ASSERT_TRUE(accepted.ok()) << client::FormatError(accepted.status());
  EXPECT_EQ(accepted->previous_version(), 0u);
  EXPECT_EQ(accepted->version(), 1u);
  EXPECT_EQ(RunWave(0, 6), 1u);  // After.
}

TEST_F(SwapsTest, ARunningWaveKeepsItsVersion) {
  v1::SubmitWaveRequest wave = Base();
  wave.set_model("m");
  v1::SetWeightsRequest change = Change();
  change.set_model("m");
  ASSERT_EQ(client().SetWeights(change)->version(), 1u);
  v1::SubmitWaveRequest long_wave = MakeLongWave("long", 64);
  long_wave.set_model("m");
  LongWave running(&client(), long_wave);  // Its window [0, T) is open all along.
  ASSERT_EQ(client().SetWeights(change)->version(), 2u);
  EXPECT_EQ(client().SubmitWave(wave)->version(), 2u);
  EXPECT_TRUE(running.IsRunning()) << "too short to prove anything";
  const auto result = running.Join();
  ASSERT_TRUE(result.ok()) << client::FormatError(result.status());
  EXPECT_EQ(result->version(), 1u);
  EXPECT_EQ(result->version_label(), "next");
}

TEST_F(SwapsTest, AWaveInFlightClosesTheWindow) {
  v1::SubmitWaveRequest wave = MakeLongWave("early");
  SetWindow(&wave, kNever, kNever + 1);
  LongWave running(&client(), wave);
  for (const v1::SwapPolicy policy : {v1::IN_WINDOW, v1::WHEN_IDLE}) {
    const absl::Status refused = client().SetWeights(Change(policy)).status();
    EXPECT_TRUE(Is(refused, StatusCode::kFailedPrecondition, "SWAP_WINDOW_CLOSED"));
    EXPECT_TRUE(absl::StrContains(refused.message(), absl::StrCat("[", kNever, ",", kNever + 1, ")"))) << refused;
    EXPECT_TRUE(absl::StrContains(refused.message(), "in flight")) << refused;
  }
  ASSERT_EQ(Window().claims_size(), 1);
  EXPECT_TRUE(Window().claims(0).in_flight());

  // Beside it, one whose window is open all along does not block.
  LongWave open(&client(), MakeLongWave("open"));
  const auto models = client().ListModels();
  ASSERT_TRUE(models.ok()) << client::FormatError(models.status());
  ASSERT_EQ(models->models(0).blockers_size(), 1);
  EXPECT_EQ(models->models(0).blockers(0).wave_id(), "early");
  EXPECT_TRUE(models->models(0).blockers(0).in_flight());
  EXPECT_EQ(Window().claims_size(), 2);
  open.Cancel();
  running.Cancel();
  EXPECT_TRUE(client().SetWeights(Change()).ok());  // A wave that ends without a result changes nothing.
}

TEST_F(SwapsTest, OtherModelsHaveOtherWindows) {
  RunWave(0, 1);
  v1::SetWeightsRequest other = Change();
  other.set_model("other");
  EXPECT_TRUE(client().SetWeights(other).ok());
  EXPECT_FALSE(client().SetWeights(Change()).ok());
}

TEST_F(SwapsTest, WaitForWindow) {
  RunWave(0, 1);
  PendingSwap swap(&client(), Change(v1::WAIT_FOR_WINDOW));
  ASSERT_TRUE(WaitUntil([this] { return Window().waiting_swaps() == 1; }));
  EXPECT_EQ(RunWave(kNever, kNever + 1), 0u);  // Leaves it closed,
  EXPECT_EQ(Window().waiting_swaps(), 1u);
  RunWave(0, 6);  // and this opens it.
  const auto done = swap.Join();
  ASSERT_TRUE(done.ok()) << client::FormatError(done.status());
  EXPECT_EQ(done->version(), 1u);
  EXPECT_GT(done->waited_seconds(), 0);
  EXPECT_EQ(done->held_seconds(), 0);
  EXPECT_EQ(Window().waiting_swaps(), 0u);
}

TEST_F(SwapsTest, WaitersComeFirstComeFirstServed) {
  RunWave(0, 1);
  std::vector<std::unique_ptr<PendingSwap>> swaps;
  for (uint32_t i = 0; i < 4; ++i) {
    swaps.push_back(std::make_unique<PendingSwap>(&client(), Change(v1::WAIT_FOR_WINDOW)));
    ASSERT_TRUE(WaitUntil([&] { return Window().waiting_swaps() == i + 1; }));
  }
  RunWave(0, 6);
  for (uint64_t i = 0; i < swaps.size(); ++i) {
    const auto done = swaps[i]->Join();
    ASSERT_TRUE(done.ok()) << client::FormatError(done.status());
    EXPECT_EQ(done->version(), i + 1);
  }
}

TEST_F(SwapsTest, AWaitEndsAtItsTimeout) {
  RunWave(0, 1);
  v1::SetWeightsRequest change = Change(v1::WAIT_FOR_WINDOW);
  change.mutable_wait_timeout()->set_nanos(50'000'000);
  const absl::Status status = client().SetWeights(change).status();
  EXPECT_TRUE(Is(status, StatusCode::kDeadlineExceeded, "SWAP_WAIT_TIMEOUT"));
  EXPECT_TRUE(absl::StrContains(status.message(), "[0,1)")) << status;
  RunWave(0, 6);
  EXPECT_EQ(Version(), 0u);  // Nothing changed, nor later.
}

TEST_F(SwapsTest, HoldAfterStopsStarvation) {
  const auto watch = client().WatchModel("");
  v1::SubmitWaveRequest wave = MakeLongWave("closed");
  SetWindow(&wave, kNever, kNever + 1);
  LongWave running(&client(), wave);
  v1::SetWeightsRequest change = Change(v1::WAIT_FOR_WINDOW);
  change.mutable_hold_after()->set_nanos(1'000'000);
  PendingSwap swap(&client(), change);
  ASSERT_TRUE(WaitUntil([this] { return Window().holding(); }));
  // A second lane is free, yet this one has to wait until the swap has had its turn.
  std::optional<uint64_t> version;
  std::thread held([&] { version = RunWave(0, 6); });
  running.Cancel();
  held.join();
  const auto done = swap.Join();
  ASSERT_TRUE(done.ok()) << client::FormatError(done.status());
  EXPECT_EQ(done->version(), 1u);
  EXPECT_GT(done->held_seconds(), 0);
  EXPECT_GE(done->waited_seconds(), done->held_seconds());
  EXPECT_EQ(version, 1u);
  EXPECT_FALSE(Window().holding());

  bool started = false, ended = false;
  while (!ended) {
    const auto event = watch->Next();
    ASSERT_TRUE(event.ok() && event->has_value()) << event.status();
    started = started || (*event)->kind() == v1::ModelEvent::HOLD_STARTED;
    ended = (*event)->kind() == v1::ModelEvent::HOLD_ENDED;
  }
  EXPECT_TRUE(started);
}

TEST_F(SwapsTest, AHoldIsBounded) {
  ASSERT_EQ(StopDaemon(), 0);
  ASSERT_NO_FATAL_FAILURE(StartDaemon({"--lanes=2", "--max-hold=50ms", kLenient}));
  v1::SubmitWaveRequest wave = MakeLongWave("closed");
  SetWindow(&wave, kNever, kNever + 1);
  LongWave running(&client(), wave);
  v1::SetWeightsRequest change = Change(v1::WAIT_FOR_WINDOW);
  change.mutable_hold_after()->set_nanos(1'000'000);
  PendingSwap swap(&client(), change);
  ASSERT_TRUE(WaitUntil([this] { return Window().waiting_swaps() == 1; }));
  EXPECT_EQ(RunWave(0, 6), 0u);  // Starts once the hold is over, if not before.
  EXPECT_TRUE(running.IsRunning());
  EXPECT_EQ(Window().waiting_swaps(), 1u);
  running.Cancel();
  ASSERT_TRUE(swap.Join().ok());
  EXPECT_LT(swap.Join()->held_seconds(), 30);
}

TEST_F(SwapsTest, WhenIdle) {
  RunWave(0, 1);
  EXPECT_FALSE(client().SetWeights(Change()).ok());
  EXPECT_TRUE(client().SetWeights(Change(v1::WHEN_IDLE)).ok());
  EXPECT_FALSE(Window().open());  // It used no window, and opened none.
}

TEST_F(SwapsTest, WhenIdleCanBeForbidden) {
  ASSERT_EQ(StopDaemon(), 0);
  ASSERT_NO_FATAL_FAILURE(StartDaemon({"--allow-when-idle=false"}));
  EXPECT_TRUE(
      Is(client().SetWeights(Change(v1::WHEN_IDLE)).status(), StatusCode::kFailedPrecondition, "WHEN_IDLE_FORBIDDEN"));
  EXPECT_TRUE(client().SetWeights(Change()).ok());
}

// ---- versions ----

TEST_F(SwapsTest, CompareAndSwapOnTheBase) {
  v1::SetWeightsRequest change = Change();
  change.set_base_version(0);
  EXPECT_EQ(client().SetWeights(change)->version(), 1u);
  const absl::Status stale = client().SetWeights(change).status();
  EXPECT_TRUE(Is(stale, StatusCode::kAborted, "BASE_CHANGED"));
  EXPECT_EQ(DetailsOf(stale).metadata.at("current_version"), "1");
  change.set_base_version(1);
  EXPECT_EQ(client().SetWeights(change)->version(), 2u);
  change.clear_base_version();
  EXPECT_EQ(client().SetWeights(change)->version(), 3u);
}

TEST_F(SwapsTest, AStaleWaiterIsAborted) {
  RunWave(0, 1);
  v1::SetWeightsRequest stale = Change(v1::WAIT_FOR_WINDOW);
  stale.set_base_version(0);
  PendingSwap swap(&client(), stale);
  ASSERT_TRUE(WaitUntil([this] { return Window().waiting_swaps() == 1; }));
  EXPECT_TRUE(client().SetWeights(Change(v1::WHEN_IDLE)).ok());
  RunWave(0, 6);
  EXPECT_TRUE(Is(swap.Join().status(), StatusCode::kAborted, "BASE_CHANGED"));
  EXPECT_EQ(Version(), 1u);
}

TEST_F(SwapsTest, OtherTensorsStay) {
  v1::SetWeightsRequest both = Change();
  *both.add_tensors() = WeightOf(MakeWave(8, 16, 32, BF16), "b");
  ASSERT_TRUE(client().SetWeights(both).ok());
  ASSERT_TRUE(client().SetWeights(Change()).ok());
  const auto model = client().GetModel("");
  ASSERT_EQ(model->tensors_size(), 2);
  EXPECT_EQ(model->tensors(0).name(), "b");
  EXPECT_EQ(model->tensors(0).version(), 1u);
  EXPECT_EQ(model->tensors(0).dtype(), BF16);
  EXPECT_EQ(model->tensors(0).bytes(), 2u * 16 * 32);
  EXPECT_EQ(model->tensors(1).name(), "w");
  EXPECT_EQ(model->tensors(1).version(), 2u);
  EXPECT_EQ(model->summary().version(), 2u);
  EXPECT_EQ(model->summary().label(), "next");
  EXPECT_EQ(model->summary().tensors(), 2u);
}

TEST_F(SwapsTest, RequiredVersion) {
  ASSERT_TRUE(client().SetWeights(Change()).ok());
  v1::SubmitWaveRequest wave = Base();
  wave.set_required_version(1);
  EXPECT_EQ(client().SubmitWave(wave)->version(), 1u);
  ASSERT_TRUE(client().SetWeights(Change()).ok());
  const absl::Status status = client().SubmitWave(wave).status();
  EXPECT_TRUE(Is(status, StatusCode::kFailedPrecondition, "VERSION_MISMATCH"));
  EXPECT_EQ(DetailsOf(status).metadata.at("current_version"), "2");
}

TEST_F(SwapsTest, WatchModelSeesVersionsAndWindows) {
  const auto watch = client().WatchModel("");
  const auto next = [&] {
    const auto event = watch->Next();
    EXPECT_TRUE(event.ok() && event->has_value()) << event.status();
    return event.ok() && event->has_value() ? **event : v1::ModelEvent();
  };
  v1::ModelEvent event = next();
  EXPECT_EQ(event.kind(), v1::ModelEvent::SNAPSHOT);
  EXPECT_EQ(event.model(), "default");
  EXPECT_EQ(event.version(), 0u);
  EXPECT_TRUE(event.window_open());

  ASSERT_TRUE(client().SetWeights(Change()).ok());
  event = next();
  EXPECT_EQ(event.kind(), v1::ModelEvent::VERSION);
  EXPECT_EQ(event.version(), 1u);
  EXPECT_EQ(event.label(), "next");

  RunWave(0, 1);  // Open at its first tile, closed from the second on.
  event = next();
  EXPECT_EQ(event.kind(), v1::ModelEvent::WINDOW_CLOSED);
  EXPECT_FALSE(event.window_open());
  RunWave(0, 6);
  event = next();
  EXPECT_EQ(event.kind(), v1::ModelEvent::WINDOW_OPENED);
  EXPECT_TRUE(event.window_open());
  EXPECT_EQ(event.dropped(), 0u);
  watch->Cancel();
  EXPECT_FALSE(watch->Next()->has_value());
}

// ---- torn versions ----

// W of version v is P + v * Q, all of it small whole numbers, so that A @ W is exact in f32 and a C made of two
// versions equals neither.
class Versions {
 public:
  static constexpr int64_t kM = 256, kN = 384, kK = 64;

  Versions() : a_(Fill(kM * kK, 5, 3)), p_(Fill(kK * kN, 7, 4)), q_(Fill(kK * kN, 11, 3)) {
    ap_ = Product(p_);
    aq_ = Product(q_);
  }

  v1::SubmitWaveRequest Wave() const {
    v1::SubmitWaveRequest wave = MakeWave(kM, kN, kK);
    wave.mutable_a()->set_inline_(Bytes(a_));
    wave.mutable_w()->set_tensor("w");
    return wave;
  }
  v1::Tensor Weight(uint64_t version) const {
    v1::Tensor tensor = WeightOf(MakeWave(kM, kN, kK), "w");
    tensor.set_data(Bytes(Sum(p_, q_, version)));
    return tensor;
  }
  std::string C(uint64_t version) const { return Bytes(Sum(ap_, aq_, version)); }

 private:
  using Matrix = std::vector<float>;

  static Matrix Fill(int64_t size, int64_t step, int64_t range) {
    Matrix matrix(static_cast<size_t>(size));
    for (size_t i = 0; i < matrix.size(); ++i) {
      const auto x = static_cast<int64_t>(i);
      matrix[i] = static_cast<float>((x * step + x / 13) % (2 * range + 1) - range);
    }
    return matrix;
  }
  Matrix Product(const Matrix& w) const {
    Matrix c(static_cast<size_t>(kM * kN));
    for (size_t i = 0; i < kM; ++i) {
      for (size_t k = 0; k < kK; ++k) {
        for (size_t j = 0; j < kN; ++j) c[i * kN + j] += a_[i * kK + k] * w[k * kN + j];
      }
    }
    return c;
  }
  static Matrix Sum(const Matrix& p, const Matrix& q, uint64_t version) {
    Matrix sum(p.size());
    for (size_t i = 0; i < p.size(); ++i) sum[i] = p[i] + static_cast<float>(version) * q[i];
    return sum;
  }
  static std::string Bytes(const Matrix& matrix) {
    return {reinterpret_cast<const char*>(matrix.data()), matrix.size() * sizeof(float)};
  }

  Matrix a_, p_, q_, ap_, aq_;
};

// As numbers: 0 and -0 are equal.
bool SameNumbers(const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return false;
  for (size_t at = 0; at < a.size(); at += sizeof(float)) {
    float x = 0, y = 0;
    std::memcpy(&x, &a[at], sizeof(x));
    std::memcpy(&y, &b[at], sizeof(y));
    if (x != y) return false;
  }
  return true;
}

TEST_F(SwapsTest, NoResultMixesVersions) {
  constexpr int kWaves = 60;  // Of each of four threads.
  constexpr int kSwaps = 50;  // Of each of two threads.
  const Versions versions;
  ASSERT_TRUE(client().SetWeights(Publish(versions.Weight(1))).ok());

  std::vector<std::thread> threads;
  threads.reserve(6);
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      for (int done = 0; done < kSwaps;) {
        const uint64_t base = Version();
        v1::SetWeightsRequest change = Publish(versions.Weight(base + 1));
        change.set_base_version(base);
        const auto swapped = client().SetWeights(change);
        if (absl::IsAborted(swapped.status())) continue;  // The other thread was faster.
        ASSERT_TRUE(swapped.ok()) << client::FormatError(swapped.status());
        ASSERT_EQ(swapped->version(), base + 1);
        ++done;
      }
    });
  }
  std::vector<std::map<uint64_t, int>> seen(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const v1::SubmitWaveRequest wave = versions.Wave();
      uint64_t last = 0;
      for (int i = 0; i < kWaves; ++i) {
        const auto result = client().SubmitWave(wave);
        ASSERT_TRUE(result.ok()) << client::FormatError(result.status());
        ASSERT_TRUE(SameNumbers(result->c(), versions.C(result->version()))) << "torn at version " << result->version();
        ASSERT_GE(result->version(), last);  // Never back.
        last = result->version();
        ++seen[static_cast<size_t>(t)][last];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Version(), 1u + 2 * kSwaps);
  size_t most = 0;
  for (const auto& versions_seen : seen) most = std::max(most, versions_seen.size());
  EXPECT_GT(most, 2u) << "waves and swaps did not overlap";
  EXPECT_EQ(client().GetModel("")->summary().retiring_bytes(), 0u);
}

}  // namespace
}  // namespace bwrt::e2e
