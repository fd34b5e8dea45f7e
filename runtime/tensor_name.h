// The rule for names of tensors.
#ifndef BWRT_RUNTIME_TENSOR_NAME_H_
#define BWRT_RUNTIME_TENSOR_NAME_H_

#include <string>

#include "absl/strings/string_view.h"

namespace bwrt::runtime {

// Names are ids, never paths; the rule keeps them harmless where they are used as either.
bool IsTensorName(absl::string_view name);

// The rule in words, for error texts: "use 1 to ...".
std::string TensorNameRule();

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_TENSOR_NAME_H_
