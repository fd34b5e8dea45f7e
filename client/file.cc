#include "client/file.h"

#include <cerrno>
#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"

namespace bwrt::client {
namespace {

struct Closer {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Closer>;

absl::Status Failed(absl::string_view what, const std::string& path) {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot ", what, " ", path));
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  File opened(path == "-" ? nullptr : std::fopen(path.c_str(), "rb"));
  if (path != "-" && opened == nullptr) return Failed("open", path);
  std::FILE* file = path == "-" ? stdin : opened.get();
  std::string content;
  constexpr size_t kStep = size_t{1} << 20;
  for (;;) {
    const size_t before = content.size();
    content.resize(before + kStep);
    const size_t count = std::fread(content.data() + before, 1, kStep, file);
    content.resize(before + count);
    if (content.size() > max_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("cannot read ", path, ": it is larger than ", max_bytes, " bytes"));
    }
    if (count < kStep) break;
  }
  if (std::ferror(file) != 0) return Failed("read", path);
  return content;
}

absl::Status WriteFile(const std::string& path, absl::string_view content) {
  File file(std::fopen(path.c_str(), "wb"));
  if (file == nullptr) return Failed("create", path);
  if (std::fwrite(content.data(), 1, content.size(), file.get()) != content.size()) {
    return Failed("write", path);
  }
  // What the C library still holds is written here; a full disk shows only now.
  if (std::fclose(file.release()) != 0) return Failed("write", path);
  return absl::OkStatus();
}

}  // namespace bwrt::client
