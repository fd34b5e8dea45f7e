#include "server/runtime_metrics.h"

#include <utility>

#include "runtime/prefetcher.h"
#include "server/log.h"

namespace bwrt::server {
namespace {

using prometheus::ClientMetric;
using prometheus::Histogram;
using prometheus::MetricFamily;
using prometheus::MetricType;

// From 10 us, a tiny wave, to 100 s, in steps of about 3.
Histogram::BucketBoundaries PhaseBuckets() {
  return {1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1, 3, 10, 30, 100};
}

std::string Text(absl::string_view s) { return std::string(s); }

absl::string_view Name(runtime::SwapEnd end) {
  switch (end) {
    case runtime::SwapEnd::kCommitted:
      return "committed";
    case runtime::SwapEnd::kRefused:
      return "refused";
    case runtime::SwapEnd::kTimedOut:
      return "timed_out";
    case runtime::SwapEnd::kCancelled:
      return "cancelled";
    case runtime::SwapEnd::kBaseChanged:
      return "base_changed";
    case runtime::SwapEnd::kFailed:
      return "failed";
  }
  return "unknown";
}

auto& CounterFamily(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry);
}

auto& HistogramFamily(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(*registry);
}

MetricFamily Gauge(const char* name, const char* help) {
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = MetricType::Gauge;
  return family;
}

void Add(MetricFamily* family, double value, std::vector<ClientMetric::Label> labels = {}) {
  ClientMetric& metric = family->metric.emplace_back();
  metric.label = std::move(labels);
  metric.gauge.value = value;
}

}  // namespace

prometheus::Counter& RuntimeMetrics::Cache::Get(const std::vector<absl::string_view>& values) {
  std::string key;
  for (const absl::string_view value : values) {
    key.append(value.data(), value.size());
    key += '\0';
  }
  runtime::MutexLock lock(mu_);
  prometheus::Counter*& counter = counters_[key];
  if (counter == nullptr) {
    prometheus::Labels labels;
    for (size_t i = 0; i < values.size(); ++i) labels.emplace(labels_[i], Text(values[i]));
    counter = &family_->Add(labels);
  }
  return *counter;
}

RuntimeMetrics::RuntimeMetrics(prometheus::Registry* registry)
    : waves_(&CounterFamily(registry, "bwrt_waves_total", "Waves that were admitted and have ended."),
             {"model", "device", "outcome"}),
      rejections_(&CounterFamily(registry, "bwrt_wave_rejections_total", "Waves that were not admitted."), {"reason"}),
      swaps_(&CounterFamily(registry, "bwrt_swap_total", "Swaps that have ended."), {"model", "outcome"}),
      extent_pages_(&CounterFamily(registry, "bwrt_io_extent_pages_total",
                                   "Pages of io_extents; no_source: they only advanced the token clock."),
                    {"outcome"}),
      placements_(&CounterFamily(registry, "bwrt_offload_decisions_total",
                                 "Waves for which a device was chosen among several, by the device that ran them."),
                  {"device", "reason"}) {
  auto& phases = HistogramFamily(registry, "bwrt_wave_phase_seconds", "Time of waves with a result, by phase.");
  const std::array<const char*, 4> names = {"queue", "prefetch", "compute", "copy"};
  for (size_t i = 0; i < names.size(); ++i) phases_[i] = &phases.Add({{"phase", names[i]}}, PhaseBuckets());
  swap_pause_ = &HistogramFamily(registry, "bwrt_swap_pause_seconds", "How long new waves were held back for a swap.")
                     .Add({}, PhaseBuckets());
  swap_wait_ = &HistogramFamily(registry, "bwrt_swap_wait_seconds", "From a swap's admission to its end.")
                    .Add({}, PhaseBuckets());
  stage_bytes_ =
      &CounterFamily(registry, "bwrt_stage_bytes_total", "Weight bytes made resident for versions to come.").Add({});
}

void RuntimeMetrics::OnWaveEnd(const runtime::WaveEnd& end) {
  waves_.Get({end.model, end.device, Name(end.outcome)}).Increment();
  if (end.placement != nullptr) {
    placements_.Get({end.placement->device, Name(end.placement->reason)}).Increment();
    if (decisions_ != nullptr) decisions_->Write(end);
  }
  if (end.timings == nullptr) return;
  const runtime::Timings& t = *end.timings;
  const std::array<runtime::Duration, 4> times = {t.queue, t.prefetch, t.compute, t.copy};
  for (size_t i = 0; i < times.size(); ++i) phases_[i]->Observe(runtime::Seconds(times[i]));
}

void RuntimeMetrics::OnWaveRejected(absl::string_view reason) { rejections_.Get({reason}).Increment(); }

void RuntimeMetrics::OnExtentPages(absl::string_view outcome, int64_t pages) {
  extent_pages_.Get({outcome}).Increment(static_cast<double>(pages));
}

void RuntimeMetrics::OnSwapEnd(absl::string_view model, runtime::SwapEnd end, runtime::Duration waited) {
  swaps_.Get({model, Name(end)}).Increment();
  swap_wait_->Observe(runtime::Seconds(waited));
}

void RuntimeMetrics::OnHoldEnd(absl::string_view /*model*/, runtime::Duration held) {
  swap_pause_->Observe(runtime::Seconds(held));
}

void RuntimeMetrics::OnLoadFailed(absl::string_view model, const absl::Status& why) {
  Log(LogLevel::kError, "can't read a committed version; trying again",
      {{"model", Text(model)}, {"error", std::string(why.message())}});
}

