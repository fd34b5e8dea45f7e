#include "tests/e2e/history_client.h"

#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/status.h"
#include "tests/e2e/daemon_process.h"

namespace bwrt::e2e {
namespace {

using Outcome = HistoryCommit::Outcome;

constexpr int64_t kDepth = 16;  // With it a value up to 2^20 stays exact in f32.
constexpr int64_t kTile = 16;
constexpr int64_t kTilesAcross = 8;
constexpr int64_t kColumns = kTile * kTilesAcross;

std::string Filled(int64_t count, float value) {
  std::string bytes(static_cast<size_t>(count) * sizeof(float), '\0');
  for (size_t at = 0; at < bytes.size(); at += sizeof(float)) std::memcpy(&bytes[at], &value, sizeof(value));
  return bytes;
}

std::string WeightBytes(uint64_t value) { return Filled(kDepth * kColumns, static_cast<float>(value)); }

v1::SubmitWaveRequest WaveOf(const std::string& model, int rows, bool tight) {
  v1::SubmitWaveRequest wave;
  wave.set_model(model);
  wave.set_m(rows * kTile);
  wave.set_n(kColumns);
  wave.set_k(kDepth);
  WaveSpec* spec = wave.mutable_spec();
  spec->set_bm(kTile);
  spec->set_bn(kTile);
  spec->set_bk(kDepth);
  spec->set_dtype(F32);
  const auto tiles = static_cast<int32_t>(rows * kTilesAcross);
  spec->set_swap_begin(tight ? tiles - 1 : 0);
  spec->set_swap_end(tiles);
  wave.mutable_a()->set_inline_(Filled(wave.m() * kDepth, 1));
  wave.mutable_w()->set_tensor("w");
  return wave;
}

// The value of each tile, or all of them where one tile has several. What is no value shows as 0, which is none.
std::vector<uint64_t> ValuesOf(const std::string& c, int rows) {
  std::vector<uint64_t> values;
  for (int64_t tile = 0; tile < rows * kTilesAcross; ++tile) {
    std::set<float> found;
    for (int64_t i = 0; i < kTile * kTile; ++i) {
      const int64_t row = tile / kTilesAcross * kTile + i / kTile;
      const int64_t column = tile % kTilesAcross * kTile + i % kTile;
      float element = 0;
      std::memcpy(&element, &c[static_cast<size_t>(row * kColumns + column) * sizeof(float)], sizeof(element));
      found.insert(element / kDepth);
    }
    for (const float value : found) {
      values.push_back(value > 0 && value == std::floor(value) ? static_cast<uint64_t>(value) : 0);
    }
  }
  return values;
}

template <typename Request>
void Apply(SwapChoice choice, Request* request) {
  request->set_policy(choice.policy);
  if (choice.policy != v1::WAIT_FOR_WINDOW) return;
  request->mutable_wait_timeout()->set_seconds(30);
  if (choice.hold) request->mutable_hold_after();  // 0 s.
}

Outcome OutcomeOf(const absl::Status& status) {
  if (status.ok()) return Outcome::kOk;
  return IsUnanswered(status) ? Outcome::kUnknown : Outcome::kFailed;
}

}  // namespace

bool IsUnanswered(const absl::Status& status) {
  const std::string reason = client::DetailsOf(status).reason;
  return !status.ok() && (reason.empty() || reason == "STATE_DIR_FAILED");
}

bool IsGone(const absl::Status& status) {
  const std::string reason = client::DetailsOf(status).reason;
  return !status.ok() && (reason.empty() || reason == "DRAINING");
}

// ---- HistoryRecorder

HistoryRecorder::HistoryRecorder(History so_far) : history_(std::move(so_far)) {
  const auto after = [this](const HistoryInterval& time) { now_ = std::max(now_.load(), time.returned); };
  for (const HistoryWave& wave : history_.waves) after(wave.time);
  for (const HistoryRestart& restart : history_.restarts) after(restart.time);
  for (const HistoryDeletion& deletion : history_.deletions) after(deletion.time);
  for (const HistoryAbsence& absence : history_.absences) after(absence.time);
  for (const HistoryCommit& commit : history_.commits) {
    after(commit.time);
    for (const auto& part : commit.parts) last_value_ = std::max(last_value_.load(), part.value);
  }
}

void HistoryRecorder::AddLocked() {
  ++count_;
  added_.notify_all();
}

void HistoryRecorder::Add(HistoryWave wave) {
  const std::lock_guard lock(mu_);
  history_.waves.push_back(std::move(wave));
  AddLocked();
}

void HistoryRecorder::Add(HistoryCommit commit, std::vector<Staged> updates) {
  const std::lock_guard lock(mu_);
  if (commit.outcome == Outcome::kUnknown && !updates.empty()) {
    open_.push_back({history_.commits.size(), std::move(updates)});
  }
  history_.commits.push_back(std::move(commit));
  AddLocked();
}

void HistoryRecorder::Add(HistoryRestart restart) {
  const std::lock_guard lock(mu_);
  history_.restarts.push_back(restart);
}

void HistoryRecorder::Add(HistoryDeletion deletion) {
  const std::lock_guard lock(mu_);
  if (deletion.outcome == Outcome::kUnknown) open_deletions_.push_back(history_.deletions.size());
  history_.deletions.push_back(std::move(deletion));
  AddLocked();
}

void HistoryRecorder::Add(HistoryAbsence absence) {
  const std::lock_guard lock(mu_);
  history_.absences.push_back(std::move(absence));
  AddLocked();
}

std::vector<std::string> HistoryRecorder::OpenDeletions() const {
  std::vector<std::string> models;
  const std::lock_guard lock(mu_);
  for (const size_t i : open_deletions_) models.push_back(history_.deletions[i].model);
  return models;
}

void HistoryRecorder::SettleDeletions(const std::vector<std::string>& absent) {
  const int64_t now = Now();
  const std::lock_guard lock(mu_);
  for (const size_t i : std::exchange(open_deletions_, {})) {
    HistoryDeletion& deletion = history_.deletions[i];
    if (std::count(absent.begin(), absent.end(), deletion.model) == 0) continue;
    deletion.outcome = Outcome::kOk;
    deletion.time.returned = now;
  }
}

std::vector<HistoryRecorder::Open> HistoryRecorder::TakeOpen() {
  const std::lock_guard lock(mu_);
  return std::exchange(open_, {});
}

void HistoryRecorder::Settle(size_t commit, Outcome outcome, const std::vector<uint64_t>& versions) {
  const int64_t now = Now();
  const std::lock_guard lock(mu_);
  HistoryCommit& settled = history_.commits[commit];
  settled.outcome = outcome;
  settled.time.returned = now;
  for (size_t i = 0; i < versions.size(); ++i) settled.parts[i].version = versions[i];
}

void HistoryRecorder::Await(int64_t operations, const std::atomic<int>& running) {
  std::unique_lock lock(mu_);
  const int64_t end = count_ + operations;
  added_.wait(lock, [&] { return count_ >= end || running == 0; });
}

void HistoryRecorder::Wake() {
  const std::lock_guard lock(mu_);
  added_.notify_all();
}

History HistoryRecorder::Take() const {
  const std::lock_guard lock(mu_);
  return history_;
}

int64_t HistoryRecorder::Count(Outcome outcome) const {
  const std::lock_guard lock(mu_);
  return std::count_if(history_.commits.begin(), history_.commits.end(),
                       [&](const HistoryCommit& c) { return c.outcome == outcome; });
}

// ---- HistoryClient

HistoryClient::HistoryClient(const std::string& address, HistoryRecorder* recorder)
    : recorder_(recorder), weights_(address), execution_(v1::Execution::NewStub(weights_.channel())) {}

absl::Status HistoryClient::RunWave(const std::string& model, int rows, bool tight) {
  const v1::SubmitWaveRequest request = WaveOf(model, rows, tight);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoSeconds(kPatience));
  v1::WaveResult result;
  HistoryWave wave;
  wave.time.invoked = recorder_->Now();
  const grpc::Status status = execution_->SubmitWave(&context, request, &result);
  wave.time.returned = recorder_->Now();
  if (!status.ok()) {
    absl::Status error = client::FromGrpcStatus(status);
    const std::string reason = client::DetailsOf(error).reason;
    // Begun by an update, a model has no weights yet.
    if (reason == "MODEL_NOT_FOUND" || reason == "TENSOR_NOT_FOUND") recorder_->Add(HistoryAbsence{wave.time, model});
    return error;
  }
  wave.model = model;
  wave.version = result.version();
  wave.values = ValuesOf(result.c(), rows);
  EXPECT_EQ(result.version_label(), absl::StrCat(wave.values.front())) << model << " version " << wave.version;
  recorder_->Add(std::move(wave));
  return absl::OkStatus();
}

