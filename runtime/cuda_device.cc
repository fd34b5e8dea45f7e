#include "runtime/cuda_device.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>
#include <limits>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/cuda_plugin.h"
#include "runtime/cuda_tuning.h"
#include "runtime/cuda_wave.h"
#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

template <size_t N>
std::string Text(const char (&text)[N]) {
  return std::string(text, strnlen(text, N));
}

absl::Status NoMemory() {
  return MakeError(absl::StatusCode::kResourceExhausted, "NO_MEMORY", "no memory for the wave; retry later");
}

std::optional<Reading> Counted(float ratio) {
  if (!(ratio >= 0)) return std::nullopt;
  return Reading{std::min(static_cast<double>(ratio), 1.0), Source::kKernel};
}

DeviceInfo Describe(const BwrtCudaTable& table, const BwrtCudaInfo& info, int ordinal) {
  DeviceInfo out;
  out.name = absl::StrCat("cuda:", ordinal);
  out.description = absl::StrCat(Text(info.name), ", ", info.multiprocessors, " SMs, ", info.memory_bytes >> 20,
                                 " MiB of memory, ", info.l2_bytes >> 20, " MiB of L2");
  out.dtypes = {kernels::DType::kF32, kernels::DType::kF16, kernels::DType::kBF16, kernels::DType::kF8E4M3,
                kernels::DType::kF8E5M2};
  out.kernels = {"cublaslt", "bwrt_plain"};
  if (info.compute_major == 9 && info.compute_minor == 0) {
    out.kernels.insert(out.kernels.begin(), {"bwrt_wgmma", "bwrt_skinny"});
  }
  out.cache = {.name = absl::StrCat("L2 of ", info.l2_bytes >> 20, " MiB"),
               .bytes = info.l2_bytes,
               .tiles = std::max<int64_t>(info.multiprocessors, 1)};
  if (std::string driver = Text(info.nvidia_driver); !driver.empty()) {
    out.versions.emplace_back("nvidia_driver", std::move(driver));
  }
  out.versions.emplace_back("cuda_driver", Text(info.driver_version));
  out.versions.emplace_back("cuda_runtime", Text(info.runtime_version));
  out.versions.emplace_back("cublaslt", Text(info.cublaslt_version));
  out.versions.emplace_back("compute_capability", absl::StrCat(info.compute_major, ".", info.compute_minor));
  if (std::string checked = Text(info.own_kernel); !checked.empty()) {
    out.versions.emplace_back("hopper_kernel", std::move(checked));
  }
  out.versions.emplace_back("plugin", table.build);
  return out;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CudaDevice>> CudaDevice::Create(const BwrtCudaTable* table, CudaOptions options) {
  BwrtCudaOptions abi{};
  abi.size = sizeof(abi);
  abi.ordinal = options.ordinal;
  abi.memory_limit = options.memory_limit.value();
  abi.graphs = options.graphs;
  abi.kernel = options.kernel;
  abi.counters = options.kernel_counters ? 1 : 0;
  abi.poison = options.poison ? 1 : 0;
  auto connection = CudaConnection::Open(table, abi);
  if (!connection.ok()) return connection.status();
  return std::unique_ptr<CudaDevice>(new CudaDevice(*std::move(connection), std::move(options)));
}

CudaDevice::CudaDevice(std::shared_ptr<CudaConnection> connection, CudaOptions options)
    : connection_(std::move(connection)),
      options_(std::move(options)),
      info_(Describe(connection_->table(), connection_->info(), options_.ordinal)) {
  connection_->SetOnLost([this](const absl::Status& why) { OnLost(why); });
  if (options_.counters.clock != nullptr) {
    counters_ = std::make_unique<CudaCounterWatch>(connection_, options_.counters, &counting_);
  }
}

// Tensors may be freed after the device, but no wave runs any more.
CudaDevice::~CudaDevice() { connection_->SetOnLost(nullptr); }

DeviceCounters CudaDevice::Counters(size_t /*member*/) const {
  if (counters_ == nullptr) return {.text = "none: switched off"};
  return counters_->Read();
}

absl::StatusOr<std::shared_ptr<const DeviceTensor>> CudaDevice::Upload(HostTensor tensor, WeightBudget& budget) {
  if (absl::Status status = connection_->CheckServing(); !status.ok()) return status;
  const uint64_t epoch = connection_->epoch();
  auto made = CudaTensor::Create(connection_, std::move(tensor), options_.recreate, budget);
  if (!made.ok()) return made.status();
  if (options_.recreate) {
    MutexLock lock(mu_);
    if (tensors_.size() >= sweep_at_) {
      tensors_.erase(std::remove_if(tensors_.begin(), tensors_.end(), [](const auto& t) { return t.expired(); }),
                     tensors_.end());
      sweep_at_ = std::max<size_t>(64, 2 * tensors_.size());
    }
    tensors_.push_back(*made);
  }
  // A recovery that has already passed by did not know the tensor.
  if (connection_->epoch() != epoch) {
    return MakeError(absl::StatusCode::kUnavailable, "DEVICE_LOST",
                     "the CUDA device was lost while the tensor was uploaded; upload it again");
  }
  return *std::move(made);
}

Bytes CudaDevice::LayoutBytes(const TensorType& /*type*/, const DeviceTensor* /*predecessor*/) const {
  return Bytes(0);
}

absl::Status CudaDevice::Prepare(const DeviceTensor& /*tensor*/, const DeviceTensor* /*predecessor*/,
                                 WeightBudget::Reservation /*room*/) {
  return absl::OkStatus();
}

EffectiveSpec CudaDevice::ToSpec(const BwrtCudaEffective& effective) const {
  EffectiveSpec e;
  e.device = info_.name;
  e.kernel = Text(effective.kernel);
  e.k_step = effective.k_step;
  e.stages = effective.stages;
  e.cluster_x = effective.cluster_x;
  e.cluster_y = effective.cluster_y;
  e.traversal_honoured = effective.traversal_honoured != 0;
  const int notes = std::clamp(effective.note_count, 0, BWRT_CUDA_MAX_NOTES);
  for (int i = 0; i < notes; ++i) {
    const BwrtCudaNote& note = effective.notes[i];
    e.downgrades.push_back({Text(note.field), Text(note.requested), Text(note.executed), Text(note.reason)});
  }
  return e;
}

EffectiveSpec CudaDevice::Plan(const Wave& wave) const {
  const uint64_t epoch = connection_->epoch();
  absl::Status status = connection_->CheckServing();
  if (status.ok()) {
    CudaWave prepared(wave);
    BwrtCudaEffective effective{};
    effective.size = sizeof(effective);
    BwrtCudaError error{};
    const int32_t code = connection_->table().plan(connection_->device(), &prepared.abi(), &effective, &error);
    status = connection_->ToStatus(epoch, code, error);
    if (status.ok()) return ToSpec(effective);
  }
  EffectiveSpec e;
  e.device = info_.name;
  e.kernel = "none";
  e.traversal_honoured = false;
  e.downgrades.push_back({"device", info_.name, "none", std::string(status.message())});
  return e;
}

Bytes CudaDevice::WorkingBytes(const Wave& wave) const {
  // Rows are padded to 16 bytes at most; dimensions are capped, so that a row's size can't overflow.
  const auto matrix = [](int64_t rows, int64_t cols, kernels::DType dtype) {
    int64_t bytes = 0;
    if (__builtin_mul_overflow(rows, cols * kernels::SizeOf(dtype) + 16, &bytes)) bytes = int64_t{1} << 61;
    return std::min(bytes, int64_t{1} << 61);
  };
  int64_t sum = matrix(wave.grid.m, wave.k, wave.dtype) + matrix(wave.grid.m, wave.grid.n, wave.c_dtype);
  if (wave.w) sum += matrix(wave.k, wave.grid.n, wave.dtype);
  return Bytes(sum);
}

absl::StatusOr<WaveReport> CudaDevice::Run(const Wave& wave, const DeviceTensor* w, WaveProgress& progress,
                                           std::string& c) {
  const uint64_t epoch = connection_->epoch();
  if (absl::Status status = connection_->CheckServing(); !status.ok()) return status;
  try {
    if (wave.c.empty()) {
      c.assign(static_cast<size_t>(wave.c_bytes.value()), '\0');
    } else {
      c.assign(wave.c.data(), wave.c.size());
    }
    CudaWave prepared(wave);
    // Kept to the end, also if the tensor gets a new one meanwhile.
    std::shared_ptr<CudaBuffer> buffer;
    if (w != nullptr) {
      buffer = static_cast<const CudaTensor*>(w)->buffer();  // Every tensor this device is handed was uploaded by it.
      prepared.abi().w_buffer = buffer->handle();
    }
    prepared.abi().c = c.data();
    CudaTokens tokens(wave, progress);
    const BwrtCudaProgress callback{sizeof(callback), &tokens, &CudaTokens::Step};
    BwrtCudaReport abi{};
    abi.size = sizeof(abi);
    BwrtCudaError error{};
    const int32_t code = connection_->table().run(connection_->device(), &prepared.abi(), &callback, &abi, &error);
    if (code == BWRT_CUDA_STOPPED && !tokens.status().ok()) return tokens.status();
    if (absl::Status status = connection_->ToStatus(epoch, code, error); !status.ok()) return status;

    WaveReport report;
    report.effective = ToSpec(abi.effective);
    report.timings.compute = std::chrono::nanoseconds(abi.compute_ns);
    report.timings.copy = std::chrono::nanoseconds(abi.copy_ns);
    report.readings.wgmma_active = Counted(abi.wgmma_active);
    report.readings.tma_occ = Counted(abi.tma_occ);
    report.readings.l2_hit = Counted(abi.l2_hit);
    report.readings.ring_occ = Counted(abi.ring_occ);
    return report;
  } catch (const std::bad_alloc&) {
    return NoMemory();
  }
}

absl::StatusOr<std::optional<TunedAlgorithm>> CudaDevice::Tune(const Wave& wave, Duration budget,
                                                               WaveProgress& progress) {
  constexpr int kCandidates = 32;
  constexpr int kRepeats = 7;
  const uint64_t epoch = connection_->epoch();
  if (absl::Status status = connection_->CheckServing(); !status.ok()) return status;
  try {
    CudaWave prepared(wave);
    // As with a stored W, which waves that come often have.
    prepared.abi().w = nullptr;
    prepared.abi().w_stride = wave.w_transposed ? wave.k : wave.grid.n;
    BwrtCudaTuneOptions options{};
    options.size = sizeof(options);
    options.candidates = kCandidates;
    options.repeats = kRepeats;
    options.budget_ns = budget.count();
    struct Asking {
      WaveProgress& progress;
      absl::Status status;
      static int32_t Step(void* context, int64_t /*finished*/, int64_t /*started*/) {
        auto* const asking = static_cast<Asking*>(context);
        asking->status = asking->progress.Step(std::nullopt, std::nullopt);
        return asking->status.ok() ? 0 : 1;
      }
    } asking{progress, absl::OkStatus()};
    const BwrtCudaProgress callback{sizeof(callback), &asking, &Asking::Step};
    BwrtCudaTuneReport report{};
    report.size = sizeof(report);
    BwrtCudaError error{};
    const int32_t code =
        connection_->table().tune(connection_->device(), &prepared.abi(), &options, &callback, &report, &error);
    if (code == BWRT_CUDA_STOPPED && !asking.status.ok()) return asking.status;
    if (absl::Status status = connection_->ToStatus(epoch, code, error); !status.ok()) return status;
    if (report.candidates == 0) return std::optional<TunedAlgorithm>();
    TunedAlgorithm tuned;
    tuned.timed = report.timed;
    if (report.found != 0) {
      tuned.algorithm = Text(report.kernel);
      tuned.median = Duration(report.tuning.median_ns);
      tuned.first_choice = Duration(report.tuning.first_ns);
    }
    for (int i = 0; i < std::min<int>(report.rejected, std::size(report.wrong)); ++i) {
      tuned.rejected.push_back(Text(report.wrong[i]));
    }
    return std::optional(std::move(tuned));
  } catch (const std::bad_alloc&) {
    return NoMemory();
  }
}

std::vector<std::string> CudaDevice::Tunings() const {
  constexpr int64_t kMost = 4096;
  std::vector<BwrtCudaTuning> tunings(kMost);
  int64_t count = 0;
  BwrtCudaError error{};
  if (connection_->table().get_tunings(connection_->device(), tunings.data(), kMost, &count, &error) != BWRT_CUDA_OK) {
    return {};
  }
  std::vector<std::string> texts;
  for (int64_t i = 0; i < std::min(count, kMost); ++i) {
    texts.push_back(FormatCudaTuning(tunings[static_cast<size_t>(i)]));
  }
  return texts;
}

absl::Status CudaDevice::RestoreTuning(absl::string_view tuning) {
  const auto parsed = ParseCudaTuning(tuning);
  if (!parsed) return absl::InvalidArgumentError("no tuned algorithm as this daemon writes it");
  const uint64_t epoch = connection_->epoch();
  BwrtCudaError error{};
  const int32_t code = connection_->table().set_tuning(connection_->device(), &*parsed, &error);
  return connection_->ToStatus(epoch, code, error);
}

void CudaDevice::Tell(const absl::Status& state) const {
  if (options_.on_state) options_.on_state(state);
}

void CudaDevice::OnLost(const absl::Status& why) {
  // Not here: whoever met the error may hold what the recovery waits for.
  recovery_.Post([this, why] {
    Tell(why);
    if (!options_.recreate) return;
    if (absl::Status status = Recover(); !status.ok()) {
      return Tell(absl::UnavailableError(absl::StrCat("the CUDA context could not be re-created: ", status.message())));
    }
    Tell(absl::OkStatus());
  });
}

absl::Status CudaDevice::Recover() {
  if (absl::Status status = connection_->Recreate(); !status.ok()) return status;
  std::vector<std::weak_ptr<CudaTensor>> tensors;
  {
    MutexLock lock(mu_);
    tensors = tensors_;
  }
  for (const auto& weak : tensors) {
    const auto tensor = weak.lock();
    if (tensor == nullptr) continue;
    if (absl::Status status = tensor->Restore(); !status.ok()) return status;
  }
  connection_->MarkServing();
  return absl::OkStatus();
}

}  // namespace bwrt::runtime
