#include "server/services/model_codec.h"

#include <utility>

#include "server/services/duration.h"
#include "server/services/wave_codec.h"

namespace bwrt::server {
namespace {

constexpr int kMaxBlockers = 16;

bool Blocks(const runtime::WindowClaim& claim) { return !runtime::Allows(claim.window, claim.clock); }

void EncodeClaim(const runtime::WindowClaim& claim, v1::WindowClaim* out) {
  out->set_wave(claim.wave.value());
  out->set_wave_id(claim.wave_id);
  out->set_swap_begin(claim.window.begin);
  out->set_swap_end(claim.window.end);
  out->mutable_clock()->set_lo(claim.clock.lo);
  out->mutable_clock()->set_hi(claim.clock.hi);
  out->set_in_flight(claim.in_flight);
  out->set_blocks(Blocks(claim));
}

v1::ModelEvent::Kind EncodeKind(runtime::ModelEvent::Kind kind) {
  switch (kind) {
    case runtime::ModelEvent::Kind::kSnapshot:
      return v1::ModelEvent::SNAPSHOT;
    case runtime::ModelEvent::Kind::kVersion:
      return v1::ModelEvent::VERSION;
    case runtime::ModelEvent::Kind::kWindowOpened:
      return v1::ModelEvent::WINDOW_OPENED;
    case runtime::ModelEvent::Kind::kWindowClosed:
      return v1::ModelEvent::WINDOW_CLOSED;
    case runtime::ModelEvent::Kind::kHoldStarted:
      return v1::ModelEvent::HOLD_STARTED;
    case runtime::ModelEvent::Kind::kHoldEnded:
      return v1::ModelEvent::HOLD_ENDED;
  }
  return v1::ModelEvent::KIND_UNSPECIFIED;
}

}  // namespace

runtime::SetWeightsRequest DecodeSetWeights(v1::SetWeightsRequest&& request) {
  runtime::SetWeightsRequest out;
  out.model = std::move(*request.mutable_model());
  out.tensors.reserve(static_cast<size_t>(request.tensors_size()));
  for (v1::Tensor& tensor : *request.mutable_tensors()) {
    out.tensors.push_back({std::move(*tensor.mutable_name()),
                           static_cast<runtime::DTypeWish>(tensor.dtype()),
                           {tensor.shape().begin(), tensor.shape().end()},
                           std::move(*tensor.mutable_data())});
  }
  out.label = std::move(*request.mutable_label());
  out.swap.policy = static_cast<int>(request.policy());
  if (request.has_wait_timeout()) out.swap.wait_timeout = FromProto(request.wait_timeout());
  if (request.has_hold_after()) out.swap.hold_after = FromProto(request.hold_after());
  if (request.has_base_version()) out.base_version = request.base_version();
  return out;
}

void EncodeSwapResult(const runtime::SwapResult& result, v1::SetWeightsResponse* out) {
  out->set_model(result.model);
  out->set_version(result.version.value());
  out->set_previous_version(result.previous.value());
  out->set_waited_seconds(runtime::Seconds(result.waited));
  out->set_held_seconds(runtime::Seconds(result.held));
}

void EncodeSummary(const std::string& name, const runtime::ModelStatus& status, v1::ModelSummary* out) {
  out->set_name(name);
  out->set_version(status.current->number().value());
  out->set_label(status.current->label());
  out->set_tensors(status.current->tensors().size());
  out->set_bytes(static_cast<uint64_t>(status.current->bytes().value()));
  out->set_retiring_bytes(static_cast<uint64_t>(status.retiring.value()));
  out->set_window_open(status.window.open);
  out->set_restored_from(status.current->restored_from().value());
  out->set_durable(status.durable);
  out->set_loading(status.loading);
  out->set_last_version(status.last.value());
  out->set_lost(status.lost);
  for (const runtime::WindowClaim& claim : status.window.claims) {
    if (out->blockers_size() == kMaxBlockers) break;
    if (Blocks(claim)) EncodeClaim(claim, out->add_blockers());
  }
}

void EncodeWindow(const runtime::WindowStatus& window, v1::WindowState* out) {
  out->set_open(window.open);
  for (const runtime::WindowClaim& claim : window.claims) EncodeClaim(claim, out->add_claims());
  out->set_closed_seconds(window.open ? 0 : runtime::Seconds(window.closed_for));
  out->set_waiting_swaps(static_cast<uint32_t>(window.waiting_swaps));
  out->set_holding(window.holding);
}

void EncodeKept(const runtime::KeptVersion& kept, v1::KeptVersion* out) {
  out->set_version(kept.number.value());
  out->set_label(kept.label);
  out->set_bytes(static_cast<uint64_t>(kept.bytes.value()));
  out->set_restored_from(kept.restored_from.value());
  out->set_in_memory(kept.version != nullptr);
}

void EncodeTensor(const runtime::NamedTensor& tensor, v1::TensorInfo* out) {
  const runtime::TensorType& type = tensor.tensor->type();
  out->set_name(tensor.name);
  out->set_dtype(static_cast<DType>(type.dtype.code()));
  for (const int64_t d : type.shape) out->add_shape(d);
  out->set_bytes(static_cast<uint64_t>(type.bytes().value()));
  out->set_version(tensor.version.value());
}

void EncodeEvent(const std::string& model, const runtime::ModelEvent& event, v1::ModelEvent* out) {
  out->set_kind(EncodeKind(event.kind));
  out->set_model(model);
  out->set_version(event.version.value());
  out->set_label(event.label);
  out->set_window_open(event.window_open);
}

}  // namespace bwrt::server
