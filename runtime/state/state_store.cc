#include "runtime/state/state_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/state/format.h"
#include "runtime/state/manifest.h"
#include "runtime/state/read_file.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

constexpr int64_t kReadBlock = int64_t{1} << 20;  // Hashed while it is still in a cache.

absl::Status Damaged(absl::StatusCode code, absl::string_view text) {
  return MakeError(code, "STATE_DIR_DAMAGED", text);
}

// Whether an error says that bytes are gone, rather than that they could not be got at just now.
bool IsDamage(const absl::Status& status) { return absl::IsDataLoss(status) || absl::IsNotFound(status); }

}  // namespace

StateStore::StateStore(const Options& options, std::unique_ptr<Directory> directory)
    : options_(options),
      directory_(std::move(directory)),
      blobs_(directory_.get(), "blobs", "blob", options.failpoints),
      manifests_(directory_.get(), "manifests", "manifest", options.failpoints),
      journal_(directory_.get(), options.failpoints) {}

StateStore::~StateStore() = default;

absl::StatusOr<std::unique_ptr<StateStore>> StateStore::Open(const Options& options, Files* files) {
  auto directory = files->Open(options.dir);
  if (!directory.ok()) return directory.status();
  // First of all, not to leave even a lock in a directory that is not ours.
  if (auto ours = HasFormat(**directory); !ours.ok()) return ours.status();
  const auto locked = (*directory)->Lock("LOCK");
  if (!locked.ok()) return locked.status();
  if (!*locked) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "STATE_DIR_IN_USE",
                     "another process uses the state directory; stop it, or name another --state-dir");
  }
  // Again: whoever had the lock may have written it meanwhile.
  const auto ours = HasFormat(**directory);
  if (!ours.ok()) return ours.status();
  if (!*ours) {
    if (auto status = WriteFormat(**directory); !status.ok()) return status;
  }
  auto store = std::unique_ptr<StateStore>(new StateStore(options, *std::move(directory)));
  if (auto status = store->Recover(); !status.ok()) return status;
  return store;
}

absl::Status StateStore::Recover() {
  for (const char* name : {"blobs", "manifests", "quarantine"}) {
    if (auto status = directory_->MakeSubdirectory(name); !status.ok()) return status;
  }
  // What a process that died renamed and did not come to fsync is there, but perhaps not durably.
  for (const char* path : {".", "blobs", "manifests"}) {
    if (auto status = directory_->Sync(path); !status.ok()) return status;
  }
  if (auto status = blobs_.Open(); !status.ok()) return status;
  if (auto status = manifests_.Open(); !status.ok()) return status;
  const auto quarantine = directory_->List("quarantine");
  if (!quarantine.ok()) return quarantine.status();

  MutexLock journal_lock(journal_mu_);
  auto found = journal_.Recover();
  if (!found.ok()) return found.status();
  if (found->fresh && !manifests_.List().empty()) {
    return Damaged(absl::StatusCode::kDataLoss,
                   "the checkpoint and its copy are missing, though there are versions; restore the directory from a "
                   "backup, or move it away to begin anew");
  }
  std::map<std::string, absl::Status> checked;
  for (const Digest& manifest : found->ledger.Manifests()) {
    const auto [it, added] = checked.try_emplace(manifest.Hex());
    if (!added) continue;
    it->second = CheckManifest(manifest);
    if (!it->second.ok() && !IsDamage(it->second)) return it->second;
  }
  const auto left_out = found->ledger.Settle([&](const Digest& manifest) { return checked[manifest.Hex()].ok(); },
                                             std::max(options_.keep_versions, 0));
  RecoveredState recovered;
  recovered.notes = std::move(found->notes);
  for (const Ledger::LeftOut& left : left_out) {
    recovered.notes.push_back(absl::StrCat(left.what, " is left out: ", checked[left.manifest.Hex()].message()));
  }
  if (auto status = journal_.Rotate(found->ledger); !status.ok()) {
    if (found->fresh) return status;
    recovered.notes.push_back(absl::StrCat("nothing can be written just now: ", status.message()));
  }
  recovered.models = found->ledger.Models();
  recovered.updates = found->ledger.Updates();
  recovered.outcomes.assign(found->ledger.outcomes().begin(), found->ledger.outcomes().end());
  {
    MutexLock lock(mu_);
    next_decision_ = found->ledger.next_decision();
    ledger_ = std::move(found->ledger);
    recovered_ = std::move(recovered);
    for (const Directory::Entry& entry : *quarantine) quarantine_bytes_ += entry.bytes;
  }
  Publish();
  return absl::OkStatus();
}

RecoveredState StateStore::TakeRecovered() {
  MutexLock lock(mu_);
  return std::move(recovered_);
}

absl::StatusOr<Digest> StateStore::Checked(const DigestFolder& folder, absl::StatusOr<Digest> result) {
  if (result.ok()) return result;
  if (const absl::Status failure = folder.failure(); !failure.ok()) {
    MutexLock journal_lock(journal_mu_);
    journal_.Fail(failure);
    Publish();
    return journal_.failure();
  }
  return result;
}

