// StateStore: the state directory of a daemon (--state-dir): committed versions, prepared updates, and what was decided.
//
//   DIR/FORMAT         "bwrt state 1\n"; another number is refused
//   DIR/LOCK           flock'd while a daemon uses the directory
//   DIR/blobs/<hex>    tensor bytes, named by the xxh3 digest of the whole file; never changed once there
//   DIR/manifests/<hex> one version each: its tensors and where their bytes lie; JSON, named likewise
//   DIR/checkpoint     JSON: everything the journal said up to a generation, with its own digest
//   DIR/journal-<gen>  what happened since; one record a line: "<xxh3 hex> <JSON>\n"
//   DIR/quarantine/    files that were damaged, moved aside for the operator
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

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/clock.h"
#include "runtime/digest.h"
#include "runtime/failpoints.h"
#include "runtime/ids.h"
#include "runtime/swap_decision.h"
#include "runtime/tensor.h"

namespace bwrt::runtime {

class Files;

// Where some bytes lie: part of a blob.
struct BlobSlice {
  Digest blob;
  int64_t offset = 0;
  int64_t bytes = 0;
  friend bool operator==(const BlobSlice&, const BlobSlice&) = default;
};

struct StoredTensor {
  std::string name;
  TensorType type;
  Version version;  // That brought it in.
  BlobSlice where;
  Digest digest;  // xxh3, of these bytes alone.
  friend bool operator==(const StoredTensor&, const StoredTensor&) = default;
};

struct StoredVersion {
  std::string model;
  Version number;
  std::string label;
  Version restored_from;  // 0: it is no rollback.
  std::vector<StoredTensor> tensors;  // Sorted by name.
  friend bool operator==(const StoredVersion&, const StoredVersion&) = default;
};

// An update that has been prepared and not yet committed or aborted.
struct StoredUpdate {
  std::string id;
  std::string model;
  Version base;
  Digest manifest;
  bool in_place = false;
  std::optional<Duration> prepared_ttl;  // Starts anew at a restart.
  friend bool operator==(const StoredUpdate&, const StoredUpdate&) = default;
};

// What an update's commit came to, for a commit that is repeated.
struct StoredOutcome {
  std::string update_id;
  uint64_t decision = 0;  // Updates of one decision were committed together.
  std::string model;
  Version version;
  Version previous;
  friend bool operator==(const StoredOutcome&, const StoredOutcome&) = default;
};

struct StoredModel {
  std::string name;
  // Current first, then what is kept for Rollback, newest first. Not empty. A version whose manifest was missing or
  // damaged is left out, and a note says so.
  struct Kept {
    Version number;
    Digest manifest;
  };
  std::vector<Kept> versions;
  Version last;  // The highest number ever decided: the next one is higher.
};

struct RecoveredState {
  std::vector<StoredModel> models;  // Sorted by name.
  std::vector<StoredUpdate> updates;  // Sorted by id.
  std::vector<StoredOutcome> outcomes;  // Oldest first; at most kOutcomesKept.
  std::vector<std::string> notes;  // Damage that was found and what was done about it, for the log.
};

class StateStore final : public SwapJournal {
 public:
  static constexpr size_t kOutcomesKept = 1024;

  struct Options {
    std::string dir;
    int keep_versions = 1;  // Beyond the current one.
    Failpoints* failpoints = nullptr;
  };

  // Makes the directory (0700) or takes an existing one, alone: FAILED_PRECONDITION, reason STATE_DIR_IN_USE, while
  // another process has it, STATE_DIR_FORMAT for a format this code does not know, and then nothing is touched.
  // Replays the journal: a torn last record is cut off; a damaged one before the end is quarantined with all that
  // follows it, and noted.
  static absl::StatusOr<std::unique_ptr<StateStore>> Open(const Options& options, Files* files);
  ~StateStore() override;

  // What Open found. To be called once, before anything else.
  RecoveredState TakeRecovered();

  // ---- Blobs
  // Makes `pieces`, one after the other, one durable blob and returns its digest. A blob that is there already is not
  // written again. It is not collected while `holder`'s reference (see Hold) or a manifest names it.
  absl::StatusOr<Digest> WriteBlob(const std::vector<absl::string_view>& pieces);
  // Reads a tensor's bytes and checks them against its digest. NOT_FOUND STATE_DIR_DAMAGED or DATA_LOSS: the blob has
  // then been moved to quarantine/.
  absl::Status ReadTensor(const StoredTensor& tensor, char* to) const;

  // While any hold lives nothing is collected: taken by whoever writes blobs and manifests that nothing refers to yet.
  using Hold = std::shared_ptr<void>;
  Hold HoldCollection();

  // ---- Manifests
  absl::StatusOr<Digest> WriteManifest(const StoredVersion& version);
  absl::StatusOr<StoredVersion> ReadManifest(const Digest& id) const;

  // ---- The journal: each durable when it returns
  absl::Status Prepare(const StoredUpdate& update);
  // A prepared update was aborted or has expired.
  absl::Status Drop(const std::string& update_id);
  absl::Status DeleteModel(const std::string& model);
  // `model` now serves `number`, which it kept, because what came after is damaged; `number` comes first in the list
  // of kept versions from now on. `last` stays.
  absl::Status FallBack(const std::string& model, Version number);
  // Also drops the updates that the decision names.
  absl::Status Decide(const SwapDecision& decision) override;
  absl::Status Revoke(const SwapDecision& decision) override;
  void Confirm(const SwapDecision& decision) override;
  uint64_t NextDecisionId();

  // The versions of a model that can be rolled back to or are current, newest first.
  std::vector<StoredModel::Kept> Versions(const std::string& model) const;

  // Deletes blobs and manifests that no version, update or open decision needs, unless somebody holds collection.
  // Called after Confirm, Drop and DeleteModel, and once after a restart.
  void Collect();

  // Bytes of everything in the directory, as last counted: no file system call.
  int64_t bytes() const;
  // Whether the journal accepts records.
  absl::Status health() const;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STATE_STATE_STORE_H_
