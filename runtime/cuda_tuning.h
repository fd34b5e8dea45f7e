// A tuned algorithm of the plugin as a line of text, to be kept in a file. Pure functions.
#ifndef BWRT_RUNTIME_CUDA_TUNING_H_
#define BWRT_RUNTIME_CUDA_TUNING_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/cuda_plugin_abi.h"

namespace bwrt::runtime {

// Decimal numbers with a space between them; the first is the format's.
std::string FormatCudaTuning(const BwrtCudaTuning& tuning);
// Nullopt for what FormatCudaTuning does not write. The numbers are only known to fit their fields: the plugin checks
// them.
std::optional<BwrtCudaTuning> ParseCudaTuning(absl::string_view text);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_CUDA_TUNING_H_
