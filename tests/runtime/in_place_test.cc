// What comes to a model while an IN_PLACE update is being copied in: it neither sees nor keeps half a version.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cpu_info.h"
#include "runtime/cpu_device.h"
#include "runtime/error.h"
#include "runtime/failpoints.h"
#include "runtime/state/posix_files.h"
#include "runtime/state/state_store.h"
#include "runtime/weights.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/unobserved.h"

namespace bwrt::runtime {
namespace {

constexpr int64_t kElements = 16;

std::string Floats(char c) { return std::string(kElements * 4, c); }

class InPlaceTest : public ::testing::Test, private Failpoints {
 protected:
  void SetUp() override {
    directory_ = absl::StrCat(::testing::TempDir(), "/in-place-", getpid());
    StateStore::Options options;
    options.dir = directory_;
    auto state = StateStore::Open(options, &files_);
    ASSERT_TRUE(state.ok()) << state.status();
    state_ = *std::move(state);
    auto device = CpuDevice::Create(kernels::Probe(), &clock_);
    if (absl::IsUnavailable(device.status())) GTEST_SKIP() << device.status();
    device_ = *std::move(device);
    Weights::Context context;
    context.limits = &limits_;
    context.clock = &clock_;
    context.bulk = context.reclaim = context.journal = &executor_;
    context.device = device_.get();
    context.observer = &observer_;
    context.state = state_.get();
    context.root = nullptr;
    context.failpoints = this;
    context.on_startable = [] {};
    context.busy = [] { return false; };
    WeightsOptions in;
    in.state_directory = directory_;
    weights_ = std::make_unique<Weights>(std::move(in), std::move(context));
    weights_->Restore();
    Prepare("first", {{"b", Floats('1')}, {"w", Floats('1')}}, 0);
    EXPECT_TRUE(Commit("first").ok());
    Prepare("in-place", {{"w", Floats('2')}}, 1);
  }
  void TearDown() override {
    weights_.reset();
    state_.reset();
    std::filesystem::remove_all(directory_);
  }

  // Called once, when a version has become current; that of an update in place is then still to be copied in.
  void OnFlip(std::function<void()> call) { on_flip_ = std::move(call); }

  void Prepare(const std::string& id, const std::vector<std::pair<std::string, std::string>>& tensors, int mode) {
    BeginUpdateRequest begin;
    begin.update_id = id;
    begin.apply_mode = mode;
    for (const auto& [name, data] : tensors) begin.tensors.push_back({name, ElementType::kF32, {kElements}, {}});
    ASSERT_TRUE(weights_->BeginUpdate(begin).ok());
    for (const auto& [name, data] : tensors) {
      ASSERT_TRUE(weights_->Stage(**weights_->FindUpdate(id), name, 0, 0, absl::Cord(data)).ok());
    }
    const auto prepared = Precommit(id);
    ASSERT_TRUE(prepared.ok()) << prepared;
  }
  absl::Status Precommit(const std::string& id) {
    return weights_->Precommit(id, [] { return false; }).status();
  }
  absl::StatusOr<CommitResult> Commit(const std::string& id) {
    std::optional<absl::StatusOr<CommitResult>> outcome;
    const auto leave =
        weights_->Commit({{id}, {}}, [&](absl::StatusOr<CommitResult> result) { outcome = std::move(result); });
    if (!leave.ok()) return leave.status();
    executor_.RunAll();
    if (!outcome) return absl::UnknownError("it has not ended");
    return *std::move(outcome);
  }
  // Replaces "b"; the outcome goes to swapped_.
  void SetB(SwapPolicy policy) {
    SetWeightsRequest request;
    request.tensors.push_back({"b", DTypeWish::kF32, {kElements}, Floats('3')});
    request.swap.policy = static_cast<int>(policy);
    const auto swap = weights_->SetWeights(std::move(request),
                                           [this](absl::StatusOr<SwapResult> result) { swapped_ = std::move(result); });
    ASSERT_TRUE(swap.ok()) << swap.status();
  }
  std::string Read(const std::string& tensor) {
    ReadRequest request;
    request.tensor = tensor;
    const auto read = weights_->ReadTensor(request);
    return read.ok() ? read->data : std::string(read.status().message());
  }

  ManualClock clock_;
  ManualExecutor executor_;
  std::unique_ptr<Weights> weights_;
  std::optional<absl::StatusOr<SwapResult>> swapped_;

 private:
  void Reach(absl::string_view step) override {
    if (step == "commit.flipped" && on_flip_) std::exchange(on_flip_, nullptr)();
  }

  std::string directory_;
  Limits limits_;
  PosixFiles files_;
  Unobserved observer_;
  std::unique_ptr<StateStore> state_;
  std::unique_ptr<CpuDevice> device_;
  std::function<void()> on_flip_;
};

TEST_F(InPlaceTest, ASwapThatWaitsIsBuiltOnTheWholeVersion) {
  OnFlip([this] { SetB(SwapPolicy::kWaitForWindow); });
  ASSERT_TRUE(Commit("in-place").ok());
  for (int i = 0; i < 10 && !swapped_; ++i) {
    clock_.Advance(std::chrono::milliseconds(10));
    executor_.RunAll();
  }
  ASSERT_TRUE(swapped_.has_value());
  ASSERT_TRUE(swapped_->ok()) << swapped_->status();
  EXPECT_EQ((*swapped_)->version, Version(3));
  EXPECT_EQ((*weights_->FindModel(""))->version_number(), 3u);
  EXPECT_EQ(Read("b"), Floats('3'));
  EXPECT_EQ(Read("w"), Floats('2'));
}

TEST_F(InPlaceTest, ASwapThatDoesNotWaitIsRefused) {
  OnFlip([this] { SetB(SwapPolicy::kInWindow); });
  ASSERT_TRUE(Commit("in-place").ok());
  ASSERT_TRUE(swapped_.has_value());
  EXPECT_TRUE(absl::IsUnavailable(swapped_->status()));
  EXPECT_EQ(GetReason(swapped_->status()), "MODEL_LOADING");
  EXPECT_EQ(Read("b"), Floats('1'));
  EXPECT_EQ(Read("w"), Floats('2'));
}

TEST_F(InPlaceTest, AnUpdateIsPreparedOnTheWholeVersion) {
  absl::Status early;
  OnFlip([&] {
    BeginUpdateRequest begin;
    begin.update_id = "next";
    begin.tensors.push_back({"b", ElementType::kF32, {kElements}, {}});
    ASSERT_TRUE(weights_->BeginUpdate(begin).ok());
    ASSERT_TRUE(weights_->Stage(**weights_->FindUpdate("next"), "b", 0, 0, absl::Cord(Floats('4'))).ok());
    early = Precommit("next");
  });
  ASSERT_TRUE(Commit("in-place").ok());
  EXPECT_EQ(GetReason(early), "MODEL_LOADING");
  ASSERT_TRUE(Precommit("next").ok());
  ASSERT_TRUE(Commit("next").ok());
  EXPECT_EQ(Read("b"), Floats('4'));
  EXPECT_EQ(Read("w"), Floats('2'));
}

}  // namespace
}  // namespace bwrt::runtime
