// Crashes: a daemon that is killed at each of its steps, and at any time, serves what it had promised when it is back.
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bwrt/v1/execution.grpc.pb.h"
#include "client/status.h"
#include "tests/e2e/daemon_fixture.h"
#include "tests/e2e/daemon_process.h"
#include "tests/e2e/history_client.h"
#include "tests/e2e/history_load.h"
#include "tests/e2e/waves.h"
#include "tests/support/killing_failpoints.h"

namespace bwrt::e2e {
namespace {

using runtime::KillingFailpoints;
using testing::IsEmpty;
using testing::UnorderedElementsAreArray;
using Outcome = HistoryCommit::Outcome;

constexpr char kMortal[] = "tests/e2e/bwrtd_failpoints";
constexpr int kKilled = 128 + SIGKILL;

absl::StatusOr<std::unique_ptr<Daemon>> Start(const std::string& state, const std::string& program = "") {
  return Daemon::Start({"--state-dir=" + state, "--lanes=2", "--max-pause=100ms", kLenient}, program);
}

// A variable of the environment while it lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* const name_;
};

// Stops a daemon whose clients have gone: it would wait a moment for their connections.
void Stop(Daemon& daemon, std::unique_ptr<HistoryClient> client) {
  client.reset();
  EXPECT_EQ(daemon.Stop(), 0) << daemon.log();
}

// A wave that keeps its model from being idle, for a second at least. Stopped when destroyed.
class Occupation {
 public:
  // Returns once it runs, or the daemon has gone.
  Occupation(HistoryClient& client, const std::string& model)
      : stub_(v1::Execution::NewStub(client.weights().channel())) {
    v1::SubmitWaveRequest wave = MakeLongWave("long", 512);
    wave.set_client_id("occupation");
    wave.set_model(model);
    thread_ = std::thread([this, wave = std::move(wave)] {
      v1::WaveResult result;
      stub_->SubmitWave(&context_, wave, &result);
    });
    EXPECT_TRUE(WaitUntil([&] {
      const auto state = client.weights().GetModel(model);
      return !state.ok() || (state->window().claims_size() > 0 && state->window().claims(0).in_flight());
    }));
  }
  ~Occupation() {
    context_.TryCancel();
    thread_.join();
  }
  Occupation(const Occupation&) = delete;
  Occupation& operator=(const Occupation&) = delete;

 private:
  const std::unique_ptr<v1::Execution::Stub> stub_;
  grpc::ClientContext context_;
  std::thread thread_;
};

// A state directory that daemons start from, and what is known of it.
struct Prepared {
  Directory state;
  History history;
  std::vector<Staged> updates;  // Prepared, on models of their own.
};

class CrashTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    prepared_ = new Prepared;
    HistoryRecorder recorder;
    auto daemon = Start(prepared_->state.path());
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    auto client = std::make_unique<HistoryClient>((*daemon)->unix_address(), &recorder);
    for (const char* model : kHistoryModels) {
      ASSERT_TRUE(client->SetWeights(model).ok());
      ASSERT_TRUE(client->SetWeights(model).ok());
    }
    const auto beside = client->Prepare("c", "beside");
    ASSERT_TRUE(beside.ok()) << beside.status();
    ASSERT_TRUE(client->SetWeights("d").ok());
    const auto in_place = client->Prepare("d", "in-place", /*in_place=*/true);
    ASSERT_TRUE(in_place.ok()) << in_place.status();
    prepared_->updates = {*beside, *in_place};
    prepared_->history = recorder.Take();
    Stop(**daemon, std::move(client));
  }
  static void TearDownTestSuite() {
    delete prepared_;
    prepared_ = nullptr;
  }

  // One of everything, until the daemon goes.
  static absl::Status Script(HistoryClient& client);

  // A daemon on `state`, which another one left when it was killed: all that was promised is there.
  static void CheckRestarted(const std::string& state, HistoryRecorder& recorder);

  static Prepared* prepared_;
};

Prepared* CrashTest::prepared_ = nullptr;

#define BWRT_STEP(expression)                                                                 \
  do {                                                                                        \
    if (const absl::Status step_status = (expression); !step_status.ok()) return step_status; \
  } while (false)

