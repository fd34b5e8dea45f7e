#include "tests/support/crash_files.h"

#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/mutex.h"

namespace bwrt::runtime {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

struct Inode {
  std::string data;
  std::string durable;
  bool poisoned = false;  // An fsync of it has failed.
};
using InodePtr = std::shared_ptr<Inode>;

// One creation, rename or unlink: which names it changes. Null: the name goes.
struct Change {
  std::map<std::string, InodePtr> names;
  bool poisoned = false;
};

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.find('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

void Apply(const Change& change, std::map<std::string, InodePtr>* names) {
  for (const auto& [path, inode] : change.names) {
    if (inode == nullptr) {
      names->erase(path);
    } else {
      (*names)[path] = inode;
    }
  }
}

absl::Status Missing(absl::string_view path) {
  return MakeError(absl::StatusCode::kNotFound, "STATE_DIR_DAMAGED", absl::StrCat(path, ": no such file"));
}

absl::Status NoSpace(absl::string_view path) {
  return MakeError(absl::StatusCode::kResourceExhausted, "STATE_DIR_FULL", absl::StrCat(path, ": no space left"));
}

}  // namespace

struct CrashFiles::Disk {
  mutable Mutex mu;
  std::map<std::string, InodePtr> names ABSL_GUARDED_BY(mu);
  std::map<std::string, InodePtr> durable ABSL_GUARDED_BY(mu);
  std::vector<Change> pending ABSL_GUARDED_BY(mu);
  std::string ignored ABSL_GUARDED_BY(mu) = "\n";
  int64_t operations ABSL_GUARDED_BY(mu) = 0;
  int64_t power_until ABSL_GUARDED_BY(mu) = kNever;
  int64_t fail_at ABSL_GUARDED_BY(mu) = kNever;
  int64_t fail_count ABSL_GUARDED_BY(mu) = 1;
  Fault fault ABSL_GUARDED_BY(mu) = Fault::kIo;
  bool full ABSL_GUARDED_BY(mu) = false;
  bool locked ABSL_GUARDED_BY(mu) = false;
  int boot ABSL_GUARDED_BY(mu) = 0;  // What was opened before is dead.

  // Counts an operation of something opened in `opened_in`. Not OK: it fails so.
  absl::Status Begin(const std::string& path, bool takes_space, int opened_in) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    if (opened_in != boot || operations >= power_until) {
      return MakeError(absl::StatusCode::kUnavailable, "STATE_DIR_FAILED", "the power is gone");
    }
    ++operations;
    const bool hit = operations >= fail_at && operations - fail_at < fail_count;
    if (takes_space && hit && fault == Fault::kNoSpace) {
      return NoSpace(path);
    }
    if (hit && fault == Fault::kIo) {
      return MakeError(absl::StatusCode::kUnavailable, "STATE_DIR_FAILED", absl::StrCat(path, ": I/O error"));
    }
    return absl::OkStatus();
  }
  // The same for what needs new space at once.
  absl::Status BeginToGrow(const std::string& path, int opened_in) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    absl::Status status = Begin(path, true, opened_in);
    return status.ok() && full ? NoSpace(path) : status;
  }
  bool PowerIsGone() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return operations >= power_until; }

  void Do(Change change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    Apply(change, &names);
    pending.push_back(std::move(change));
  }

  InodePtr Find(const std::string& path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    const auto it = names.find(path);
    return it == names.end() ? nullptr : it->second;
  }
};

namespace {

class CrashFile final : public File {
 public:
  CrashFile(std::shared_ptr<CrashFiles::Disk> disk, std::string path, InodePtr inode, int boot)
      : disk_(std::move(disk)), path_(std::move(path)), inode_(std::move(inode)), boot_(boot) {}

  absl::Status Append(absl::string_view bytes) override {
    MutexLock lock(disk_->mu);
    const absl::Status status = disk_->BeginToGrow(path_, boot_);
    if (!status.ok() && disk_->PowerIsGone()) return status;
    if (!status.ok()) bytes = bytes.substr(0, bytes.size() / 2);
    absl::StrAppend(&inode_->data, bytes);
    return status;
  }

  absl::Status Sync() override {
    MutexLock lock(disk_->mu);
    const absl::Status status = disk_->Begin(path_, true, boot_);
    if (!status.ok() && !disk_->PowerIsGone()) inode_->poisoned = true;
    if (status.ok() && !inode_->poisoned && !absl::StartsWith(path_, disk_->ignored)) inode_->durable = inode_->data;
    return status;
  }

  absl::Status Truncate(int64_t size) override {
    MutexLock lock(disk_->mu);
    const absl::Status status = disk_->Begin(path_, false, boot_);
    if (status.ok()) inode_->data.resize(static_cast<size_t>(size));
    return status;
  }

  absl::StatusOr<int64_t> Read(int64_t offset, char* to, int64_t size) const override {
    MutexLock lock(disk_->mu);
    if (auto status = disk_->Begin(path_, false, boot_); !status.ok()) return status;
    const int64_t n = std::clamp(static_cast<int64_t>(inode_->data.size()) - offset, int64_t{0}, size);
    std::copy_n(inode_->data.begin() + (n == 0 ? 0 : offset), n, to);
    return n;
  }

