// UpdatesFixture: a daemon whose weights a publisher updates, and shorthands for what a publisher asks.
#ifndef BWRT_TESTS_E2E_UPDATES_FIXTURE_H_
#define BWRT_TESTS_E2E_UPDATES_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "client/status.h"
#include "tests/e2e/daemon_fixture.h"
#include "tests/e2e/waves.h"
#include "tests/e2e/weights_stub.h"

namespace bwrt::e2e {

inline constexpr int64_t kColumns = 64;
inline constexpr size_t kRowBytes = kColumns * sizeof(float);

// `rows` rows of a matrix in which every element is `value`.
std::string Rows(int64_t rows, float value);

// Rows that differ.
std::string Ramp(int64_t rows);

v1::TensorManifest Matrix(const std::string& name, int64_t rows);

// As many floats as `rows` rows of a matrix have, but with no layouts of their own that would need room, too.
v1::TensorManifest Vector(const std::string& name, int64_t rows);

v1::BeginUpdateRequest BeginOf(const std::string& id, std::vector<v1::TensorManifest> tensors,
                               const std::string& model = "");

v1::StageWeightsRequest ShardOf(const std::string& id, const std::string& tensor, uint32_t rank,
                                const std::string& data);

v1::ReadTensorRequest ReadOf(const std::string& tensor, const std::string& model = "");

std::vector<std::string> Reasons(const absl::Status& status);

std::set<std::string> FilesIn(const std::string& directory);

class UpdatesFixture : public DaemonFixture {
 protected:
  void Start(std::vector<std::string> flags = {}) {
    flags.emplace_back(kLenient);
    ASSERT_NO_FATAL_FAILURE(StartDaemon(std::move(flags)));
    stub_ = std::make_unique<WeightsStub>(daemon().unix_address());
  }
  void Stop() {
    stub_.reset();
    EXPECT_EQ(StopDaemon(), 0);
  }
  void TearDown() override {
    stub_.reset();
    DaemonFixture::TearDown();
  }

  WeightsStub& weights() { return *stub_; }

  // A prepared update of "w".
  void Prepare(const std::string& id, const std::string& bytes, const std::string& model = "",
               v1::ApplyMode mode = v1::SHADOW) {
    PrepareAs(Matrix("w", static_cast<int64_t>(bytes.size() / kRowBytes)), id, bytes, model, mode);
  }
  void PrepareAs(const v1::TensorManifest& tensor, const std::string& id, const std::string& bytes,
                 const std::string& model = "", v1::ApplyMode mode = v1::SHADOW) {
    v1::BeginUpdateRequest begin = BeginOf(id, {tensor}, model);
    begin.set_apply_mode(mode);
    const auto begun = weights().Begin(begin);
    ASSERT_TRUE(begun.ok()) << client::FormatError(begun.status());
    const auto staged = weights().Stage({ChunkOf(id, tensor.name(), 0, bytes)});
    ASSERT_TRUE(staged.ok()) << client::FormatError(staged.status());
    const auto prepared = weights().Precommit(id);
    ASSERT_TRUE(prepared.ok()) << client::FormatError(prepared.status());
    EXPECT_EQ(prepared->info().state(), v1::PREPARED);
  }
  // Prepares and commits it; the new version.
  uint64_t Update(const std::string& id, const std::string& bytes, const std::string& model = "") {
    Prepare(id, bytes, model);
    const auto done = weights().Commit({id});
    EXPECT_TRUE(done.ok()) << client::FormatError(done.status());
    return done.ok() ? done->updates(0).version() : 0;
  }

  std::string Content(const std::string& tensor, const std::string& model = "") {
    const auto read = weights().Read(ReadOf(tensor, model));
    EXPECT_TRUE(read.ok()) << client::FormatError(read.status());
    return read.ok() ? read->data() : "";
  }
  v1::ModelSummary Summary(const std::string& model = "") {
    const auto found = weights().GetModel(model);
    EXPECT_TRUE(found.ok()) << client::FormatError(found.status());
    return found.ok() ? found->summary() : v1::ModelSummary();
  }
  v1::UpdateState State(const std::string& id) {
    const auto found = weights().Get(id);
    EXPECT_TRUE(found.ok()) << client::FormatError(found.status());
    return found.ok() ? found->info().state() : v1::UPDATE_STATE_UNSPECIFIED;
  }
  // Without naming it: that would put off its end.
  v1::UpdateState ListedState(const std::string& id) {
    const auto all = weights().List();
    if (!all.ok()) return v1::UPDATE_STATE_UNSPECIFIED;
    for (const v1::UpdateInfo& info : all->updates()) {
      if (info.update_id() == id) return info.state();
    }
    return v1::UPDATE_STATE_UNSPECIFIED;
  }
  // A wave on the model that leaves its window closed, or open.
  void RunWave(const std::string& model, bool leaves_open) {
    v1::SubmitWaveRequest wave = MakeWave(256, 384, 64);
    wave.set_model(model);
    SetWindow(&wave, 0, leaves_open ? 6 : 1);
    const auto result = client().SubmitWave(wave);
    ASSERT_TRUE(result.ok()) << client::FormatError(result.status());
  }

 private:
  std::unique_ptr<WeightsStub> stub_;
};

}  // namespace bwrt::e2e

#endif  // BWRT_TESTS_E2E_UPDATES_FIXTURE_H_