absl::Status CrashTest::Script(HistoryClient& client) {
  const auto waves = [&]() -> absl::Status {
    BWRT_STEP(client.RunWave("a"));
    return client.RunWave("b");
  };
  const auto update = [&](const std::string& model, const std::string& id, bool in_place) -> absl::Status {
    const auto staged = client.Prepare(model, id, in_place);
    return staged.ok() ? client.Commit({*staged}) : staged.status();
  };
  BWRT_STEP(waves());
  BWRT_STEP(client.SetWeights("a"));
  BWRT_STEP(client.SetWeights(kPassingModel));
  BWRT_STEP(client.RunWave(kPassingModel));
  BWRT_STEP(client.DeleteModel(kPassingModel));
  EXPECT_FALSE(client.RunWave(kPassingModel).ok());
  BWRT_STEP(update("b", "shadow", false));
  BWRT_STEP(waves());
  const auto a = client.weights().GetModel("a");
  BWRT_STEP(a.status());
  BWRT_STEP(client.Rollback("a", a->kept(0)));
  BWRT_STEP(client.RunWave("a"));
  std::vector<Staged> group;
  for (const char* model : kHistoryModels) {
    auto staged = client.Prepare(model);
    BWRT_STEP(staged.status());
    group.push_back(*std::move(staged));
  }
  BWRT_STEP(client.Commit(group));
  BWRT_STEP(waves());
  const auto given_up = client.Prepare("b", "given-up");
  BWRT_STEP(given_up.status());
  BWRT_STEP(client.weights().Abort(given_up->id).status());
  const auto in_place = client.Prepare("a", "late", /*in_place=*/true);
  BWRT_STEP(in_place.status());
  {
    const Occupation occupation(client, "a");
    const absl::Status late = client.Commit({*in_place});
    if (IsUnanswered(late)) return late;
    EXPECT_TRUE(Is(late, absl::StatusCode::kDeadlineExceeded, "MAX_PAUSE"));
  }
  BWRT_STEP(client.Commit({*in_place}));
  BWRT_STEP(waves());
  return update("b", "last", false);
}

void CrashTest::CheckRestarted(const std::string& state, HistoryRecorder& recorder) {
  HistoryRestart restart;
  restart.time.invoked = recorder.Now();
  auto daemon = Start(state);
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  restart.time.returned = recorder.Now();
  recorder.Add(restart);
  auto client = std::make_unique<HistoryClient>((*daemon)->unix_address(), &recorder);
  for (const char* model : kHistoryModels) EXPECT_TRUE(client->RunWave(model).ok());
  // There or not, which is for the checker to judge.
  client->RunWave(kPassingModel).IgnoreError();
  const auto failed = client->SettleOpen();
  ASSERT_TRUE(failed.ok()) << client::FormatError(failed.status());
  EXPECT_EQ(*failed, 0) << "nothing else was committed: what was prepared can be";
  for (const Staged& update : prepared_->updates) {
    const auto found = client->weights().Get(update.id);
    ASSERT_TRUE(found.ok()) << client::FormatError(found.status());
    EXPECT_EQ(found->info().state(), v1::PREPARED) << update.id;
    const absl::Status committed = client->Commit({update});
    EXPECT_TRUE(committed.ok()) << update.id << ": " << client::FormatError(committed);
    EXPECT_TRUE(client->RunWave(update.model).ok());
  }
  for (const char* model : kHistoryModels) {
    EXPECT_TRUE(client->SetWeights(model).ok());
    EXPECT_TRUE(client->RunWave(model).ok());
  }
  EXPECT_THAT(FindContradictions(recorder.Take()), IsEmpty()) << (*daemon)->log();
  Stop(**daemon, std::move(client));
}

