#include "runtime/page_source.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/error.h"
#include "runtime/limits.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

constexpr int64_t kMaxPageBytes = int64_t{64} << 20;

bool IsPlainName(absl::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         std::none_of(name.begin(), name.end(), [](char ch) { return ch == '/' || absl::ascii_iscntrl(ch); });
}

// As open, for reading, but nothing in `path` leads out of `directory`: no "..", no symbolic link, no mount trick.
int OpenBeneath(int directory, const std::string& path) {
  open_how how = {};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // Not to hang on a pipe that was put there.
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(syscall(SYS_openat2, directory, path.c_str(), &how, sizeof(how)));
}

}  // namespace

absl::StatusOr<PageSourceOptions> ParsePageSource(absl::string_view text) {
  PageSourceOptions options;
  const auto error = [&](absl::string_view part, absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("page source: ", Quoted(part), ": ", why,
                                                   "; write root=DIR,model_id=M,model_version=V,page_bytes=N"));
  };
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ',');
  for (const absl::string_view part : parts) {
    const std::pair<absl::string_view, absl::string_view> kv = absl::StrSplit(part, absl::MaxSplits('=', 1));
    if (kv.first == "root") {
      options.root = std::string(kv.second);
    } else if (kv.first == "model_id") {
      options.model_id = std::string(kv.second);
    } else if (kv.first == "model_version") {
      options.model_version = std::string(kv.second);
    } else if (kv.first == "page_bytes") {
      if (!absl::SimpleAtoi(kv.second, &options.page_bytes) || options.page_bytes <= 0 ||
          options.page_bytes > kMaxPageBytes) {
        return error(part, absl::StrCat("page_bytes must lie in [1, ", kMaxPageBytes, "]"));
      }
    } else {
      return error(part, "no such key");
    }
  }
  if (options.root.empty()) return error(text, "root is missing");
  if (!IsPlainName(options.model_id)) return error(text, "model_id must be a plain name, without '/' or '..'");
  if (!IsPlainName(options.model_version))
    return error(text, "model_version must be a plain name, without '/' or '..'");
  if (options.page_bytes == 0) return error(text, "page_bytes is missing");
  return options;
}

int64_t LayerNumber(absl::string_view layer) {
  int64_t number = -1;
  const bool digits =
      !layer.empty() && std::all_of(layer.begin(), layer.end(), [](char ch) { return absl::ascii_isdigit(ch); });
  if (!digits || !absl::SimpleAtoi(layer, &number) || number > kMaxId) return -1;
  return number;
}

absl::StatusOr<std::unique_ptr<PageSource>> PageSource::Create(PageSourceOptions options) {
  const int fd = open(options.root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return absl::NotFoundError(absl::StrCat("page source: root=", options.root, ": ", std::strerror(errno)));
  }
  return std::unique_ptr<PageSource>(new PageSource(std::move(options), std::make_unique<PageFile>(fd)));
}

absl::StatusOr<PageSource::Segment> PageSource::Open(int64_t layer) const {
  Segment segment;
  segment.name = absl::StrCat(options_.model_id, "/", options_.model_version, "/layer_", layer, ".seg");
  const int fd = OpenBeneath(root_->fd(), segment.name);
  if (fd < 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return MakeError(absl::StatusCode::kNotFound, "PAGE_FILE_MISSING",
                       absl::StrCat("page file ", segment.name,
                                    " does not exist; write the segment or leave the "
                                    "extents of this layer out"));
    }
    return MakeError(absl::StatusCode::kFailedPrecondition, "PAGE_FILE_UNREADABLE",
                     absl::StrCat("page file ", segment.name, " can't be opened: ", std::strerror(errno)));
  }
  segment.file = std::make_shared<PageFile>(fd);
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "PAGE_FILE_UNREADABLE",
                     absl::StrCat("page file ", segment.name, " is not a regular file"));
  }
  segment.bytes = info.st_size;
  return segment;
}

absl::Status PageSource::PastEnd(const Segment& segment, int64_t page) const {
  return MakeError(
      absl::StatusCode::kOutOfRange, "PAGE_PAST_END",
      absl::StrCat("page file ", segment.name, ": page ", page, " is past the end: the file has ", segment.bytes,
                   " bytes, which is ", segment.bytes / page_bytes(), " whole pages of ", page_bytes()));
}

}  // namespace bwrt::runtime
