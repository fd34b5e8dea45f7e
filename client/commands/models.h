// Models as bwrtctl shows them to people.
//
// Free functions; thread-safe apart from the streams.
#pragma once

#include <ostream>

#include "bwrt/v1/weights.pb.h"

namespace bwrt::client {

// A table of all models, with the waves that keep their windows closed.
void PrintModels(const v1::ListModelsResponse& models, std::ostream& out);

// One model: its version, its window with the waves it is tested against, and its tensors.
void PrintModel(const v1::GetModelResponse& model, std::ostream& out);

}  // namespace bwrt::client
