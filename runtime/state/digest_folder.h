// DigestFolder: a directory of files that are named by the xxh3 digest of their content: blobs, manifests.
//
// Thread-safe and blocking. A file is written under a temporary name, fsynced and renamed, and the directory fsynced,
// before Has says that it is there. Errors are those of Files.
#ifndef BWRT_RUNTIME_STATE_DIGEST_FOLDER_H_
#define BWRT_RUNTIME_STATE_DIGEST_FOLDER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/digest.h"
#include "runtime/failpoints.h"
#include "runtime/mutex.h"
#include "runtime/state/files.h"

namespace bwrt::runtime {

class DigestFolder {
 public:
  // `name` is the subdirectory's, `noun` names one of its files in failpoints and in quarantine/. Pointers outlive it.
  DigestFolder(Directory* directory, std::string name, std::string noun, Failpoints* failpoints)
      : directory_(directory), name_(std::move(name)), noun_(std::move(noun)), failpoints_(failpoints) {}

  // Finds what is there, and removes what a crash left half written. To be called first.
  absl::Status Open();

  // Writes the pieces, one after the other, as one file, unless it is there already. One that was there at Open is read
  // before it is relied upon.
  absl::StatusOr<Digest> Write(const std::vector<absl::string_view>& pieces);

  // The size of a file that is there.
  std::optional<int64_t> Size(const Digest& id) const;
  absl::StatusOr<std::unique_ptr<File>> OpenForRead(const Digest& id) const;

  // The file is damaged. `KeepDamaged` gives it a second name in quarantine/ and keeps it, for what is still good in
  // it; the next Write of the same content replaces it. `MoveDamaged` moves it there.
  void KeepDamaged(const Digest& id);
  void MoveDamaged(const Digest& id);

  // Names of all files, and one's end.
  std::vector<std::string> List() const;
  void Remove(const std::string& hex);

  int64_t bytes() const;
  // Not OK once an fsync of the directory has failed: then nothing is written any more.
  absl::Status failure() const;

 private:
  enum class State { kFound, kGood, kDamaged };
  struct Entry {
    int64_t bytes = 0;
    State state = State::kFound;
  };

  std::string Path(absl::string_view file) const;
  void Reach(absl::string_view step) const;
  // Whether the file that was found is what its name says.
  bool Verify(const Digest& id) const;
  absl::Status WriteTemporary(const std::string& path, const std::vector<absl::string_view>& pieces) const;

  Directory* const directory_;
  const std::string name_;
  const std::string noun_;
  Failpoints* const failpoints_;
  mutable Mutex mu_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mu_);  // By hex digits.
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t temporaries_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STATE_DIGEST_FOLDER_H_
