// StateStore: the state directory of a daemon (--state-dir): committed versions, prepared updates, and what was
// decided.
//
//   DIR/FORMAT         "bwrt state 1\n"; another number is refused
//   DIR/LOCK           flock'd while a daemon uses the directory
//   DIR/blobs/<hex>    tensor bytes, named by the xxh3 digest of the whole file; never changed once there
//   DIR/manifests/<hex> one version each: its tensors and where their bytes lie; JSON, named likewise
//   DIR/checkpoint     everything the journal said before generation <gen>, one line as in the journal
//   DIR/checkpoint-copy the same once more, for when the other is damaged
//   DIR/journal-<gen>  what happened since; one record a line: "<xxh3 hex> <JSON>\n"
//   DIR/quarantine/    what was found damaged, for the operator; never removed by the daemon
//
// A file is written under a temporary name, fsynced and renamed, and its directory fsynced, before anything refers to
// it. After a crash at any instruction the directory holds every acknowledged decision, and perhaps one more.
//
// Blocking and thread-safe: blobs and manifests are written and read by many threads at once; journal records one after
// the other. Errors: RESOURCE_EXHAUSTED, reason STATE_DIR_FULL, for a full disk; UNAVAILABLE, reason STATE_DIR_FAILED,
// for any other failure of the file system, and for everything that needs the journal once it could not be kept (no
// later record is accepted until a restart); DATA_LOSS, reason STATE_DIR_DAMAGED, for bytes that are not what was
// written. Texts name what failed, never a path outside the state directory.
#ifndef BWRT_RUNTIME_STATE_STATE_STORE_H_
#define BWRT_RUNTIME_STATE_STATE_STORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/digest.h"
#include "runtime/failpoints.h"
#include "runtime/ids.h"
#include "runtime/mutex.h"
#include "runtime/state/digest_folder.h"
#include "runtime/state/files.h"
#include "runtime/state/journal.h"
#include "runtime/state/ledger.h"
#include "runtime/state/stored.h"
#include "runtime/swap_decision.h"

namespace bwrt::runtime {

struct RecoveredState {
  std::vector<StoredModel> models;      // Sorted by name.
  std::vector<StoredUpdate> updates;    // Sorted by id.
  std::vector<StoredOutcome> outcomes;  // Oldest first; at most kOutcomesKept.
  std::vector<std::string> notes;       // Damage that was found and what was done about it, for the log.
};

class StateStore final : public SwapJournal {
 public:
  static constexpr size_t kOutcomesKept = runtime::kOutcomesKept;

  struct Options {
    std::string dir;
    int keep_versions = 1;  // Beyond the current one.
    Failpoints* failpoints = nullptr;
  };

  // Makes the directory (0700) or takes an existing one, alone: FAILED_PRECONDITION, reason STATE_DIR_IN_USE, while
  // another process has it, STATE_DIR_FORMAT for a format this code does not know, and then nothing is touched.
  // Neither is a directory that holds something else. Replays the journal: a torn last record is cut off; a damaged
  // one before the end with all that follows it; both are noted, and the journal quarantined. What was decided and not
  // revoked is committed. DATA_LOSS, reason STATE_DIR_DAMAGED, when nothing says what was committed. `files` must
  // outlive the store, which must outlive its holds.
  static absl::StatusOr<std::unique_ptr<StateStore>> Open(const Options& options, Files* files);
  ~StateStore() override;

  // What Open found. To be called once, before anything else.
  RecoveredState TakeRecovered();

  // ---- Blobs
  // Makes `pieces`, one after the other, one durable blob and returns its digest. A blob that is there already is not
  // written again. It is not collected while somebody holds collection or a manifest that is needed names it.
  absl::StatusOr<Digest> WriteBlob(const std::vector<absl::string_view>& pieces);
  // Reads a tensor's bytes, tensor.where.bytes of them, and checks them against its digest. NOT_FOUND or DATA_LOSS,
  // reason STATE_DIR_DAMAGED: a damaged blob then has a second name in quarantine/; other tensors in it may still be
  // good, and writing its content again mends it.
  absl::Status ReadTensor(const StoredTensor& tensor, char* to) const;