  absl::StatusOr<int64_t> Size() const override {
    MutexLock lock(disk_->mu);
    if (auto status = disk_->Begin(path_, false, boot_); !status.ok()) return status;
    return static_cast<int64_t>(inode_->data.size());
  }

 private:
  const std::shared_ptr<CrashFiles::Disk> disk_;
  const std::string path_;
  const InodePtr inode_;
  const int boot_;
};

class CrashDirectory final : public Directory {
 public:
  CrashDirectory(std::shared_ptr<CrashFiles::Disk> disk, int boot) : disk_(std::move(disk)), boot_(boot) {}
  ~CrashDirectory() override {
    MutexLock lock(disk_->mu);
    if (locked_ && boot_ == disk_->boot) disk_->locked = false;
  }

  absl::StatusOr<std::unique_ptr<File>> OpenForRead(const std::string& path) override {
    MutexLock lock(disk_->mu);
    if (auto status = disk_->Begin(path, false, boot_); !status.ok()) return status;
    InodePtr inode = disk_->Find(path);
    if (inode == nullptr) return Missing(path);
    return std::make_unique<CrashFile>(disk_, path, std::move(inode), boot_);
  }

  absl::StatusOr<std::unique_ptr<File>> Create(const std::string& path) override {
    MutexLock lock(disk_->mu);
    if (auto status = disk_->BeginToGrow(path, boot_); !status.ok()) return status;
    auto inode = std::make_shared<Inode>();
    disk_->Do({{{path, inode}}, false});
    return std::make_unique<CrashFile>(disk_, path, std::move(inode), boot_);
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    MutexLock lock(disk_->mu);
    const absl::Status status = disk_->Begin(from, true, boot_);
    const bool happens = status.ok() || (absl::IsUnavailable(status) && !disk_->PowerIsGone());
    const InodePtr inode = disk_->Find(from);
    if (inode == nullptr && status.ok()) return Missing(from);
    if (happens && inode != nullptr) disk_->Do({{{from, nullptr}, {to, inode}}, false});
    return status;
  }

  absl::Status Link(const std::string& from, const std::string& to) override {
    MutexLock lock(disk_->mu);
    if (auto status = disk_->Begin(from, true, boot_); !status.ok()) return status;
    const InodePtr inode = disk_->Find(from);
    if (inode == nullptr) return Missing(from);
    if (disk_->Find(to) == nullptr) disk_->Do({{{to, inode}}, false});
    return absl::OkStatus();
  }

