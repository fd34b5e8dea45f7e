// Bytes that can be read in pieces and more than once, such as a file's: what a shard is staged from.
//
// Immutable; thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/digest.h"

namespace bwrt::client {

class ByteSource {
 public:
  virtual ~ByteSource() = default;

  virtual uint64_t size() const = 0;
  // Fills `out` with the `count` bytes from `offset`, which lie within size(). An error names the source.
  virtual absl::Status Read(uint64_t offset, size_t count, char* out) const = 0;
};

// `bytes` must outlive it.
std::unique_ptr<ByteSource> FromMemory(absl::string_view bytes);

// `bytes` of the regular file at `path`, from `offset`; unset: up to its end as it is now. The file must stay as it is.
// INVALID_ARGUMENT: no regular file, or shorter than that.
absl::StatusOr<std::unique_ptr<ByteSource>> FromFile(std::string path, uint64_t offset = 0,
                                                     std::optional<uint64_t> bytes = {});

// `bytes` of `source` from `offset`, which lie within it.
std::shared_ptr<const ByteSource> PartOf(std::shared_ptr<const ByteSource> source, uint64_t offset, uint64_t bytes);

// Of the whole source, which is read for it. `on_read` is told how many bytes have been.
absl::StatusOr<std::string> DigestOf(DigestKind kind, const ByteSource& source,
                                     const std::function<void(uint64_t bytes)>& on_read = {});

}  // namespace bwrt::client
