// What clients of a daemon do and see, written down as a History.
//
// A model has one tensor "w" of one value, its label is that value in digits, and no two commits but rollbacks write
// the same one. A wave multiplies it with ones, so each element of each tile shows the value that made it.
#ifndef BWRT_TESTS_E2E_HISTORY_CLIENT_H_
#define BWRT_TESTS_E2E_HISTORY_CLIENT_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bwrt/v1/execution.grpc.pb.h"
#include "tests/e2e/weights_stub.h"
#include "tests/support/history.h"

namespace bwrt::e2e {

// An update that is prepared.
struct Staged {
  std::string id;
  std::string model;
  uint64_t value = 0;
  uint64_t base = 0;
};

// Thread-safe. Outlives the clients that write into it, and the daemons.
class HistoryRecorder {
 public:
  HistoryRecorder() = default;
  // Continues that one.
  explicit HistoryRecorder(History so_far);

  // A clock of events: later calls get greater numbers.
  int64_t Now() { return ++now_; }
  uint64_t NewValue() { return ++last_value_; }

  void Add(HistoryWave wave);
  // `updates`, if any, are those that it commits: then one of unknown outcome can be asked for again.
  void Add(HistoryCommit commit, std::vector<Staged> updates = {});
  void Add(HistoryRestart restart);
  void Add(HistoryDeletion deletion);
  void Add(HistoryAbsence absence);

  // Group commits and updates of unknown outcome since this was last called.
  struct Open {
    size_t commit = 0;  // Its index.
    std::vector<Staged> updates;
  };
  std::vector<Open> TakeOpen();
  // What came of one after all.
  void Settle(size_t commit, HistoryCommit::Outcome outcome, const std::vector<uint64_t>& versions);
  // Models with deletions of unknown outcome since SettleDeletions was last called.
  std::vector<std::string> OpenDeletions() const;
  // Of these models there is nothing now: their deletions have taken effect. Of the others nobody knows.
  void SettleDeletions(const std::vector<std::string>& absent);

  // Blocks until so many more operations have been recorded, or `running` is 0; whoever sets that calls Wake.
  void Await(int64_t operations, const std::atomic<int>& running);
  void Wake();

  History Take() const;
  // How many commits ended so.
  int64_t Count(HistoryCommit::Outcome outcome) const;

 private:
  void AddLocked();

  std::atomic<int64_t> now_{0};
  std::atomic<uint64_t> last_value_{0};
  mutable std::mutex mu_;
  std::condition_variable added_;
  int64_t count_ = 0;
  History history_;
  std::vector<Open> open_;
  std::vector<size_t> open_deletions_;  // Their indices.
};

// Whether the daemon has not said how the call ended: perhaps it took effect.
bool IsUnanswered(const absl::Status& status);
// Whether it has gone, or is about to go.
bool IsGone(const absl::Status& status);

// How a swap is to be made.
struct SwapChoice {
  v1::SwapPolicy policy = v1::WAIT_FOR_WINDOW;
  bool hold = true;  // WAIT_FOR_WINDOW only: hold new waves back at once.
};

// A client of one daemon. Thread-safe. Each swap, each deletion and each wave that succeeds is recorded; swaps and
// deletions also when they fail or nobody knows, and waves that find no model, or none with weights.
class HistoryClient {
 public:
  HistoryClient(const std::string& address, HistoryRecorder* recorder);

  WeightsStub& weights() { return weights_; }

  // `rows` of tiles, eight tiles each. Where it is `tight` the model's window is open only in its last tile.
  absl::Status RunWave(const std::string& model, int rows = 4, bool tight = false);
  absl::Status SetWeights(const std::string& model, SwapChoice choice = {});
  absl::Status Rollback(const std::string& model, const v1::KeptVersion& to, SwapChoice choice = {});
  absl::Status DeleteModel(const std::string& model);
  // Begins, stages in several chunks and prepares an update. `id` may be empty.
  absl::StatusOr<Staged> Prepare(const std::string& model, const std::string& id = "", bool in_place = false);
  absl::Status Commit(const std::vector<Staged>& updates, SwapChoice choice = {});
  // Asks again for what was open when the last daemon ended; how many of these commits have failed after all.
  absl::StatusOr<int> SettleOpen();

 private:
  HistoryRecorder* const recorder_;
  WeightsStub weights_;
  const std::unique_ptr<v1::Execution::Stub> execution_;
};

}  // namespace bwrt::e2e

#endif  // BWRT_TESTS_E2E_HISTORY_CLIENT_H_