absl::StatusOr<Digest> StateStore::WriteBlob(const std::vector<absl::string_view>& pieces) {
  // So that no blob of the same name is being removed while this one is written.
  const Hold hold = HoldCollection();
  if (auto failed = health(); !failed.ok()) return failed;
  return Checked(blobs_, blobs_.Write(pieces));
}

absl::Status StateStore::ReadTensor(const StoredTensor& tensor, char* to) const {
  if (auto status = CheckTensor(tensor); !status.ok()) return status;
  const BlobSlice& where = tensor.where;
  const auto file = blobs_.OpenForRead(where.blob);
  if (!file.ok()) return file.status();
  Hasher hasher(Digest::Kind::kXxh3);
  int64_t done = 0;
  while (done < where.bytes) {
    const auto n = (*file)->Read(where.offset + done, to + done, std::min(kReadBlock, where.bytes - done));
    if (!n.ok()) return n.status();
    if (*n == 0) break;  // Shorter than it was; the digest says so.
    hasher.Update(absl::string_view(to + done, static_cast<size_t>(*n)));
    done += *n;
  }
  if (hasher.Finish() == tensor.digest) return absl::OkStatus();
  blobs_.KeepDamaged(where.blob);
  return Damaged(absl::StatusCode::kDataLoss, absl::StrCat("tensor ", Quoted(tensor.name), ": blob ", where.blob.Hex(),
                                                           " is damaged; a copy is in quarantine"));
}

StateStore::Hold StateStore::HoldCollection() {
  MutexLock lock(mu_);
  while (removing_) removed_.Wait(mu_);
  ++holds_;
  ++epoch_;
  return Hold(this, [](StateStore* store) { store->Release(); });
}

void StateStore::Release() {
  MutexLock lock(mu_);
  --holds_;
}

absl::StatusOr<Digest> StateStore::WriteManifest(const StoredVersion& version) {
  const Hold hold = HoldCollection();
  if (auto failed = health(); !failed.ok()) return failed;
  const auto text = EncodeManifest(version);
  if (!text.ok()) return text.status();
  if (auto status = CheckBlobs(version); !status.ok()) return status;
  auto id = Checked(manifests_, manifests_.Write({*text}));
  if (id.ok()) Learn(*id, version);
  return id;
}

absl::StatusOr<StoredVersion> StateStore::ReadManifest(const Digest& id) const {
  const auto file = manifests_.OpenForRead(id);
  if (absl::IsNotFound(file.status())) {
    return Damaged(absl::StatusCode::kNotFound, absl::StrCat("manifest ", id.Hex(), " is missing"));
  }
  if (!file.ok()) return file.status();
  const auto text = ReadWhole(**file, kMaxManifestBytes);
  if (!text.ok()) return text.status();
  if (Digest::Of(Digest::Kind::kXxh3, *text) == id) {
    if (auto version = ParseManifest(*text); version.ok()) return version;
  }
  manifests_.MoveDamaged(id);
  return Damaged(absl::StatusCode::kDataLoss, absl::StrCat("manifest ", id.Hex(), " is damaged and in quarantine"));
}

absl::Status StateStore::CheckTensor(const StoredTensor& tensor) const {
  const BlobSlice& where = tensor.where;
  const auto size = blobs_.Size(where.blob);
  if (!size) {
    return Damaged(absl::StatusCode::kNotFound,
                   absl::StrCat("tensor ", Quoted(tensor.name), ": blob ", where.blob.Hex(), " is missing"));
  }
  if (where.offset < 0 || where.bytes < 0 || where.offset > *size || where.bytes > *size - where.offset) {
    return Damaged(absl::StatusCode::kDataLoss,
                   absl::StrCat("tensor ", Quoted(tensor.name), ": bytes ", where.offset, " to ",
                                where.offset + where.bytes, " of blob ", where.blob.Hex(), ", which has ", *size));
  }
  return absl::OkStatus();
}

