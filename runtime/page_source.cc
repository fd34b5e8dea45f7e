#include "runtime/page_source.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/error.h"
#include "runtime/limits.h"
#include "runtime/plain_name.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

constexpr int64_t kMaxPageBytes = int64_t{64} << 20;

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
  auto root = RootDirectory::Open(options.root);
  if (!root.ok()) return absl::NotFoundError(absl::StrCat("page source: ", root.status().message()));
  return std::unique_ptr<PageSource>(new PageSource(std::move(options), *std::move(root)));
}

absl::StatusOr<PageSource::Segment> PageSource::Open(int64_t layer) const {
  Segment segment;
  segment.name = absl::StrCat(options_.model_id, "/", options_.model_version, "/layer_", layer, ".seg");
  auto file = root_->OpenFile(segment.name);
  if (absl::IsNotFound(file.status())) {
    return MakeError(absl::StatusCode::kNotFound, "PAGE_FILE_MISSING",
                     absl::StrCat("page file ", file.status().message(),
                                  "; write the segment or leave the extents of this layer out"));
  }
  if (!file.ok()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "PAGE_FILE_UNREADABLE",
                     absl::StrCat("page file ", file.status().message()));
  }
  segment.file = std::move(file->handle);
  segment.bytes = file->bytes;
  return segment;
}

absl::Status PageSource::PastEnd(const Segment& segment, int64_t page) const {
  return MakeError(
      absl::StatusCode::kOutOfRange, "PAGE_PAST_END",
      absl::StrCat("page file ", segment.name, ": page ", page, " is past the end: the file has ", segment.bytes,
                   " bytes, which is ", segment.bytes / page_bytes(), " whole pages of ", page_bytes()));
}

}  // namespace bwrt::runtime