absl::Status HistoryClient::SetWeights(const std::string& model, SwapChoice choice) {
  const uint64_t value = recorder_->NewValue();
  v1::SetWeightsRequest request;
  request.set_model(model);
  request.set_label(absl::StrCat(value));
  v1::Tensor* w = request.add_tensors();
  w->set_name("w");
  w->set_dtype(F32);
  w->add_shape(kDepth);
  w->add_shape(kColumns);
  w->set_data(WeightBytes(value));
  Apply(choice, &request);
  HistoryCommit commit;
  commit.time.invoked = recorder_->Now();
  const auto done = weights_.SetWeights(request);
  commit.time.returned = recorder_->Now();
  commit.outcome = OutcomeOf(done.status());
  commit.parts.push_back({model, value, 0, done.ok() ? done->version() : 0});
  recorder_->Add(std::move(commit));
  return done.status();
}

absl::Status HistoryClient::Rollback(const std::string& model, const v1::KeptVersion& to, SwapChoice choice) {
  v1::RollbackRequest request;
  request.set_model(model);
  request.set_version(to.version());
  Apply(choice, &request);
  HistoryCommit commit;
  commit.time.invoked = recorder_->Now();
  const auto done = weights_.Rollback(request);
  commit.time.returned = recorder_->Now();
  commit.outcome = OutcomeOf(done.status());
  uint64_t value = 0;
  EXPECT_TRUE(absl::SimpleAtoi(to.label(), &value)) << to.ShortDebugString();
  commit.parts.push_back({model, value, 0, done.ok() ? done->swap().version() : 0});
  recorder_->Add(std::move(commit));
  return done.status();
}

