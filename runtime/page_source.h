// PageSource: the planner's pages in segment files: <root>/<model_id>/<model_version>/layer_<n>.seg, without header,
// page p at p * page_bytes, holes read as zeros, a page past the end is an error.
//
// Opens files beneath the root only: neither ids nor symbolic links lead out of it. Thread-safe.
#ifndef BWRT_RUNTIME_PAGE_SOURCE_H_
#define BWRT_RUNTIME_PAGE_SOURCE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/file_handle.h"
#include "runtime/root_directory.h"

namespace bwrt::runtime {

struct PageSourceOptions {
  std::string root;
  std::string model_id;
  std::string model_version;
  int64_t page_bytes = 0;
};

// One page of one layer.
struct PageKey {
  int64_t layer = 0;
  int64_t page = 0;
  friend auto operator<=>(const PageKey&, const PageKey&) = default;
};

// "root=DIR,model_id=M,model_version=V,page_bytes=N". INVALID_ARGUMENT names the part that is wrong: ids must be plain
// names, without '/' or "..".
absl::StatusOr<PageSourceOptions> ParsePageSource(absl::string_view text);

// The number of a layer named "6" (digits, below 2^31). -1 for anything else.
int64_t LayerNumber(absl::string_view layer);

class PageSource {
 public:
  // NOT_FOUND when the root can't be opened.
  static absl::StatusOr<std::unique_ptr<PageSource>> Create(PageSourceOptions options);

  // A layer's segment and how many whole pages it has. Opened anew each time, so that a file that is replaced is
  // seen. NOT_FOUND PAGE_FILE_MISSING, FAILED_PRECONDITION PAGE_FILE_UNREADABLE; named by the file within the root.
  struct Segment {
    std::shared_ptr<const FileHandle> file;
    int64_t bytes = 0;
    std::string name;
  };
  absl::StatusOr<Segment> Open(int64_t layer) const;

  // OUT_OF_RANGE PAGE_PAST_END: names file, page and sizes.
  absl::Status PastEnd(const Segment& segment, int64_t page) const;

  int64_t page_bytes() const { return options_.page_bytes; }
  const PageSourceOptions& options() const { return options_; }

 private:
  PageSource(PageSourceOptions options, std::unique_ptr<RootDirectory> root)
      : options_(std::move(options)), root_(std::move(root)) {}

  const PageSourceOptions options_;
  const std::unique_ptr<RootDirectory> root_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_PAGE_SOURCE_H_
