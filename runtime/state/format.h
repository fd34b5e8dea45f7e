// The format number of a state directory: the file FORMAT.
#ifndef BWRT_RUNTIME_STATE_FORMAT_H_
#define BWRT_RUNTIME_STATE_FORMAT_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/state/files.h"

namespace bwrt::runtime {

// Whether the directory has our format; false for one that is empty. FAILED_PRECONDITION, reason STATE_DIR_FORMAT, for
// another format and for a directory of other files. Touches nothing.
absl::StatusOr<bool> HasFormat(Directory& directory);

// Durably.
absl::Status WriteFormat(Directory& directory);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STATE_FORMAT_H_