absl::Status StateStore::CheckBlobs(const StoredVersion& version) const {
  for (const StoredTensor& tensor : version.tensors) {
    if (auto status = CheckTensor(tensor); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status StateStore::CheckManifest(const Digest& id) {
  {
    MutexLock lock(mu_);
    if (blobs_of_.contains(id.Hex()) && manifests_.Size(id)) return absl::OkStatus();
  }
  const auto version = ReadManifest(id);
  if (!version.ok()) return version.status();
  if (auto status = CheckBlobs(*version); !status.ok()) return status;
  Learn(id, *version);
  return absl::OkStatus();
}

void StateStore::Learn(const Digest& manifest, const StoredVersion& version) {
  std::set<std::string> blobs;
  for (const StoredTensor& tensor : version.tensors) blobs.insert(tensor.where.blob.Hex());
  MutexLock lock(mu_);
  blobs_of_[manifest.Hex()] = std::move(blobs);
}

absl::Status StateStore::Write(const Record& record) {
  // What the record names stays until it is in the ledger.
  const Hold hold = HoldCollection();
  MutexLock journal_lock(journal_mu_);
  if (!journal_.failure().ok()) return journal_.failure();
  if (ParseRecord(EncodeRecord(record)) != record) {
    return absl::InvalidArgumentError("the record can't be stored: its texts must be UTF-8 and its numbers below 2^63");
  }
  Ledger before;
  {
    MutexLock lock(mu_);
    before = ledger_;
  }
  Ledger after = before;
  if (auto status = after.Apply(record); !status.ok()) return status;
  // A decision that can't be revoked would be taken for committed: worth a new generation.
  const bool insist = std::holds_alternative<RevokeRecord>(record);
  const absl::Status status = journal_.Append(record, before, after, insist);
  if (insist && !status.ok()) journal_.Fail(status);
  if (status.ok()) {
    MutexLock lock(mu_);
    ledger_ = std::move(after);
  }
  Publish();
  return journal_.failure().ok() || status.ok() ? status : journal_.failure();
}

void StateStore::Publish() {
  MutexLock lock(mu_);
  health_ = journal_.failure();
  journal_bytes_ = journal_.bytes();
}

absl::Status StateStore::Prepare(const StoredUpdate& update) {
  const Hold hold = HoldCollection();
  if (auto status = CheckManifest(update.manifest); !status.ok()) return status;
  return Write(PrepareRecord{update});
}

absl::Status StateStore::Drop(const std::string& update_id) {
  {
    MutexLock lock(mu_);
    if (!ledger_.HasUpdate(update_id)) return absl::OkStatus();
  }
  return Write(DropRecord{update_id});
}

absl::Status StateStore::DeleteModel(const std::string& model) { return Write(DeleteRecord{model}); }

absl::Status StateStore::FallBack(const std::string& model, Version number) {
  return Write(FallBackRecord{model, number});
}

absl::Status StateStore::Decide(const SwapDecision& decision) {
  const Hold hold = HoldCollection();
  for (const SwapDecision::Part& part : decision.parts) {
    if (auto status = CheckManifest(part.manifest); !status.ok()) return status;
  }
  return Write(DecideRecord{decision});
}

absl::Status StateStore::Revoke(const SwapDecision& decision) { return Write(RevokeRecord{decision.id}); }

void StateStore::Confirm(const SwapDecision& decision) {
  const ConfirmRecord record{decision.id, std::max(options_.keep_versions, 0)};
  MutexLock journal_lock(journal_mu_);
  MutexLock lock(mu_);
  // It need not be durable: a decision that is neither confirmed nor revoked comes to the same.
  if (ledger_.Apply(record).ok()) journal_.Defer(record);
}

uint64_t StateStore::NextDecisionId() {
  MutexLock lock(mu_);
  return next_decision_++;
}

std::vector<StoredModel::Kept> StateStore::Versions(const std::string& model) const {
  MutexLock lock(mu_);
  return ledger_.Versions(model);
}

void StateStore::Collect() {
  runtime::Reach(options_.failpoints, "collect.begin");
  {
    // So that a restart, with whatever keep_versions, doesn't look for what goes now. On a full disk that may fail, and
    // collecting is all the more needed: a restart finds the same versions committed and drops the same ones.
    MutexLock journal_lock(journal_mu_);
    Ledger ledger;
    {
      MutexLock lock(mu_);
      ledger = ledger_;
    }
    journal_.Flush(ledger).IgnoreError();
    Publish();
    if (!journal_.failure().ok()) return;  // The directory may say more than the ledger.
  }
  for (bool interrupted = true; interrupted;) {
    interrupted = false;
    std::set<std::string> manifests;
    std::set<std::string> blobs;
    uint64_t epoch = 0;
    {
      MutexLock lock(mu_);
      if (holds_ > 0) return;  // Whoever holds it has it called later.
      epoch = epoch_;
      for (const Digest& manifest : ledger_.Manifests()) {
        const auto it = blobs_of_.find(manifest.Hex());
        if (it == blobs_of_.end()) return;  // What it needs is unknown.
        manifests.insert(it->first);
        blobs.insert(it->second.begin(), it->second.end());
      }
    }
    const auto remove = [&](DigestFolder& folder, const std::set<std::string>& needed) {
      for (const std::string& hex : folder.List()) {
        if (!interrupted && !needed.contains(hex)) interrupted = !RemoveUnneeded(folder, hex, epoch);
      }
    };
    remove(manifests_, manifests);
    remove(blobs_, blobs);
  }
}

bool StateStore::RemoveUnneeded(DigestFolder& folder, const std::string& hex, uint64_t epoch) {
  {
    MutexLock lock(mu_);
    while (removing_) removed_.Wait(mu_);
    if (holds_ > 0 || epoch_ != epoch) return false;
    removing_ = true;
    if (&folder == &manifests_) blobs_of_.erase(hex);
  }
  folder.Remove(hex);
  runtime::Reach(options_.failpoints, "collect.unlinked");
  MutexLock lock(mu_);
  removing_ = false;
  removed_.NotifyAll();
  return true;
}

int64_t StateStore::bytes() const {
  MutexLock lock(mu_);
  return blobs_.bytes() + manifests_.bytes() + journal_bytes_ + quarantine_bytes_;
}

absl::Status StateStore::health() const {
  MutexLock lock(mu_);
  return health_;
}

}  // namespace bwrt::runtime