absl::Status HistoryClient::DeleteModel(const std::string& model) {
  v1::DeleteModelRequest request;
  request.set_model(model);
  HistoryDeletion deletion;
  deletion.model = model;
  deletion.time.invoked = recorder_->Now();
  const auto done = weights_.DeleteModel(request);
  deletion.time.returned = recorder_->Now();
  deletion.outcome = OutcomeOf(done.status());
  recorder_->Add(std::move(deletion));
  return done.status();
}

absl::StatusOr<Staged> HistoryClient::Prepare(const std::string& model, const std::string& id, bool in_place) {
  Staged staged;
  staged.model = model;
  staged.value = recorder_->NewValue();
  v1::BeginUpdateRequest begin;
  begin.set_model(model);
  begin.set_update_id(id);
  begin.set_label(absl::StrCat(staged.value));
  begin.set_apply_mode(in_place ? v1::IN_PLACE : v1::SHADOW);
  v1::TensorManifest* w = begin.add_tensors();
  w->set_name("w");
  w->set_dtype(F32);
  w->add_shape(kDepth);
  w->add_shape(kColumns);
  const auto begun = weights_.Begin(begin);
  if (!begun.ok()) return begun.status();
  staged.id = begun->update_id();
  staged.base = begun->base_version();
  const std::string bytes = WeightBytes(staged.value);
  const size_t half = bytes.size() / 2;
  const auto stage = weights_.Stage(
      {ChunkOf(staged.id, "w", half, bytes.substr(half)), ChunkOf(staged.id, "w", 0, bytes.substr(0, half))});
  if (!stage.ok()) return stage.status();
  const auto prepared = weights_.Precommit(staged.id);
  if (!prepared.ok()) return prepared.status();
  return staged;
}

absl::Status HistoryClient::Commit(const std::vector<Staged>& updates, SwapChoice choice) {
  v1::CommitRequest request;
  HistoryCommit commit;
  for (const Staged& update : updates) {
    request.add_update_ids(update.id);
    commit.parts.push_back({update.model, update.value, update.base, 0});
  }
  Apply(choice, &request);
  commit.time.invoked = recorder_->Now();
  const auto done = weights_.Commit(request);
  commit.time.returned = recorder_->Now();
  commit.outcome = OutcomeOf(done.status());
  if (done.ok()) {
    for (size_t i = 0; i < updates.size(); ++i) commit.parts[i].version = done->updates(static_cast<int>(i)).version();
  }
  recorder_->Add(std::move(commit), updates);
  return done.status();
}

absl::StatusOr<int> HistoryClient::SettleOpen() {
  std::vector<std::string> absent;
  for (const std::string& model : recorder_->OpenDeletions()) {
    const auto found = weights_.GetModel(model);
    if (!found.ok() && IsUnanswered(found.status())) return found.status();
    // One without a version is there for an update that would fill it.
    if (!found.ok() || found->summary().version() == 0) absent.push_back(model);
  }
  recorder_->SettleDeletions(absent);
  int failed = 0;
  for (const HistoryRecorder::Open& open : recorder_->TakeOpen()) {
    v1::CommitRequest request;
    for (const Staged& update : open.updates) request.add_update_ids(update.id);
    Apply({}, &request);
    const auto done = weights_.Commit(request);
    const Outcome outcome = OutcomeOf(done.status());
    if (outcome == Outcome::kUnknown) return done.status();
    if (!done.ok()) ++failed;
    std::vector<uint64_t> versions;
    if (done.ok()) {
      for (const v1::CommittedUpdate& update : done->updates()) versions.push_back(update.version());
    }
    recorder_->Settle(open.commit, outcome, versions);
  }
  return failed;
}

}  // namespace bwrt::e2e
