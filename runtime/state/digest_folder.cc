#include "runtime/state/digest_folder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace bwrt::runtime {
namespace {

constexpr int64_t kBlock = int64_t{1} << 20;

bool IsName(absl::string_view name) { return Digest::Parse(absl::StrCat("xxh3:", name)).ok(); }

}  // namespace

absl::Status DigestFolder::Open() {
  auto files = directory_->List(name_);
  if (!files.ok()) return files.status();
  MutexLock lock(mu_);
  for (const Directory::Entry& file : *files) {
    if (absl::EndsWith(file.name, ".tmp")) {
      if (auto status = directory_->Unlink(Path(file.name)); !status.ok()) return status;
    } else if (IsName(file.name)) {
      entries_[file.name] = {file.bytes, State::kFound};
      bytes_ += file.bytes;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Digest> DigestFolder::Write(const std::vector<absl::string_view>& pieces) {
  Hasher hasher(Digest::Kind::kXxh3);
  int64_t bytes = 0;
  for (const absl::string_view piece : pieces) {
    hasher.Update(piece);
    bytes += static_cast<int64_t>(piece.size());
  }
  const Digest id = hasher.Finish();
  const std::string hex = id.Hex();
  std::string temporary;
  State state = State::kDamaged;
  {
    MutexLock lock(mu_);
    if (!failure_.ok()) return failure_;
    if (const auto it = entries_.find(hex); it != entries_.end()) state = it->second.state;
    temporary = Path(absl::StrCat(++temporaries_, ".tmp"));
  }
  if (state == State::kGood) return id;
  if (state == State::kFound) {
    if (Verify(id)) {
      MutexLock lock(mu_);
      entries_[hex].state = State::kGood;
      return id;
    }
    KeepDamaged(id);
  }
  Reach("begin");
  absl::Status status = WriteTemporary(temporary, pieces);
  if (status.ok()) status = directory_->Rename(temporary, Path(hex));
  if (!status.ok()) {
    directory_->Unlink(temporary).IgnoreError();  // What stays is removed at the next Open.
    return status;
  }
  Reach("renamed");
  status = directory_->Sync(name_);
  {
    MutexLock lock(mu_);
    if (!status.ok()) {
      failure_ = status;
      return status;
    }
    Entry& entry = entries_[hex];
    bytes_ += bytes - entry.bytes;
    entry = {bytes, State::kGood};
  }
  Reach("durable");
  return id;
}

absl::Status DigestFolder::WriteTemporary(const std::string& path, const std::vector<absl::string_view>& pieces) const {
  auto file = directory_->Create(path);
  if (!file.ok()) return file.status();
  std::string gathered;  // Small pieces, so that each call writes much.
  absl::Status status;
  for (const absl::string_view piece : pieces) {
    const bool large = static_cast<int64_t>(piece.size()) >= kBlock;
    if (!large) absl::StrAppend(&gathered, piece);
    if (large || static_cast<int64_t>(gathered.size()) >= kBlock) {
      status = (*file)->Append(gathered);
      gathered.clear();
      if (status.ok() && large) status = (*file)->Append(piece);
      if (!status.ok()) return status;
    }
  }
  if (!gathered.empty()) status = (*file)->Append(gathered);
  if (!status.ok()) return status;
  Reach("written");
  status = (*file)->Sync();
  if (status.ok()) Reach("synced");
  return status;
}

bool DigestFolder::Verify(const Digest& id) const {
  auto file = OpenForRead(id);
  if (!file.ok()) return false;
  Hasher hasher(Digest::Kind::kXxh3);
  std::string block(kBlock, '\0');
  for (int64_t offset = 0;;) {
    const auto n = (*file)->Read(offset, block.data(), kBlock);
    if (!n.ok()) return false;
    hasher.Update(absl::string_view(block).substr(0, static_cast<size_t>(*n)));
    offset += *n;
    if (*n < kBlock) break;
  }
  return hasher.Finish() == id;
}

std::optional<int64_t> DigestFolder::Size(const Digest& id) const {
  MutexLock lock(mu_);
  const auto it = entries_.find(id.Hex());
  if (it == entries_.end()) return std::nullopt;
  return it->second.bytes;
}

absl::StatusOr<std::unique_ptr<File>> DigestFolder::OpenForRead(const Digest& id) const {
  return directory_->OpenForRead(Path(id.Hex()));
}

void DigestFolder::KeepDamaged(const Digest& id) {
  const std::string hex = id.Hex();
  // Where it can't be kept for the operator the daemon goes on all the same.
  directory_->Link(Path(hex), absl::StrCat("quarantine/", noun_, "-", hex)).IgnoreError();
  MutexLock lock(mu_);
  if (const auto it = entries_.find(hex); it != entries_.end()) it->second.state = State::kDamaged;
}

void DigestFolder::MoveDamaged(const Digest& id) {
  const std::string hex = id.Hex();
  directory_->Rename(Path(hex), absl::StrCat("quarantine/", noun_, "-", hex)).IgnoreError();
  MutexLock lock(mu_);
  entries_.erase(hex);  // Its bytes are still in the directory.
}

std::vector<std::string> DigestFolder::List() const {
  MutexLock lock(mu_);
  std::vector<std::string> names;
  names.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

void DigestFolder::Remove(const std::string& hex) {
  int64_t bytes = 0;
  {
    MutexLock lock(mu_);
    const auto it = entries_.find(hex);
    if (it == entries_.end()) return;
    bytes = it->second.bytes;
    entries_.erase(it);
  }
  const bool removed = directory_->Unlink(Path(hex)).ok();
  MutexLock lock(mu_);
  if (removed) {
    bytes_ -= bytes;
  } else {
    entries_[hex] = {bytes, State::kFound};  // For the next time.
  }
}

int64_t DigestFolder::bytes() const {
  MutexLock lock(mu_);
  return bytes_;
}

absl::Status DigestFolder::failure() const {
  MutexLock lock(mu_);
  return failure_;
}

std::string DigestFolder::Path(absl::string_view file) const { return absl::StrCat(name_, "/", file); }

void DigestFolder::Reach(absl::string_view step) const {
  if (failpoints_ != nullptr) failpoints_->Reach(absl::StrCat(noun_, ".", step));
}

}  // namespace bwrt::runtime
