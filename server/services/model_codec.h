// Models, versions and swaps between the wire and the runtime.
#ifndef BWRT_SERVER_SERVICES_MODEL_CODEC_H_
#define BWRT_SERVER_SERVICES_MODEL_CODEC_H_

#include <string>

#include "bwrt/v1/weights.pb.h"
#include "runtime/model.h"
#include "runtime/model_event.h"
#include "runtime/set_weights.h"
#include "runtime/weight_swap.h"

namespace bwrt::server {

// Moves the tensors' bytes out of `request`.
runtime::SetWeightsRequest DecodeSetWeights(v1::SetWeightsRequest&& request);

void EncodeSwapResult(const runtime::SwapResult& result, v1::SetWeightsResponse* out);
void EncodeSummary(const std::string& name, const runtime::ModelStatus& status, v1::ModelSummary* out);
void EncodeWindow(const runtime::WindowStatus& window, v1::WindowState* out);
void EncodeKept(const runtime::KeptVersion& kept, v1::KeptVersion* out);
void EncodeTensor(const runtime::NamedTensor& tensor, v1::TensorInfo* out);
void EncodeEvent(const std::string& model, const runtime::ModelEvent& event, v1::ModelEvent* out);

}  // namespace bwrt::server

#endif  // BWRT_SERVER_SERVICES_MODEL_CODEC_H_