  absl::Status Unlink(const std::string& path) override {
    MutexLock lock(disk_->mu);
    if (auto status = disk_->Begin(path, false, boot_); !status.ok()) return status;
    if (disk_->Find(path) == nullptr) return Missing(path);
    disk_->Do({{{path, nullptr}}, false});
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<Entry>> List(const std::string& path) override {
    MutexLock lock(disk_->mu);
    if (auto status = disk_->Begin(path, false, boot_); !status.ok()) return status;
    std::vector<Entry> entries;
    for (const auto& [name, inode] : disk_->names) {
      if (DirectoryOf(name) != path) continue;
      entries.push_back({path == "." ? name : name.substr(path.size() + 1), static_cast<int64_t>(inode->data.size())});
    }
    return entries;
  }

  // Subdirectories are there at once and for ever: losing one before anything durable is in it is losing nothing.
  absl::Status MakeSubdirectory(const std::string& name) override {
    MutexLock lock(disk_->mu);
    return disk_->Begin(name, true, boot_);
  }

  absl::Status Sync(const std::string& path) override {
    MutexLock lock(disk_->mu);
    const absl::Status status = disk_->Begin(path, true, boot_);
    if (!status.ok() && disk_->PowerIsGone()) return status;
    std::vector<Change> left;
    for (Change& change : disk_->pending) {
      const bool covered = std::any_of(change.names.begin(), change.names.end(),
                                       [&](const auto& name) { return DirectoryOf(name.first) == path; });
      change.poisoned = change.poisoned || (covered && !status.ok());
      if (covered && !change.poisoned) {
        Apply(change, &disk_->durable);
        // What was done to these names before is overtaken.
        for (Change& earlier : left) {
          for (const auto& [name, inode] : change.names) earlier.names.erase(name);
        }
      } else {
        left.push_back(std::move(change));
      }
    }
    disk_->pending = std::move(left);
    return status;
  }

  absl::StatusOr<bool> Lock(const std::string& path) override {
    MutexLock lock(disk_->mu);
    if (auto status = disk_->Begin(path, true, boot_); !status.ok()) return status;
    if (disk_->locked) return false;
    if (disk_->Find(path) == nullptr) disk_->Do({{{path, std::make_shared<Inode>()}}, false});
    disk_->locked = locked_ = true;
    return true;
  }

 private:
  const std::shared_ptr<CrashFiles::Disk> disk_;
  const int boot_;
  bool locked_ = false;
};

// What a power cut leaves of a file.
std::string Survivor(const Inode& inode, uint64_t seed, std::mt19937_64* random) {
  if (seed == 0) return inode.durable;
  if (seed == 1 || inode.data == inode.durable) return inode.data;
  if (!absl::StartsWith(inode.data, inode.durable)) return (*random)() % 2 == 0 ? inode.data : inode.durable;
  const size_t kept = inode.durable.size() + (*random)() % (inode.data.size() - inode.durable.size() + 1);
  std::string data = inode.data.substr(0, kept);
  switch ((*random)() % 4) {
    case 0:  // The length was written and the bytes were not.
      data.resize(inode.data.size(), '\0');
      break;
    case 1:
      if (kept > inode.durable.size()) data[kept - 1 - (*random)() % (kept - inode.durable.size())] ^= 0x10;
      break;
    default:
      break;
  }
  return data;
}

}  // namespace

CrashFiles::CrashFiles() : disk_(std::make_shared<Disk>()) {}
CrashFiles::~CrashFiles() = default;

absl::StatusOr<std::unique_ptr<Directory>> CrashFiles::Open(const std::string& dir) {
  MutexLock lock(disk_->mu);
  if (auto status = disk_->Begin(dir, true, disk_->boot); !status.ok()) return status;
  return std::make_unique<CrashDirectory>(disk_, disk_->boot);
}

int64_t CrashFiles::operations() const {
  MutexLock lock(disk_->mu);
  return disk_->operations;
}

void CrashFiles::CutPowerAfter(int64_t n) {
  MutexLock lock(disk_->mu);
  disk_->power_until = disk_->operations + n;
}

bool CrashFiles::power_is_gone() const {
  MutexLock lock(disk_->mu);
  return disk_->PowerIsGone();
}

void CrashFiles::FailAt(int64_t n, Fault fault, int64_t count) {
  MutexLock lock(disk_->mu);
  disk_->fail_at = disk_->operations + n;
  disk_->fault = fault;
  disk_->fail_count = count;
}

void CrashFiles::SetFull(bool full) {
  MutexLock lock(disk_->mu);
  disk_->full = full;
}

void CrashFiles::IgnoreSyncOf(std::string prefix) {
  MutexLock lock(disk_->mu);
  disk_->ignored = std::move(prefix);
}

void CrashFiles::PowerOn(uint64_t seed) {
  MutexLock lock(disk_->mu);
  std::mt19937_64 random(seed);
  for (const Change& change : disk_->pending) {
    if (seed == 1 || (seed != 0 && random() % 2 == 0)) Apply(change, &disk_->durable);
  }
  disk_->pending.clear();
  // One that nothing was opened of since, so that a file with two names stays one.
  std::map<Inode*, InodePtr> survivors;
  for (auto& [path, inode] : disk_->durable) {
    InodePtr& survivor = survivors[inode.get()];
    if (survivor == nullptr) {
      survivor = std::make_shared<Inode>();
      survivor->data = survivor->durable = Survivor(*inode, seed, &random);
    }
    inode = survivor;
  }
  disk_->names = disk_->durable;
  disk_->power_until = disk_->fail_at = kNever;
  disk_->locked = false;
  ++disk_->boot;
}

void CrashFiles::KillProcess() {
  MutexLock lock(disk_->mu);
  disk_->power_until = disk_->fail_at = kNever;
  disk_->locked = false;
  ++disk_->boot;
}

std::optional<std::string> CrashFiles::Content(const std::string& path) const {
  MutexLock lock(disk_->mu);
  const InodePtr inode = disk_->Find(path);
  if (inode == nullptr) return std::nullopt;
  return inode->data;
}

void CrashFiles::Put(const std::string& path, absl::string_view content) {
  MutexLock lock(disk_->mu);
  auto inode = std::make_shared<Inode>();
  inode->data = inode->durable = std::string(content);
  disk_->names[path] = disk_->durable[path] = inode;
}

void CrashFiles::Remove(const std::string& path) {
  MutexLock lock(disk_->mu);
  disk_->names.erase(path);
  disk_->durable.erase(path);
}

bool CrashFiles::FlipBit(const std::string& path, size_t bit) {
  MutexLock lock(disk_->mu);
  const InodePtr inode = disk_->Find(path);
  if (inode == nullptr || bit / 8 >= inode->data.size()) return false;
  inode->data[bit / 8] = static_cast<char>(inode->data[bit / 8] ^ (1 << (bit % 8)));
  inode->durable = inode->data;
  return true;
}

std::vector<std::string> CrashFiles::Paths(absl::string_view prefix) const {
  MutexLock lock(disk_->mu);
  std::vector<std::string> paths;
  for (const auto& [path, inode] : disk_->names) {
    if (absl::StartsWith(path, prefix)) paths.push_back(path);
  }
  return paths;
}

}  // namespace bwrt::runtime
