// ReadWhole: a small file's content. Pure but for the reading.
#ifndef BWRT_RUNTIME_STATE_READ_FILE_H_
#define BWRT_RUNTIME_STATE_READ_FILE_H_

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/state/files.h"

namespace bwrt::runtime {

// At most `limit` bytes of it.
inline absl::StatusOr<std::string> ReadWhole(const File& file, int64_t limit) {
  const auto size = file.Size();
  if (!size.ok()) return size.status();
  std::string bytes(static_cast<size_t>(std::clamp(*size, int64_t{0}, limit)), '\0');
  const auto n = file.Read(0, bytes.data(), static_cast<int64_t>(bytes.size()));
  if (!n.ok()) return n.status();
  bytes.resize(static_cast<size_t>(*n));
  return bytes;
}

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STATE_READ_FILE_H_
