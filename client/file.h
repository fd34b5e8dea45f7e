// Whole files, read and written.
//
// Free functions; thread-safe. Errors name the path.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bwrt::client {

// The content of `path`; "-" is the standard input. RESOURCE_EXHAUSTED: it is larger than
// `max_bytes`.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes = size_t{1} << 31);

// Creates or replaces `path`.
absl::Status WriteFile(const std::string& path, absl::string_view content);

}  // namespace bwrt::client
