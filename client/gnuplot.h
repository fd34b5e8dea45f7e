// gnuplot as a child process: a script in, a picture out.
//
// Thread-safe. No shell takes part, and the script is the only thing that gnuplot gets from us: neither names of files
// nor a user's start-up file. Its standard streams are files without a name, so nothing can block on a full pipe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace bwrt::client {

struct GnuplotOptions {
  std::string program = "gnuplot";  // Looked for on PATH where it has no slash.
  absl::Duration patience = absl::Seconds(60);
};

// What gnuplot writes to its standard output when it runs `script`.
// - NOT_FOUND: there is no such program; names the package to install.
// - INTERNAL: it failed or wrote nothing; with the first lines it said.
// - DEADLINE_EXCEEDED: it took longer than `patience`, and was killed.
absl::StatusOr<std::string> RunGnuplot(absl::string_view script, const GnuplotOptions& options = {});

}  // namespace bwrt::client
