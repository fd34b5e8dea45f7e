#include "runtime/safetensors_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "runtime/error.h"
#include "runtime/safetensors.h"
#include "runtime/safetensors_index.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

constexpr absl::string_view kWhole = "model.safetensors";
constexpr absl::string_view kIndex = "model.safetensors.index.json";

// Fills `out` from `offset` on. `file` is named in errors.
absl::Status ReadExactly(const RootDirectory::File& file, absl::string_view name, int64_t offset,
                         absl::Span<char> out) {
  while (!out.empty()) {
    const ssize_t got = pread(file.handle->fd(), out.data(), out.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE",
                       absl::StrCat(name, " can't be read at byte ", offset, ": ", std::strerror(errno)));
    }
    if (got == 0) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "FILE_CHANGED",
                       absl::StrCat(name, " ends at byte ", offset, ", but had ", file.bytes,
                                    " bytes when it was opened; replace files by renaming, never write into them"));
    }
    out.remove_prefix(static_cast<size_t>(got));
    offset += got;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadPrefix(const RootDirectory::File& file, absl::string_view name, int64_t bytes) {
  std::string prefix(static_cast<size_t>(std::min(bytes, file.bytes)), '\0');
  absl::Status status = ReadExactly(file, name, 0, absl::MakeSpan(&prefix[0], prefix.size()));
  if (!status.ok()) return status;
  return prefix;
}

// `status` of a parser, which does not know the name.
absl::Status In(absl::string_view name, const absl::Status& status) {
  return MakeError(status.code(), GetReason(status), absl::StrCat(name, ": ", status.message()));
}

absl::StatusOr<SafetensorsHeader> ReadHeader(const RootDirectory::File& file, absl::string_view name,
                                             const Limits& limits) {
  auto prefix = ReadPrefix(file, name, kSafetensorsLengthBytes);
  if (!prefix.ok()) return prefix.status();
  // Before anything of that length is allocated.
  const auto length = SafetensorsHeaderLength(*prefix, file.bytes);
  if (!length.ok()) return In(name, length.status());
  prefix = ReadPrefix(file, name, kSafetensorsLengthBytes + *length);
  if (!prefix.ok()) return prefix.status();
  auto header = ParseSafetensorsHeader(*prefix, file.bytes, limits);
  if (!header.ok()) return In(name, header.status());
  return header;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SafetensorsSource>> SafetensorsSource::Open(const RootDirectory& root,
                                                                           absl::string_view path,
                                                                           const Limits& limits) {
  std::unique_ptr<SafetensorsSource> source(new SafetensorsSource());
  std::string found(path);
  if (!absl::EndsWith(path, ".safetensors") && !absl::EndsWith(path, ".json")) {
    const std::string directory = path == "." ? "" : absl::StrCat(absl::StripSuffix(path, "/"), "/");
    const std::string whole = absl::StrCat(directory, kWhole);
    const std::string index = absl::StrCat(directory, kIndex);
    const absl::Status has_whole = root.OpenFile(whole).status();
    const absl::Status has_index = root.OpenFile(index).status();
    for (const absl::Status& status : {has_whole, has_index}) {
      if (!status.ok() && !absl::IsNotFound(status)) return status;
    }
    if (has_whole.ok() == has_index.ok()) {
      return MakeError(has_whole.ok() ? absl::StatusCode::kInvalidArgument : absl::StatusCode::kNotFound,
                       "SAFETENSORS_PATH",
                       absl::StrCat(Quoted(path), " is no file *.safetensors or *.json, and as a directory it holds ",
                                    has_whole.ok() ? "both " : "neither ", kWhole, has_whole.ok() ? " and " : " nor ",
                                    kIndex, "; name the file"));
    }
    found = has_whole.ok() ? whole : index;
  }

  absl::Status status;
  if (absl::EndsWith(found, ".json")) {
    const auto index = root.OpenFile(found);
    status = index.ok() ? source->AddIndexed(root, found, *index, limits) : index.status();
  } else {
    status = source->Add(root, std::move(found), limits);
  }
  if (!status.ok()) return status;
  std::sort(source->tensors_.begin(), source->tensors_.end(),
            [](const Tensor& a, const Tensor& b) { return a.name < b.name; });
  return source;
}

absl::Status SafetensorsSource::Add(const RootDirectory& root, std::string path, const Limits& limits) {
  auto file = root.OpenFile(path);
  if (!file.ok()) return file.status();
  auto header = ReadHeader(*file, path, limits);
  if (!header.ok()) return header.status();
  for (SafetensorsEntry& entry : header->tensors) {
    tensors_.push_back(
        {std::move(entry.name), std::move(entry.type), entry.bytes, files_.size(), header->data_offset + entry.offset});
  }
  names_.push_back(std::move(path));
  files_.push_back(*std::move(file));
  return absl::OkStatus();
}

absl::Status SafetensorsSource::AddIndexed(const RootDirectory& root, absl::string_view path,
                                           const RootDirectory::File& index, const Limits& limits) {
  const auto disagree = [](absl::string_view file, absl::string_view tensor, absl::string_view why) {
    return MakeError(absl::StatusCode::kInvalidArgument, "SAFETENSORS_INDEX",
                     absl::StrCat(file, ": tensor ", Quoted(tensor), why, "; write index and files together"));
  };
  // One byte more than is allowed is enough for the parser to refuse it.
  const auto text = ReadPrefix(index, path, kMaxSafetensorsIndexBytes + 1);
  if (!text.ok()) return text.status();
  const auto files = ParseSafetensorsIndex(*text, limits);
  if (!files.ok()) return In(path, files.status());

  const size_t slash = path.rfind('/');
  const absl::string_view directory = slash == absl::string_view::npos ? "" : path.substr(0, slash + 1);
  for (const auto& [name, tensors] : *files) {
    const std::string file = absl::StrCat(directory, name);
    const size_t first = tensors_.size();
    absl::Status status = Add(root, file, limits);
    if (!status.ok()) return status;
    // Both are sorted. No tensor is in two files, because the index names each once.
    auto listed = tensors.begin();
    for (size_t i = first; i < tensors_.size(); ++i, ++listed) {
      if (listed == tensors.end() || tensors_[i].name < *listed) {
        return disagree(file, tensors_[i].name, " is in the file, but the index does not place it there");
      }
      if (*listed < tensors_[i].name) break;
    }
    if (listed != tensors.end()) return disagree(file, *listed, " is missing, but the index places it there");
  }
  return absl::OkStatus();
}

absl::Status SafetensorsSource::Read(const Tensor& tensor, int64_t offset, absl::Span<char> out) const {
  if (offset < 0 || offset > tensor.bytes || static_cast<int64_t>(out.size()) > tensor.bytes - offset) {
    return absl::OutOfRangeError(absl::StrCat("tensor ", Quoted(tensor.name), ": ", out.size(), " bytes at ", offset,
                                              " are not within its ", tensor.bytes));
  }
  return ReadExactly(files_[tensor.file], names_[tensor.file], tensor.offset + offset, out);
}

}  // namespace bwrt::runtime
