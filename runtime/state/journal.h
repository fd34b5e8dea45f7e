// Journal: the checkpoint and the journal of a state directory, as files.
//
// Used by one thread at a time; blocking. A generation is a checkpoint and the journal of what happened since:
// 1. The files of a new generation are durable before its checkpoint replaces the old one, and that is durable before
//    anything is added to its journal; the old journal goes last. There is always exactly one generation that counts.
// 2. fsync is believed once. After a failure the file is never used again: either a new generation takes its place, or
//    the journal has failed for good and refuses everything.
// 3. The checkpoint lies there twice, so that one damaged file loses nothing.
#ifndef BWRT_RUNTIME_STATE_JOURNAL_H_
#define BWRT_RUNTIME_STATE_JOURNAL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/failpoints.h"
#include "runtime/state/files.h"
#include "runtime/state/ledger.h"
#include "runtime/state/record.h"

namespace bwrt::runtime {

class Journal {
 public:
  // A longer journal is replaced by a checkpoint.
  static constexpr int64_t kRotateBytes = int64_t{1} << 20;

  Journal(Directory* directory, Failpoints* failpoints) : directory_(directory), failpoints_(failpoints) {}

  struct Recovered {
    Ledger ledger;
    bool fresh = false;  // There was nothing yet.
    std::vector<std::string> notes;
  };
  // To be called first, and Rotate next; should that fail, the next record tries again. DATA_LOSS, reason
  // STATE_DIR_DAMAGED, when neither checkpoint can be read.
  absl::StatusOr<Recovered> Recover();

  // Begins a new generation with what `ledger` says. On an error the old one goes on, unless `failure` says otherwise.
  absl::Status Rotate(const Ledger& ledger);

  // Durably adds what was deferred, and `record`. `before` and `after` are the ledger without and with it.
  // OK: the record is kept. Otherwise it is not, unless `failure` says that nobody knows. When `insist` is set a
  // record that can't be added is kept by a new generation, if at all possible.
  absl::Status Append(const Record& record, const Ledger& before, const Ledger& after, bool insist);
  // To be written together with the next record, or by Flush.
  void Defer(const Record& record);
  absl::Status Flush(const Ledger& ledger);

  // From now on everything is refused: UNAVAILABLE, reason STATE_DIR_FAILED.
  void Fail(const absl::Status& cause);
  const absl::Status& failure() const { return failure_; }
  int64_t bytes() const { return bytes_ + 2 * checkpoint_bytes_; }

 private:
  struct Checkpoint {
    Ledger ledger;
    uint64_t generation = 0;
  };

  void Reach(absl::string_view step) const { runtime::Reach(failpoints_, step); }
  // Nullopt when there is none; DATA_LOSS when it is damaged.
  absl::StatusOr<std::optional<Checkpoint>> ReadCheckpoint(const std::string& path) const;
  absl::Status Replay(Recovered* recovered);
  absl::Status WriteFile(const std::string& path, absl::string_view bytes) const;
  // The steps of Rotate: up to where the new checkpoint is there, and what follows it.
  absl::Status PrepareGeneration(uint64_t generation, absl::string_view checkpoint, std::unique_ptr<File>* journal);
  absl::Status PublishCheckpoint();
  void Clean(uint64_t old, absl::string_view checkpoint);
  // Begins the first generation since Recover, if that has not been done.
  absl::Status Begin(const Ledger& ledger) { return file_ == nullptr ? Rotate(ledger) : failure_; }
  absl::Status AppendLines(const std::string& lines, const Ledger& settled, bool insist);

  Directory* const directory_;
  Failpoints* const failpoints_;
  uint64_t generation_ = 0;
  std::unique_ptr<File> file_;  // The generation's journal; null until Rotate.
  int64_t bytes_ = 0;           // Of it, all durable.
  int64_t checkpoint_bytes_ = 0;
  bool quarantine_ = false;  // The journal found by Recover is damaged: to be kept for the operator.
  std::string deferred_;
  absl::Status failure_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STATE_JOURNAL_H_