void RuntimeMetrics::OnStaged(int64_t bytes) { stage_bytes_->Increment(static_cast<double>(bytes)); }

std::vector<MetricFamily> RuntimeGauges::Collect() const {
  const runtime::Gauges gauges = runtime_->GetGauges();
  MetricFamily in_flight = Gauge("bwrt_waves_in_flight", "Waves that hold a lease.");
  Add(&in_flight, static_cast<double>(gauges.waves_in_flight));
  MetricFamily depth = Gauge("bwrt_queue_depth", "Waves waiting for a lane.");
  Add(&depth, static_cast<double>(gauges.queue_depth));
  MetricFamily bytes = Gauge("bwrt_weight_bytes", "Weight bytes by state.");
  Add(&bytes, static_cast<double>(gauges.weights.committed), {{"state", "committed"}});
  Add(&bytes, static_cast<double>(gauges.weights.staged), {{"state", "staged"}});
  Add(&bytes, static_cast<double>(gauges.weights.retiring), {{"state", "retiring"}});
  Add(&bytes, static_cast<double>(gauges.weights.kept), {{"state", "kept"}});
  MetricFamily state_dir = Gauge("bwrt_state_dir_bytes", "Bytes of all files in the state directory.");
  if (runtime_->weights().durable()) Add(&state_dir, static_cast<double>(gauges.weights.state_directory));

  MetricFamily version = Gauge("bwrt_model_version", "The model's current version.");
  MetricFamily open = Gauge("bwrt_swap_window_open", "1 while the model's swap window is open.");
  MetricFamily closed = Gauge("bwrt_swap_window_closed_seconds", "Age of the window's current closure; 0 while open.");
  for (const auto& model : runtime_->weights().models().All()) {
    const std::vector<ClientMetric::Label> label = {{"model", model->name()}};
    Add(&version, static_cast<double>(model->version_number()), label);
    Add(&open, model->window_open() ? 1 : 0, label);
    Add(&closed, runtime::Seconds(model->closed_for()), label);
  }

  MetricFamily page_bytes;
  page_bytes.name = "bwrt_page_read_bytes_total";
  page_bytes.help = "Bytes read from page files.";
  page_bytes.type = MetricType::Counter;
  MetricFamily cached = Gauge("bwrt_page_cache_bytes", "Bytes in the page cache.");
  if (const runtime::Prefetcher* prefetcher = runtime_->prefetcher(); prefetcher != nullptr) {
    page_bytes.metric.emplace_back().counter.value = static_cast<double>(prefetcher->totals().bytes);
    Add(&cached, static_cast<double>(prefetcher->cache().used().value()));
  }

  MetricFamily wgmma = Gauge("bwrt_wgmma_active_ratio", "Tensor-core (CPU: micro-kernel) share of compute time.");
  MetricFamily tma = Gauge("bwrt_tma_occupancy_ratio", "Share of time with asynchronous copies outstanding.");
  MetricFamily l2 =
      Gauge("bwrt_l2_hit_ratio",
            "L2 hit ratio of operand reads. On the CPU device source=model is the last-level cache, which "
            "tiles share as a GPU's share its L2; source=hardware is the cores' own L2. On a GPU it is the L2, over "
            "the last interval of the counters.");
  MetricFamily llc =
      Gauge("bwrt_llc_hit_ratio", "Hit ratio in the processor's last-level cache, where its counters count that.");
  MetricFamily ring = Gauge("bwrt_ring_occupancy_ratio", "Mean fill of the operand ring.");
  MetricFamily sm =
      Gauge("bwrt_sm_active_ratio", "Share of the time of a GPU's SMs in which they had work, anybody's.");
  MetricFamily dram = Gauge("bwrt_dram_throughput_ratio", "Throughput of a GPU's memory over its peak.");
  for (const auto& device : runtime_->Devices()) {
    const auto sample = runtime_->GetSample(device.info->name);
    if (!sample.ok()) continue;
    const auto add = [&](MetricFamily* family, const std::optional<runtime::Reading>& reading) {
      if (!reading) return;
      Add(family, reading->ratio, {{"device", device.info->name}, {"source", Text(runtime::Name(reading->source))}});
    };
    add(&wgmma, sample->sample.readings.wgmma_active);
    add(&tma, sample->sample.readings.tma_occ);
    add(&l2, sample->sample.readings.l2_hit);
    add(&ring, sample->sample.readings.ring_occ);
    add(&l2, sample->sample.readings.l2_hit_hardware);
    add(&llc, sample->sample.readings.llc_hit_hardware);
    const auto add_counted = [&](MetricFamily* family, const std::optional<double>& ratio) {
      if (ratio) add(family, runtime::Reading{*ratio, runtime::Source::kHardware});
    };
    add_counted(&wgmma, sample->counters.wgmma_active);
    add_counted(&l2, sample->counters.l2_hit);
    add_counted(&sm, sample->counters.sm_active);
    add_counted(&dram, sample->counters.dram_throughput);
  }

  std::vector<MetricFamily> families;
  for (MetricFamily* family : {&in_flight, &depth, &bytes, &state_dir, &version, &open, &closed, &page_bytes, &cached,
                               &wgmma, &tma, &l2, &llc, &ring, &sm, &dram}) {
    // A series without a source is absent, and so is a family without series.
    if (!family->metric.empty()) families.push_back(std::move(*family));
  }
  return families;
}

}  // namespace bwrt::server