TEST_F(CrashTest, TheScriptReachesEveryStep) {
  const Directory directory;
  const std::string state = directory / "state";
  std::filesystem::copy(prepared_->state.path(), state, std::filesystem::copy_options::recursive);
  const Variable trace(KillingFailpoints::kTraceVariable, directory / "trace");
  HistoryRecorder recorder(prepared_->history);
  {
    auto daemon = Start(state, kMortal);
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    auto client = std::make_unique<HistoryClient>((*daemon)->unix_address(), &recorder);
    const absl::Status done = Script(*client);
    EXPECT_TRUE(done.ok()) << client::FormatError(done);
    Stop(**daemon, std::move(client));
  }
  const std::vector<std::string> reached = absl::StrSplit(ReadAll(directory / "trace"), '\n', absl::SkipEmpty());
  EXPECT_THAT(reached, UnorderedElementsAreArray(runtime::AllSteps()));
  CheckRestarted(state, recorder);
}

class CrashAtStepTest : public CrashTest, public testing::WithParamInterface<std::string> {};

TEST_P(CrashAtStepTest, IsRecoveredFrom) {
  const Directory directory;
  const std::string state = directory / "state";
  std::filesystem::copy(prepared_->state.path(), state, std::filesystem::copy_options::recursive);
  HistoryRecorder recorder(prepared_->history);
  {
    const Variable failpoint(KillingFailpoints::kStepVariable, GetParam());
    auto daemon = Start(state, kMortal);
    if (daemon.ok()) {
      HistoryClient client((*daemon)->unix_address(), &recorder);
      const absl::Status cut_off = Script(client);
      EXPECT_TRUE(cut_off.ok() || IsUnanswered(cut_off)) << client::FormatError(cut_off);
      EXPECT_EQ((*daemon)->Wait(), kKilled) << "it never reached " << GetParam();
    } else {
      // On its way up.
      EXPECT_TRUE(absl::StrContains(daemon.status().message(), absl::StrCat("status ", kKilled))) << daemon.status();
    }
  }
  CheckRestarted(state, recorder);
}

std::string NameOf(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  for (char& c : name) {
    if (c == '.') c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Steps, CrashAtStepTest, testing::ValuesIn(runtime::AllSteps()), NameOf);

TEST_F(CrashTest, AtAnyTimeUnderLoad) {
  const int kills = std::getenv("BWRT_NIGHTLY") != nullptr ? 200 : 25;
  std::mt19937_64 draw(42);
  const Directory state;
  HistoryRecorder recorder;
  for (int i = 0; i < kills; ++i) {
    HistoryRestart restart;
    restart.time.invoked = recorder.Now();
    auto daemon = Start(state.path());
    ASSERT_TRUE(daemon.ok()) << "after " << i << " kills: " << daemon.status();
    restart.time.returned = recorder.Now();
    recorder.Add(restart);
    {
      HistoryClient client((*daemon)->unix_address(), &recorder);
      const auto settled = client.SettleOpen();
      ASSERT_TRUE(settled.ok()) << client::FormatError(settled.status());
      for (const char* model : kHistoryModels) {
        if (i == 0) {
          ASSERT_TRUE(client.SetWeights(model).ok());
        }
        const absl::Status wave = client.RunWave(model);
        ASSERT_TRUE(wave.ok()) << "after " << i << " kills: " << wave << (*daemon)->log();
      }
      client.RunWave(kPassingModel).IgnoreError();
    }
    HistoryLoad load(
        (*daemon)->unix_address(), &recorder,
        {.seed = draw(), .publishers = 3, .submitters = 2, .changes = 1000, .waves = 1000, .in_place = true});
    load.Await(static_cast<int64_t>(5 + draw() % 100));
    (*daemon)->Signal(SIGKILL);
    EXPECT_EQ((*daemon)->Wait(), kKilled);
    load.Join();
    ASSERT_THAT(FindContradictions(recorder.Take()), IsEmpty()) << "after " << i << " kills";
  }
  auto daemon = Start(state.path());
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  auto client = std::make_unique<HistoryClient>((*daemon)->unix_address(), &recorder);
  for (const char* model : kHistoryModels) EXPECT_TRUE(client->RunWave(model).ok());
  EXPECT_THAT(FindContradictions(recorder.Take()), IsEmpty());
  EXPECT_GT(recorder.Count(Outcome::kOk), kills);
  EXPECT_GT(recorder.Count(Outcome::kUnknown), 0) << "no commit was cut off";
  Stop(**daemon, std::move(client));
}

}  // namespace
}  // namespace bwrt::e2e
