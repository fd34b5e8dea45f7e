#include "runtime/cuda/cupti_pm_sampler.h"

#include <string>
#include <utility>

namespace bwrt::cuda {
namespace {

// What the GPU writes samples into; a sample of all units takes some tens of KiB.
constexpr size_t kHardwareBuffer = size_t{64} << 20;

}  // namespace

CuptiPmSampler::CuptiPmSampler(int ordinal, std::function<CounterStatus(CuptiLibrary* to)> load,
                               std::function<CounterStatus()> enter)
    : ordinal_(static_cast<size_t>(ordinal)), load_(std::move(load)), enter_(std::move(enter)) {}

CuptiPmSampler::~CuptiPmSampler() { Close(); }

CounterStatus CuptiPmSampler::Open(const PmSamplerOptions& options) {
  if (!loaded_) {
    if (CounterStatus status = load_(&cupti_); !status.ok()) return status;
    loaded_ = true;
  }
  if (CounterStatus status = enter_(); !status.ok()) return status;
  if (CounterStatus status = Configure(); !status.ok()) return status;
  if (host_->passes() != 1) {
    return {CounterFault::kMissing,
            "the metrics need " + std::to_string(host_->passes()) + " passes on this GPU, PM sampling has 1"};
  }
  return Begin(options);
}

CounterStatus CuptiPmSampler::Configure() {
  CUpti_Profiler_Initialize_Params initialize{};
  initialize.structSize = CUpti_Profiler_Initialize_Params_STRUCT_SIZE;
  // Where it fails, as without a driver, the chip must not be asked for: CUPTI 13.0 crashes.
  if (CounterStatus status = cupti_.Check("cuptiProfilerInitialize", cupti_.profiler_initialize(&initialize));
      !status.ok()) {
    return status;
  }
  CUpti_Device_GetChipName_Params chip{};
  chip.structSize = CUpti_Device_GetChipName_Params_STRUCT_SIZE;
  chip.deviceIndex = ordinal_;
  if (CounterStatus status = cupti_.Check("cuptiDeviceGetChipName", cupti_.get_chip_name(&chip)); !status.ok()) {
    return status;
  }
  CUpti_PmSampling_GetCounterAvailability_Params available{};
  available.structSize = CUpti_PmSampling_GetCounterAvailability_Params_STRUCT_SIZE;
  available.deviceIndex = ordinal_;
  constexpr char kCall[] = "cuptiPmSamplingGetCounterAvailability";
  if (CounterStatus status = cupti_.Check(kCall, cupti_.get_counter_availability(&available)); !status.ok()) {
    return status;
  }
  availability_.resize(available.counterAvailabilityImageSize);
  available.pCounterAvailabilityImage = availability_.data();
  if (CounterStatus status = cupti_.Check(kCall, cupti_.get_counter_availability(&available)); !status.ok()) {
    return status;
  }
  return CuptiHost::Create(&cupti_, chip.pChipName, availability_.data(),
                           {kPmMetricNames.begin(), kPmMetricNames.end()}, &host_);
}

CounterStatus CuptiPmSampler::Begin(const PmSamplerOptions& options) {
  CUpti_PmSampling_Enable_Params enable{};
  enable.structSize = CUpti_PmSampling_Enable_Params_STRUCT_SIZE;
  enable.deviceIndex = ordinal_;
  if (CounterStatus status = cupti_.Check("cuptiPmSamplingEnable", cupti_.enable(&enable)); !status.ok()) {
    return status;
  }
  sampling_ = enable.pPmSamplingObject;
  CUpti_PmSampling_SetConfig_Params config{};
  config.structSize = CUpti_PmSampling_SetConfig_Params_STRUCT_SIZE;
  config.pPmSamplingObject = sampling_;
  config.configSize = host_->config().size();
  config.pConfig = host_->config().data();
  config.hardwareBufferSize = kHardwareBuffer;
  config.samplingInterval = static_cast<uint64_t>(options.period_ns);
  config.triggerMode = CUPTI_PM_SAMPLING_TRIGGER_MODE_GPU_TIME_INTERVAL;
  config.hwBufferAppendMode = CUPTI_PM_SAMPLING_HARDWARE_BUFFER_APPEND_MODE_KEEP_OLDEST;
  if (CounterStatus status = cupti_.Check("cuptiPmSamplingSetConfig", cupti_.set_config(&config)); !status.ok()) {
    return status;
  }
  CUpti_PmSampling_GetCounterDataSize_Params size{};
  size.structSize = CUpti_PmSampling_GetCounterDataSize_Params_STRUCT_SIZE;
  size.pPmSamplingObject = sampling_;
  size.pMetricNames = host_->metrics().data();
  size.numMetrics = host_->metrics().size();
  size.maxSamples = options.most_samples;
  if (CounterStatus status = cupti_.Check("cuptiPmSamplingGetCounterDataSize", cupti_.get_counter_data_size(&size));
      !status.ok()) {
    return status;
  }
  data_.resize(size.counterDataSize);
  if (CounterStatus status = ClearData(); !status.ok()) return status;
  CUpti_PmSampling_Start_Params start{};
  start.structSize = CUpti_PmSampling_Start_Params_STRUCT_SIZE;
  start.pPmSamplingObject = sampling_;
  if (CounterStatus status = cupti_.Check("cuptiPmSamplingStart", cupti_.start(&start)); !status.ok()) return status;
  started_ = true;
  return {};
}

CounterStatus CuptiPmSampler::Decode(std::vector<PmSample>* to) {
  CUpti_PmSampling_DecodeData_Params decode{};
  decode.structSize = CUpti_PmSampling_DecodeData_Params_STRUCT_SIZE;
  decode.pPmSamplingObject = sampling_;
  decode.pCounterDataImage = data_.data();
  decode.counterDataImageSize = data_.size();
  if (CounterStatus status = cupti_.Check("cuptiPmSamplingDecodeData", cupti_.decode(&decode)); !status.ok()) {
    return status;
  }
  if (decode.overflow != 0) return {CounterFault::kFailed, "the GPU's buffer overflowed: it was read too late"};
  CUpti_PmSampling_GetCounterDataInfo_Params info{};
  info.structSize = CUpti_PmSampling_GetCounterDataInfo_Params_STRUCT_SIZE;
  info.pCounterDataImage = data_.data();
  info.counterDataImageSize = data_.size();
  if (CounterStatus status = cupti_.Check("cuptiPmSamplingGetCounterDataInfo", cupti_.get_counter_data_info(&info));
      !status.ok()) {
    return status;
  }
  for (size_t i = 0; i < info.numCompletedSamples; ++i) {
    if (CounterStatus status = Append(i, to); !status.ok()) return status;
  }
  // Else the next call would tell them again.
  return ClearData();
}

CounterStatus CuptiPmSampler::Append(size_t sample, std::vector<PmSample>* to) {
  CUpti_PmSampling_CounterData_GetSampleInfo_Params when{};
  when.structSize = CUpti_PmSampling_CounterData_GetSampleInfo_Params_STRUCT_SIZE;
  when.pPmSamplingObject = sampling_;
  when.pCounterDataImage = data_.data();
  when.counterDataImageSize = data_.size();
  when.sampleIndex = sample;
  if (CounterStatus status = cupti_.Check("cuptiPmSamplingCounterDataGetSampleInfo", cupti_.get_sample_info(&when));
      !status.ok()) {
    return status;
  }
  PmSample out;
  out.begin_ns = when.startTimestamp;
  out.end_ns = when.endTimestamp;
  CounterStatus status = host_->Evaluate(data_, sample, out.values.data());
  if (status.ok()) to->push_back(out);
  return status;
}

CounterStatus CuptiPmSampler::ClearData() {
  CUpti_PmSampling_CounterDataImage_Initialize_Params params{};
  params.structSize = CUpti_PmSampling_CounterDataImage_Initialize_Params_STRUCT_SIZE;
  params.pPmSamplingObject = sampling_;
  params.counterDataSize = data_.size();
  params.pCounterData = data_.data();
  return cupti_.Check("cuptiPmSamplingCounterDataImageInitialize", cupti_.initialize_counter_data(&params));
}

void CuptiPmSampler::Close() {
  if (std::exchange(started_, false)) {
    CUpti_PmSampling_Stop_Params stop{};
    stop.structSize = CUpti_PmSampling_Stop_Params_STRUCT_SIZE;
    stop.pPmSamplingObject = sampling_;
    (void)cupti_.stop(&stop);
  }
  if (sampling_ != nullptr) {
    CUpti_PmSampling_Disable_Params disable{};
    disable.structSize = CUpti_PmSampling_Disable_Params_STRUCT_SIZE;
    disable.pPmSamplingObject = std::exchange(sampling_, nullptr);
    (void)cupti_.disable(&disable);
  }
  host_.reset();
  data_ = {};
}

}  // namespace bwrt::cuda
