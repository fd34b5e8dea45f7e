#include "runtime/state/journal.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "runtime/error.h"
#include "runtime/state/json_text.h"
#include "runtime/state/read_file.h"

namespace bwrt::runtime {
namespace {

constexpr absl::string_view kCheckpoint = "checkpoint";
constexpr absl::string_view kCopy = "checkpoint-copy";
constexpr absl::string_view kTemporary = "checkpoint.tmp";
// Outcomes and updates by the hundred thousand would fit. Where rotation fails for long, records end here.
constexpr int64_t kMaxBytes = int64_t{256} << 20;

std::string JournalName(uint64_t generation) { return absl::StrCat("journal-", generation); }

// Of a journal's name; nullopt for other names.
std::optional<uint64_t> GenerationOf(absl::string_view name) {
  uint64_t generation = 0;
  if (!absl::ConsumePrefix(&name, "journal-") || !absl::SimpleAtoi(name, &generation)) return std::nullopt;
  if (JournalName(generation) != absl::StrCat("journal-", name)) return std::nullopt;
  return generation;
}

absl::Status Damaged(absl::string_view text) {
  return MakeError(absl::StatusCode::kDataLoss, "STATE_DIR_DAMAGED", text);
}

bool IsFull(const absl::Status& status) { return status.code() == absl::StatusCode::kResourceExhausted; }

}  // namespace

absl::StatusOr<std::optional<Journal::Checkpoint>> Journal::ReadCheckpoint(const std::string& path) const {
  const auto file = directory_->OpenForRead(path);
  if (absl::IsNotFound(file.status())) return std::nullopt;
  if (!file.ok()) return file.status();
  auto bytes = ReadWhole(**file, kMaxBytes);
  if (!bytes.ok()) return bytes.status();
  absl::string_view line = *bytes;
  if (absl::ConsumeSuffix(&line, "\n")) {
    if (const auto text = UnsealLine(line)) {
      Checkpoint checkpoint;
      if (auto ledger = Ledger::Parse(*text, &checkpoint.generation)) {
        checkpoint.ledger = *std::move(ledger);
        return checkpoint;
      }
    }
  }
  return Damaged(absl::StrCat(path, " is damaged"));
}

absl::StatusOr<Journal::Recovered> Journal::Recover() {
  const auto names = directory_->List(".");
  if (!names.ok()) return names.status();
  auto main = ReadCheckpoint(std::string(kCheckpoint));
  auto copy = ReadCheckpoint(std::string(kCopy));
  for (const auto* read : {&main, &copy}) {
    if (!read->ok() && !absl::IsDataLoss(read->status())) return read->status();
  }
  Recovered recovered;
  const bool have_main = main.ok() && main->has_value();
  const bool have_copy = copy.ok() && copy->has_value();
  bool records = false;
  for (const Directory::Entry& entry : *names) records = records || (GenerationOf(entry.name) && entry.bytes > 0);
  if (!have_main && !have_copy) {
    if (!main.ok() || !copy.ok() || records) {
      return Damaged(
          "the checkpoint is damaged or missing, and so is its copy; restore the directory from a backup, or move it "
          "away to begin anew");
    }
    recovered.fresh = true;
  } else {
    const Checkpoint& best = have_main ? **main : **copy;
    recovered.ledger = best.ledger;
    generation_ = best.generation;
    if (!have_main) {
      recovered.notes.push_back(main.ok() ? "the checkpoint was missing: its copy is used"
                                          : "the checkpoint was damaged and is in quarantine: its copy is used");
    }
    if (!copy.ok()) recovered.notes.push_back("the checkpoint's copy was damaged and is in quarantine");
    if (!main.ok()) {
      directory_->Rename(std::string(kCheckpoint), absl::StrCat("quarantine/checkpoint-", generation_)).IgnoreError();
    }
    if (!copy.ok()) {
      directory_->Rename(std::string(kCopy), absl::StrCat("quarantine/checkpoint-copy-", generation_)).IgnoreError();
    }
    if (auto status = Replay(&recovered); !status.ok()) return status;
  }
  // What a crash left: half-written checkpoints, the journal of a generation that never was, or of one that has been.
  const uint64_t current = generation_;
  for (const Directory::Entry& entry : *names) {
    const auto generation = GenerationOf(entry.name);
    const bool other = generation && (*generation != current || recovered.fresh);
    if (!other && !absl::EndsWith(entry.name, ".tmp")) continue;
    if (generation && *generation > current && entry.bytes > 0) {
      directory_->Rename(entry.name, absl::StrCat("quarantine/", entry.name)).IgnoreError();
      recovered.notes.push_back(
          absl::StrCat(entry.name, " belongs to a later checkpoint that is lost; it is in quarantine"));
      continue;
    }
    if (auto status = directory_->Unlink(entry.name); !status.ok()) return status;
  }
  return recovered;
}

absl::Status Journal::Replay(Recovered* recovered) {
  const std::string name = JournalName(generation_);
  const auto file = directory_->OpenForRead(name);
  if (absl::IsNotFound(file.status())) {
    recovered->notes.push_back(absl::StrCat(name, " was missing: what it said is lost"));
    return absl::OkStatus();
  }
  if (!file.ok()) return file.status();
  const auto bytes = ReadWhole(**file, kMaxBytes);
  if (!bytes.ok()) return bytes.status();
  absl::string_view rest = *bytes;
  int64_t count = 0;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    const absl::string_view line = rest.substr(0, end);
    const auto text = UnsealLine(line);
    const auto record = text ? ParseRecord(*text) : std::nullopt;
    if (!record || !recovered->ledger.Apply(*record).ok()) {
      // Only the last one can be torn; but a damaged last one looks alike, so it is kept for the operator, too.
      const bool last = end == absl::string_view::npos || end + 1 == rest.size();
      recovered->notes.push_back(absl::StrCat(name, ": record ", count + 1,
                                              last ? ", the last one, is torn or damaged and was cut off"
                                                   : " is damaged; it and all that followed it are lost",
                                              "; the whole journal is in quarantine"));
      quarantine_ = true;
      break;
    }
    ++count;
    rest.remove_prefix(end == absl::string_view::npos ? rest.size() : end + 1);
  }
  return absl::OkStatus();
}

