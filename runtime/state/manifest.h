// Manifest: one version as JSON text, the content of a file in manifests/. Pure functions.
#ifndef BWRT_RUNTIME_STATE_MANIFEST_H_
#define BWRT_RUNTIME_STATE_MANIFEST_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/state/stored.h"

namespace bwrt::runtime {

// 100,000 tensors with names of 512 bytes take about 90 MB.
inline constexpr int64_t kMaxManifestBytes = int64_t{256} << 20;

// INVALID_ARGUMENT for a version that ParseManifest would not give back: text that is not UTF-8, names out of order,
// sizes that don't fit the type.
absl::StatusOr<std::string> EncodeManifest(const StoredVersion& version);

// DATA_LOSS, reason STATE_DIR_DAMAGED, for anything but what EncodeManifest makes.
absl::StatusOr<StoredVersion> ParseManifest(absl::string_view text);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STATE_MANIFEST_H_
