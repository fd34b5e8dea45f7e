// CrashFiles: a file system in memory that loses what was not fsynced, and fails on demand.
//
// Thread-safe. One directory, whatever its path. It is as mean as POSIX allows:
// 1. After a power cut a file has what was fsynced, and of what was written since nothing, all or a part, which may be
//    garbage. Each creation, rename and unlink since the directory's last fsync may have happened or not.
// 2. An fsync that fails is final: a later one succeeds, and yet makes nothing durable that the failed one covered.
// 3. A rename that fails may have happened all the same, unless the disk was full.
#ifndef BWRT_TESTS_SUPPORT_CRASH_FILES_H_
#define BWRT_TESTS_SUPPORT_CRASH_FILES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/state/files.h"

namespace bwrt::runtime {

class CrashFiles final : public Files {
 public:
  enum class Fault { kNoSpace, kIo };
  struct Disk;

  CrashFiles();
  ~CrashFiles() override;
  absl::StatusOr<std::unique_ptr<Directory>> Open(const std::string& dir) override;

  // Calls so far, of any kind.
  int64_t operations() const;
  // After `n` more operations the power is gone: nothing has any effect until PowerOn.
  void CutPowerAfter(int64_t n);
  bool power_is_gone() const;
  // The `n`-th operation from now fails, and `count` - 1 more; for kNoSpace, if it takes space. Writes are cut short.
  void FailAt(int64_t n, Fault fault, int64_t count = 1);
  // While it is full nothing can be created or written; what is there can be renamed.
  void SetFull(bool full);
  // Fsyncs of files whose path begins so succeed and do nothing: a broken store, for checkers to find.
  void IgnoreSyncOf(std::string prefix);

  // The machine comes up again. What survives is chosen by `seed`: 0 nothing that was not fsynced, 1 everything.
  void PowerOn(uint64_t seed);
  // The process was killed: everything is as it was, unfsynced or not, and nobody has the lock.
  void KillProcess();

  // For tests that damage files. Nullopt and false when there is no such file.
  std::optional<std::string> Content(const std::string& path) const;
  void Put(const std::string& path, absl::string_view content);
  void Remove(const std::string& path);
  bool FlipBit(const std::string& path, size_t bit);
  // Paths of all files that begin with `prefix`, sorted.
  std::vector<std::string> Paths(absl::string_view prefix) const;

 private:
  const std::shared_ptr<Disk> disk_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_SUPPORT_CRASH_FILES_H_