absl::Status Journal::Rotate(const Ledger& ledger) {
  if (!failure_.ok()) return failure_;
  const uint64_t next = generation_ + 1;
  const std::string checkpoint = SealedLine(ledger.ToText(next));
  Reach("checkpoint.begin");
  std::unique_ptr<File> journal;
  absl::Status status = PrepareGeneration(next, checkpoint, &journal);
  if (status.ok()) status = PublishCheckpoint();
  if (!failure_.ok()) return failure_;
  if (!status.ok()) {
    // Nobody has seen it. What stays is removed at the next Open.
    journal.reset();
    directory_->Unlink(JournalName(next)).IgnoreError();
    directory_->Unlink(std::string(kTemporary)).IgnoreError();
    return status;
  }
  const uint64_t old = generation_;
  generation_ = next;
  file_ = std::move(journal);
  bytes_ = 0;
  checkpoint_bytes_ = static_cast<int64_t>(checkpoint.size());
  deferred_.clear();
  Clean(old, checkpoint);
  return failure_;
}

absl::Status Journal::PrepareGeneration(uint64_t generation, absl::string_view checkpoint,
                                        std::unique_ptr<File>* journal) {
  auto file = directory_->Create(JournalName(generation));
  if (!file.ok()) return file.status();
  if (auto status = (*file)->Sync(); !status.ok()) return status;
  if (auto status = WriteFile(std::string(kTemporary), checkpoint); !status.ok()) return status;
  Reach("checkpoint.written");
  *journal = *std::move(file);
  // The journal must be there wherever the checkpoint is.
  if (auto status = directory_->Sync("."); !status.ok()) {
    Fail(status);
    return status;
  }
  return absl::OkStatus();
}

