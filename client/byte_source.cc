#include "client/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace bwrt::client {
namespace {

class MemorySource : public ByteSource {
 public:
  explicit MemorySource(absl::string_view bytes) : bytes_(bytes) {}

  uint64_t size() const override { return bytes_.size(); }
  absl::Status Read(uint64_t offset, size_t count, char* out) const override {
    std::memcpy(out, bytes_.data() + offset, count);
    return absl::OkStatus();
  }

 private:
  const absl::string_view bytes_;
};

class FileSource : public ByteSource {
 public:
  FileSource(std::string path, uint64_t begin, uint64_t bytes) : path_(std::move(path)), begin_(begin), bytes_(bytes) {}

  uint64_t size() const override { return bytes_; }

  // Opens the file each time: thousands of shards would otherwise need as many descriptors.
  absl::Status Read(uint64_t offset, size_t count, char* out) const override {
    const int fd = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path_));
    const absl::Cleanup close_fd = [fd] { close(fd); };
    for (size_t done = 0; done < count;) {
      const ssize_t got = pread(fd, out + done, count - done, static_cast<off_t>(begin_ + offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", path_));
      if (got == 0) {
        return absl::DataLossError(absl::StrCat(path_, ": ends at byte ", begin_ + offset + done,
                                                ": it has become shorter while it was read"));
      }
      done += static_cast<size_t>(got);
    }
    return absl::OkStatus();
  }

 private:
  const std::string path_;
  const uint64_t begin_;
  const uint64_t bytes_;
};

class PartSource : public ByteSource {
 public:
  PartSource(std::shared_ptr<const ByteSource> source, uint64_t begin, uint64_t bytes)
      : source_(std::move(source)), begin_(begin), bytes_(bytes) {}

  uint64_t size() const override { return bytes_; }
  absl::Status Read(uint64_t offset, size_t count, char* out) const override {
    return source_->Read(begin_ + offset, count, out);
  }

 private:
  const std::shared_ptr<const ByteSource> source_;
  const uint64_t begin_;
  const uint64_t bytes_;
};

}  // namespace

std::unique_ptr<ByteSource> FromMemory(absl::string_view bytes) { return std::make_unique<MemorySource>(bytes); }

absl::StatusOr<std::unique_ptr<ByteSource>> FromFile(std::string path, uint64_t offset, std::optional<uint64_t> bytes) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": must be a regular file, as it may be read twice"));
  }
  const auto size = static_cast<uint64_t>(status.st_size);
  if (offset > size || bytes.value_or(0) > size - offset) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": holds ", size, " bytes, the part from byte ", offset, " needs ", bytes.value_or(0)));
  }
  return std::make_unique<FileSource>(std::move(path), offset, bytes.value_or(size - offset));
}

std::shared_ptr<const ByteSource> PartOf(std::shared_ptr<const ByteSource> source, uint64_t offset, uint64_t bytes) {
  return std::make_shared<PartSource>(std::move(source), offset, bytes);
}

absl::StatusOr<std::string> DigestOf(DigestKind kind, const ByteSource& source,
                                     const std::function<void(uint64_t bytes)>& on_read) {
  if (kind == DigestKind::kNone) return std::string();
  constexpr uint64_t kStep = uint64_t{1} << 20;
  Hasher hasher(kind);
  std::string piece(std::min(source.size(), kStep), '\0');
  for (uint64_t offset = 0; offset < source.size(); offset += kStep) {
    const size_t count = std::min(kStep, source.size() - offset);
    if (absl::Status status = source.Read(offset, count, piece.data()); !status.ok()) return status;
    hasher.Update(absl::string_view(piece).substr(0, count));
    if (on_read) on_read(offset + count);
  }
  return hasher.Finish();
}

}  // namespace bwrt::client
