#include "server/services/wave_codec.h"

#include <utility>

#include "server/services/duration.h"

namespace bwrt::server {
namespace {

runtime::OperandRequest DecodeOperand(const v1::Operand& operand) {
  runtime::OperandRequest out;
  switch (operand.source_case()) {
    case v1::Operand::kInline:
      out.source = runtime::OperandRequest::Source::kInline;
      out.bytes = operand.inline_();
      break;
    case v1::Operand::kTensor:
      out.source = runtime::OperandRequest::Source::kTensor;
      out.tensor = operand.tensor();
      break;
    case v1::Operand::SOURCE_NOT_SET:
      break;
  }
  out.row_stride = operand.row_stride();
  return out;
}

runtime::WaveSpec DecodeSpec(const WaveSpec& spec) {
  runtime::WaveSpec out;
  out.pack_order.assign(spec.pack_order().begin(), spec.pack_order().end());
  out.tile_order.reserve(static_cast<size_t>(spec.tile_order_size()));
  for (const TileCoord& tile : spec.tile_order()) out.tile_order.push_back({tile.m(), tile.n()});
  out.bm = spec.bm();
  out.bn = spec.bn();
  out.bk = spec.bk();
  out.cluster_x = spec.cluster_shape().x();
  out.cluster_y = spec.cluster_shape().y();
  out.tmem_columns = spec.tmem_layout().columns();
  out.tmem_phases = spec.tmem_layout().phases();
  out.tmem_double_buffer = spec.tmem_layout().double_buffer();
  out.stage_n = spec.tmem_layout().stage_n();
  out.io_extents.reserve(static_cast<size_t>(spec.io_extents_size()));
  for (const IoExtent& e : spec.io_extents()) out.io_extents.push_back({e.layer(), e.start_pid(), e.end_pid()});
  out.swap_begin = spec.swap_begin();
  out.swap_end = spec.swap_end();
  out.tile_order_flat.assign(spec.tile_order_flat().begin(), spec.tile_order_flat().end());
  out.swizzle_group_size = spec.swizzle_group_size();
  out.tail_policy = static_cast<runtime::TailPolicy>(spec.tail_policy());
  out.stage_hint = spec.stage_hint();
  out.dtype = static_cast<runtime::DTypeWish>(spec.dtype());
  return out;
}

v1::Source EncodeSource(runtime::Source source) {
  switch (source) {
    case runtime::Source::kHardware:
      return v1::HARDWARE;
    case runtime::Source::kKernel:
      return v1::KERNEL;
    case runtime::Source::kModel:
      return v1::MODEL;
  }
  return v1::SOURCE_UNSPECIFIED;
}

TailPolicy EncodeTails(runtime::TailPolicy tails) { return static_cast<TailPolicy>(tails); }

}  // namespace

runtime::WaveRequest DecodeWave(const v1::SubmitWaveRequest& wave, std::shared_ptr<const void> owner) {
  runtime::WaveRequest out;
  out.client_id = wave.client_id();
  out.wave_id = wave.wave_id();
  out.model = wave.model();
  out.spec = DecodeSpec(wave.spec());
  out.m = wave.m();
  out.n = wave.n();
  out.k = wave.k();
  out.a = DecodeOperand(wave.a());
  out.w = DecodeOperand(wave.w());
  out.w_transposed = wave.w_transposed();
  out.c = DecodeOperand(wave.c());
  if (wave.has_alpha()) out.alpha = wave.alpha();
  if (wave.has_beta()) out.beta = wave.beta();
  if (wave.has_a_scale()) out.a_scale = wave.a_scale();
  if (wave.has_w_scale()) out.w_scale = wave.w_scale();
  out.bias.assign(wave.bias().begin(), wave.bias().end());
  out.activation = static_cast<runtime::ActivationWish>(wave.activation());
  out.c_dtype = static_cast<runtime::DTypeWish>(wave.c_dtype());
  out.coverage = static_cast<runtime::Coverage>(wave.coverage());
  out.required_version = wave.required_version();
  out.whitelist_digest = wave.whitelist_digest();
  out.priority = wave.priority();
  out.rows.reserve(static_cast<size_t>(wave.rows_size()));
  for (const v1::RowRange& range : wave.rows()) out.rows.push_back({range.id(), range.begin(), range.end()});
  if (wave.has_timeout()) out.timeout = FromProto(wave.timeout());
  out.owner = std::move(owner);
  return out;
}

DType EncodeDType(kernels::DType dtype) {
  switch (dtype) {
    case kernels::DType::kF32:
      return F32;
    case kernels::DType::kF16:
      return F16;
    case kernels::DType::kBF16:
      return BF16;
    case kernels::DType::kF8E4M3:
      return F8_E4M3;
    case kernels::DType::kF8E5M2:
      return F8_E5M2;
  }
  return DTYPE_UNSPECIFIED;
}

void EncodeReadings(const runtime::Readings& readings, v1::Readings* out) {
  const auto set = [](const std::optional<runtime::Reading>& from, auto mutable_reading) {
    if (!from) return;
    v1::Reading* to = mutable_reading();
    to->set_ratio(from->ratio);
    to->set_source(EncodeSource(from->source));
  };
  set(readings.wgmma_active, [out] { return out->mutable_wgmma_active(); });
  set(readings.tma_occ, [out] { return out->mutable_tma_occ(); });
  set(readings.l2_hit, [out] { return out->mutable_l2_hit(); });
  set(readings.ring_occ, [out] { return out->mutable_ring_occ(); });
  set(readings.l2_hit_hardware, [out] { return out->mutable_l2_hit_hardware(); });
  set(readings.llc_hit_hardware, [out] { return out->mutable_llc_hit_hardware(); });
}

void EncodeEffective(const runtime::Wave& wave, const runtime::EffectiveSpec& effective, v1::EffectiveSpec* out) {
  out->set_device(effective.device);
  out->set_kernel(effective.kernel);
  out->set_bm(wave.tile.bm);
  out->set_bn(wave.tile.bn);
  out->set_k_step(static_cast<int32_t>(effective.k_step));
  out->set_stages(effective.stages);
  out->mutable_cluster()->set_x(effective.cluster_x);
  out->mutable_cluster()->set_y(effective.cluster_y);
  out->set_dtype(EncodeDType(wave.dtype));
  out->set_c_dtype(EncodeDType(wave.c_dtype));
  out->set_tail_policy(EncodeTails(wave.tails));
  out->set_traversal_honoured(effective.traversal_honoured);
  out->set_tiles_listed(static_cast<uint64_t>(wave.traversal.listed));
  out->set_tiles_appended(static_cast<uint64_t>(wave.traversal.appended()));
  out->set_tiles_dropped(static_cast<uint64_t>(wave.traversal.dropped));
  out->set_tiles_omitted(static_cast<uint64_t>(wave.traversal.omitted));
  out->set_unlisted_shape(wave.tolerated);
  for (const runtime::Downgrade& d : effective.downgrades) {
    v1::Downgrade* to = out->add_downgrades();
    to->set_field(d.field);
    to->set_requested(d.requested);
    to->set_executed(d.executed);
    to->set_reason(d.reason);
  }
}

void EncodeTokens(const runtime::Wave& wave, v1::TokenPlan* out) {
  out->set_prefetch_tokens(static_cast<uint64_t>(wave.tokens.prefetch));
  out->set_tile_tokens(static_cast<uint64_t>(wave.tokens.tiles));
  out->set_swap_begin(wave.window.begin);
  out->set_swap_end(wave.window.end);
}

void EncodePlacement(const runtime::Placement& placement, v1::Placement* out) {
  out->set_device(placement.device);
  const absl::string_view reason = runtime::Name(placement.reason);
  out->set_reason(reason.data(), reason.size());
  out->set_text(placement.text);
  for (const runtime::Placement::Prediction& prediction : placement.predictions) {
    v1::Placement::Prediction* to = out->add_predictions();
    to->set_device(prediction.device);
    if (prediction.time) to->set_seconds(runtime::Seconds(*prediction.time));
    to->set_resident(prediction.resident);
  }
  out->set_threshold_seconds(runtime::Seconds(placement.threshold));
}

void EncodeResult(const runtime::Wave& wave, runtime::WaveResult&& result, v1::WaveResult* out) {
  out->set_c(std::move(result.c));
  out->set_model(wave.model);
  out->set_version(result.version.value());
  out->set_version_label(std::move(result.version_label));
  EncodeEffective(wave, result.effective, out->mutable_effective());
  EncodeTokens(wave, out->mutable_tokens());
  v1::Timings* timings = out->mutable_timings();
  timings->set_queue_seconds(runtime::Seconds(result.timings.queue));
  timings->set_prefetch_seconds(runtime::Seconds(result.timings.prefetch));
  timings->set_compute_seconds(runtime::Seconds(result.timings.compute));
  timings->set_copy_seconds(runtime::Seconds(result.timings.copy));
  EncodeReadings(result.readings, out->mutable_readings());
  if (result.hardware_counts) {
    out->mutable_hardware_counts()->set_cycles(result.hardware_counts->cycles);
    out->mutable_hardware_counts()->set_cache_reads(result.hardware_counts->reads);
    out->mutable_hardware_counts()->set_cache_misses(result.hardware_counts->misses);
  }
  if (result.placement) EncodePlacement(*result.placement, out->mutable_placement());
}

}  // namespace bwrt::server
