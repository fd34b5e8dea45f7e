#include "runtime/state/format.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "runtime/error.h"
#include "runtime/state/read_file.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

constexpr absl::string_view kFormat = "bwrt state 1\n";
constexpr int64_t kMaxBytes = 64;

absl::Status Refused(absl::string_view text) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "STATE_DIR_FORMAT", text);
}

}  // namespace

absl::StatusOr<bool> HasFormat(Directory& directory) {
  const auto file = directory.OpenForRead("FORMAT");
  if (file.ok()) {
    const auto text = ReadWhole(**file, kMaxBytes);
    if (!text.ok()) return text.status();
    if (*text == kFormat) return true;
    return Refused(absl::StrCat("the state directory's format is ", Quoted(*text), ", and this daemon knows only ",
                                Quoted(kFormat), "; use the daemon that wrote it, or another --state-dir"));
  }
  if (!absl::IsNotFound(file.status())) return file.status();
  const auto entries = directory.List(".");
  if (!entries.ok()) return entries.status();
  for (const Directory::Entry& entry : *entries) {
    if (entry.name != "LOCK" && entry.name != "FORMAT.tmp") {
      return Refused(absl::StrCat("--state-dir names a directory that holds ", Quoted(entry.name),
                                  " and no FORMAT: it is no state directory; name an empty or a new one"));
    }
  }
  return false;
}

absl::Status WriteFormat(Directory& directory) {
  {
    auto file = directory.Create("FORMAT.tmp");
    if (!file.ok()) return file.status();
    if (auto status = (*file)->Append(kFormat); !status.ok()) return status;
    if (auto status = (*file)->Sync(); !status.ok()) return status;
  }
  if (auto status = directory.Rename("FORMAT.tmp", "FORMAT"); !status.ok()) return status;
  return directory.Sync(".");
}

}  // namespace bwrt::runtime