  // While any hold lives nothing is collected: taken by whoever writes blobs and manifests that nothing refers to yet.
  using Hold = std::shared_ptr<void>;
  Hold HoldCollection();

  // ---- Manifests
  // INVALID_ARGUMENT for what can't be read back (see EncodeManifest), NOT_FOUND, reason STATE_DIR_DAMAGED, when a blob
  // that it names is not there.
  absl::StatusOr<Digest> WriteManifest(const StoredVersion& version);
  // NOT_FOUND or DATA_LOSS, reason STATE_DIR_DAMAGED: a damaged one has been moved to quarantine/.
  absl::StatusOr<StoredVersion> ReadManifest(const Digest& id) const;

  // ---- The journal: each durable when it returns
  absl::Status Prepare(const StoredUpdate& update);
  // A prepared update was aborted or has expired.
  absl::Status Drop(const std::string& update_id);
  // Its prepared updates are dropped, too.
  absl::Status DeleteModel(const std::string& model);
  // `model` now serves `number`, which it kept, because what came after is damaged; `number` comes first in the list
  // of kept versions from now on, and those before it are gone. `last` stays. NOT_FOUND when it keeps no such version.
  absl::Status FallBack(const std::string& model, Version number);
  // Also drops the updates that the decision names; Revoke brings them back. On an error the decision does not take
  // effect, unless health() is not OK: then a restart may find it.
  absl::Status Decide(const SwapDecision& decision) override;
  absl::Status Revoke(const SwapDecision& decision) override;
  void Confirm(const SwapDecision& decision) override;
  uint64_t NextDecisionId();

  // The versions of a model that can be rolled back to or are current, newest first. Without open decisions.
  std::vector<StoredModel::Kept> Versions(const std::string& model) const;

  // Deletes blobs and manifests that no version, update or open decision needs, unless somebody holds collection.
  // Called after Confirm, Drop and DeleteModel, and once after a restart.
  void Collect();

  // Bytes of everything in the directory, as last counted: no file system call, and no waiting for one.
  int64_t bytes() const;
  // Whether the journal accepts records.
  absl::Status health() const;

 private:
  StateStore(const Options& options, std::unique_ptr<Directory> directory);

  absl::Status Recover();
  // Whether the manifest and all its blobs are there; then it is known.
  absl::Status CheckManifest(const Digest& id);
  absl::Status CheckBlobs(const StoredVersion& version) const;
  absl::Status CheckTensor(const StoredTensor& tensor) const;
  void Learn(const Digest& manifest, const StoredVersion& version);
  absl::Status Write(const Record& record);
  // After anything that may have changed them: what health() and bytes() say.
  void Publish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(journal_mu_);
  // Fails the store when a folder has failed: what a directory holds is then unknown.
  absl::StatusOr<Digest> Checked(const DigestFolder& folder, absl::StatusOr<Digest> result);
  // Whether `folder`'s file was removed; false when somebody has held collection since `epoch`.
  bool RemoveUnneeded(DigestFolder& folder, const std::string& hex, uint64_t epoch);
  void Release();

  const Options options_;
  const std::unique_ptr<Directory> directory_;
  mutable DigestFolder blobs_;  // A read can find that a file is damaged.
  mutable DigestFolder manifests_;

  Mutex journal_mu_ ABSL_ACQUIRED_BEFORE(mu_);
  Journal journal_ ABSL_GUARDED_BY(journal_mu_);

  mutable Mutex mu_;
  CondVar removed_;
  Ledger ledger_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::set<std::string>> blobs_of_ ABSL_GUARDED_BY(mu_);  // By manifest; hex digits both.
  RecoveredState recovered_ ABSL_GUARDED_BY(mu_);
  uint64_t next_decision_ ABSL_GUARDED_BY(mu_) = 1;
  int64_t holds_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t epoch_ ABSL_GUARDED_BY(mu_) = 0;  // How often collection has been held.
  bool removing_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status health_ ABSL_GUARDED_BY(mu_);
  int64_t journal_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t quarantine_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // As Open found them.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STATE_STATE_STORE_H_
