// WeightsFixture: Weights over the CPU device, with time and executors that stand still until a test moves them.
#ifndef BWRT_TESTS_RUNTIME_WEIGHTS_FIXTURE_H_
#define BWRT_TESTS_RUNTIME_WEIGHTS_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cpu_info.h"
#include "runtime/cpu_device.h"
#include "runtime/weights.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/recording_observer.h"

namespace bwrt::runtime {

class WeightsFixture : public ::testing::Test {
 protected:
  using Committed = std::optional<absl::StatusOr<CommitResult>>;

  // Once; later calls make it anew, as a restart does.
  Weights& Make(WeightsOptions options = {}, StateStore* state = nullptr, Failpoints* failpoints = nullptr) {
    weights_.reset();
    if (device_ == nullptr) device_ = *CpuDevice::Create(kernels::Probe(), &clock_);
    Weights::Context context;
    context.limits = &limits_;
    context.clock = &clock_;
    context.bulk = context.reclaim = context.journal = &executor_;
    context.device = device_.get();
    context.observer = &observer_;
    context.state = state;
    context.root = nullptr;
    context.failpoints = failpoints;
    context.on_startable = [] {};
    context.busy = [] { return false; };
    weights_ = std::make_unique<Weights>(std::move(options), std::move(context));
    notes_ = weights_->Restore();
    return *weights_;
  }
  Weights& weights() { return *weights_; }

  // n float32 elements.
  static TensorManifestRequest Floats(const std::string& name, int64_t n) { return {name, ElementType::kF32, {n}, {}}; }

  absl::StatusOr<UpdateStatus> Begin(const std::string& id, const std::string& model,
                                     std::vector<TensorManifestRequest> tensors) {
    BeginUpdateRequest request;
    request.update_id = id;
    request.model = model;
    request.label = "label of " + id;
    request.tensors = std::move(tensors);
    return weights_->BeginUpdate(std::move(request));
  }

  absl::Status Stage(const std::string& id, const std::string& tensor, absl::string_view data, int64_t offset = 0) {
    auto update = weights_->FindUpdate(id);
    if (!update.ok()) return update.status();
    return weights_->Stage(**update, tensor, 0, offset, absl::Cord(data));
  }

  absl::Status Precommit(const std::string& id) {
    return weights_->Precommit(id, [] { return false; }).status();
  }

  // Runs the executors until the outcome is there, if it can be.
  absl::StatusOr<CommitResult> Commit(std::vector<std::string> ids, SwapWish wish = {}) {
    const auto outcome = std::make_shared<Committed>();
    auto leave = weights_->Commit({std::move(ids), wish},
                                  [outcome](absl::StatusOr<CommitResult> result) { *outcome = std::move(result); });
    if (!leave.ok()) return leave.status();
    executor_.RunAll();
    if (!outcome->has_value()) return absl::UnknownError("it has not ended");
    return **outcome;
  }

  // All of it for one tensor "w" that holds `data`.
  absl::StatusOr<CommitResult> Publish(const std::string& id, const std::string& model, const std::string& data) {
    const auto begun = Begin(id, model, {Floats("w", static_cast<int64_t>(data.size() / 4))});
    if (!begun.ok()) return begun.status();
    if (absl::Status status = Stage(id, "w", data); !status.ok()) return status;
    if (absl::Status status = Precommit(id); !status.ok()) return status;
    return Commit({id});
  }

  absl::StatusOr<SwapResult> Rollback(RollbackRequest request) {
    auto outcome = std::make_shared<std::optional<absl::StatusOr<SwapResult>>>();
    auto swap = weights_->Rollback(std::move(request),
                                   [outcome](absl::StatusOr<SwapResult> result) { *outcome = std::move(result); });
    if (!swap.ok()) return swap.status();
    executor_.RunAll();
    return **outcome;
  }

  std::string Read(const std::string& model, const std::string& tensor) {
    ReadRequest request;
    request.model = model;
    request.tensor = tensor;
    auto read = weights_->ReadTensor(request);
    return read.ok() ? read->data : std::string(read.status().message());
  }

  uint64_t VersionOf(const std::string& model) { return (*weights_->FindModel(model))->version_number(); }

  Limits limits_;
  ManualClock clock_;
  ManualExecutor executor_;
  RecordingObserver observer_;
  std::unique_ptr<CpuDevice> device_;
  std::unique_ptr<Weights> weights_;
  std::vector<std::string> notes_;  // Of the last Restore.
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_RUNTIME_WEIGHTS_FIXTURE_H_