absl::Status Journal::PublishCheckpoint() {
  if (auto status = directory_->Rename(std::string(kTemporary), std::string(kCheckpoint)); !status.ok()) {
    // Only a full disk says for certain that nothing was renamed.
    if (!IsFull(status)) Fail(status);
    return status;
  }
  Reach("checkpoint.renamed");
  if (auto status = directory_->Sync("."); !status.ok()) {
    Fail(status);
    return status;
  }
  Reach("checkpoint.durable");
  return absl::OkStatus();
}

void Journal::Clean(uint64_t old, absl::string_view checkpoint) {
  absl::Status status = WriteFile(std::string(kTemporary), checkpoint);
  if (status.ok()) status = directory_->Rename(std::string(kTemporary), std::string(kCopy));
  if (status.ok()) {
    status = directory_->Sync(".");
    if (!status.ok()) return Fail(status);
  } else {
    directory_->Unlink(std::string(kTemporary)).IgnoreError();  // The next rotation writes another.
  }
  Reach("checkpoint.copied");
  const std::string name = JournalName(old);
  if (quarantine_) {
    directory_->Rename(name, absl::StrCat("quarantine/", name)).IgnoreError();
  } else {
    directory_->Unlink(name).IgnoreError();
  }
  quarantine_ = false;
  Reach("checkpoint.cleaned");
}

absl::Status Journal::WriteFile(const std::string& path, absl::string_view bytes) const {
  auto file = directory_->Create(path);
  if (!file.ok()) return file.status();
  if (auto status = (*file)->Append(bytes); !status.ok()) return status;
  return (*file)->Sync();
}

absl::Status Journal::Append(const Record& record, const Ledger& before, const Ledger& after, bool insist) {
  if (auto status = Begin(before); !status.ok()) return status;
  Reach("journal.begin");
  const std::string lines = absl::StrCat(deferred_, SealedLine(EncodeRecord(record)));
  absl::Status status = AppendLines(lines, insist ? after : before, insist);
  if (!failure_.ok()) return failure_;
  if (!status.ok()) return insist ? absl::OkStatus() : status;
  // Where it fails for want of space the next record tries again.
  if (bytes_ > kRotateBytes) Rotate(after).IgnoreError();
  return absl::OkStatus();
}

// An error means, unless the journal has failed, that none of `lines` is kept but what `settled` says.
absl::Status Journal::AppendLines(const std::string& lines, const Ledger& settled, bool insist) {
  absl::Status status;
  if (bytes_ + static_cast<int64_t>(lines.size()) > kMaxBytes) {
    status = MakeError(absl::StatusCode::kResourceExhausted, "STATE_DIR_FULL",
                       "the journal is too long and no checkpoint can be written; free some space");
  } else {
    status = file_->Append(lines);
    if (status.ok()) {
      Reach("journal.appended");
      status = file_->Sync();
      if (status.ok()) {
        bytes_ += static_cast<int64_t>(lines.size());
        deferred_.clear();
        Reach("journal.synced");
        return absl::OkStatus();
      }
    } else if (IsFull(status) && !insist && file_->Truncate(bytes_).ok()) {
      // At least the last byte was missing: it is no record, whatever survives. A full disk shall not need a rotation.
      return status;
    }
  }
  // Nobody knows whether it is in the file. A new generation, in other files, settles that.
  if (auto rotated = Rotate(settled); !rotated.ok()) Fail(rotated);
  return status;
}

void Journal::Defer(const Record& record) { absl::StrAppend(&deferred_, SealedLine(EncodeRecord(record))); }

absl::Status Journal::Flush(const Ledger& ledger) {
  if (auto status = Begin(ledger); !status.ok()) return status;
  if (deferred_.empty()) return absl::OkStatus();
  const std::string lines = deferred_;
  // `ledger` has what was deferred: a rotation keeps it as well.
  const absl::Status status = AppendLines(lines, ledger, /*insist=*/false);
  return failure_.ok() ? status : failure_;
}

void Journal::Fail(const absl::Status& cause) {
  if (!failure_.ok()) return;
  failure_ = MakeError(absl::StatusCode::kUnavailable, "STATE_DIR_FAILED",
                       absl::StrCat("the state directory has failed and takes nothing more; see to the disk, then "
                                    "restart the daemon: ",
                                    cause.message()));
}

}  // namespace bwrt::runtime
