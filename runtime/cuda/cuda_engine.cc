#include "runtime/cuda/cuda_engine.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "kernels/dtype.h"
#include "runtime/cuda/cuda_probe.h"
#include "runtime/cuda/cuda_wave_run.h"

namespace bwrt::cuda {
namespace {

using SteadyClock = std::chrono::steady_clock;

int64_t SteadyNow() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(SteadyClock::now().time_since_epoch()).count();
}

// Whether every value of the bias can be written in C's 16-bit type.
bool BiasIsExact(const BwrtCudaWave& wave) {
  for (int64_t i = 0; i < wave.n; ++i) {
    const float value = wave.bias[i];
    const float narrow = wave.c_dtype == BWRT_CUDA_F16 ? kernels::FromF16(kernels::ToF16(value))
                                                       : kernels::FromBF16(kernels::ToBF16(value));
    if (narrow != value && value == value) return false;
  }
  return true;
}

void Describe(const CudaPlan& plan, const BwrtCudaWave& wave, BwrtCudaEffective* effective) {
  *effective = plan.effective;
  DescribePairs(plan, wave, effective);
  if (plan.matmul == nullptr || wave.bias == nullptr || wave.c_dtype == BWRT_CUDA_F32 || BiasIsExact(wave)) return;
  AddNote(effective, "bias", "f32", wave.c_dtype == BWRT_CUDA_F16 ? "f16" : "bf16",
          "cuBLASLt adds a bias of C's type: the values were rounded to it");
}

}  // namespace

class CudaEngine::Entry {
 public:
  explicit Entry(CudaEngine* engine) : engine_(engine) {
    {
      runtime::MutexLock lock(engine_->mu_);
      if (engine_->recreating_ || !engine_->lost_.ok()) {
        status_ =
            engine_->lost_.ok() ? CudaStatus(BWRT_CUDA_DEVICE_LOST, "its context is being re-created") : engine_->lost_;
        return;
      }
      ++engine_->inside_;
      counted_ = true;
    }
    status_ = engine_->Note(engine_->driver_->Enter());
  }
  ~Entry() {
    if (!counted_) return;
    runtime::MutexLock lock(engine_->mu_);
    if (--engine_->inside_ == 0) engine_->changed_.NotifyAll();
  }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  const CudaStatus& status() const { return status_; }

 private:
  CudaEngine* const engine_;
  bool counted_ = false;
  CudaStatus status_;
};

CudaEngine::CudaEngine(std::unique_ptr<CudaDriver> driver, const CudaEngineOptions& options)
    : driver_(std::move(driver)), options_(options), plans_(driver_.get(), &kernels_, options.plans, &tunings_) {}

CudaStatus CudaEngine::Create(std::unique_ptr<CudaDriver> driver, const CudaEngineOptions& options,
                              std::unique_ptr<CudaEngine>* to) {
  std::unique_ptr<CudaEngine> engine(new CudaEngine(std::move(driver), options));
  if (CudaStatus status = engine->Open(); !status.ok()) return status;
  *to = std::move(engine);
  return {};
}

CudaStatus CudaEngine::Open() {
  if (CudaStatus status = driver_->Enter(); !status.ok()) return status;
  if (CudaStatus status = driver_->Describe(&info_); !status.ok()) return status;
  if (info_.compute_major < 8) {
    return {BWRT_CUDA_OLD_DEVICE, std::string(info_.name) + " has compute capability " +
                                      std::to_string(info_.compute_major) + "." + std::to_string(info_.compute_minor) +
                                      "; the kernels need 8.0 or more"};
  }
  kernels_.wish = options_.kernel;
  kernels_.hopper = info_.compute_major == 9 && info_.compute_minor == 0;
  kernels_.multiprocessors = info_.multiprocessors;
  if (CudaStatus status = Probe(); !status.ok()) return status;
  int64_t limit = options_.memory_limit;
  if (limit == 0) {
    if (CudaStatus status = driver_->FreeMemory(&limit); !status.ok()) return status;
    limit = limit / 10 * 9;
  }
  info_.size = sizeof(info_);
  info_.pool_bytes = limit;
  pool_ = std::make_unique<CudaPool>(driver_.get(), limit);
  lanes_ = std::make_unique<CudaLanes>(driver_.get(), pool_.get(), options_.lane_piece, options_.graphs);
  return {};
}

CudaStatus CudaEngine::Probe() {
  const bool wanted = kernels_.wish == BWRT_CUDA_KERNEL_AUTO || kernels_.wish == BWRT_CUDA_KERNEL_OWN;
  std::string told;
  if (wanted && kernels_.hopper) {
    if (kernels_.all_off.empty()) {
      const auto seed = static_cast<uint32_t>(SteadyClock::now().time_since_epoch().count());
      if (ProbeWgmma(*driver_, seed, options_.counters, info_.multiprocessors, &kernels_).lost()) {
        // Of what was lost nothing is anybody's: on without the kernel.
        if (CudaStatus status = driver_->Reset(); !status.ok()) return status;
        if (CudaStatus status = driver_->Enter(); !status.ok()) return status;
      }
    }
    const size_t all = kernels::AllWgmmaKernels().size();
    if (!kernels_.all_off.empty()) {
      told = "off: " + kernels_.all_off;
    } else if (kernels_.off.empty()) {
      told = std::to_string(all) + " kernels checked";
    } else {
      told = std::to_string(kernels_.off.size()) + " of " + std::to_string(all) + " kernels are off, such as " +
             kernels::NameOf(*kernels_.off.begin()) + ": they disagree with the plain kernel or can't be launched";
    }
  }
  const size_t size = std::min(told.size(), sizeof(info_.own_kernel) - 1);
  std::copy_n(told.data(), size, info_.own_kernel);
  info_.own_kernel[size] = '\0';
  return {};
}

CudaEngine::~CudaEngine() {
  // The context may be another thread's current one only; without it the calls below would make a new one.
  (void)driver_->Enter().ok();
  bool lost = false;
  {
    runtime::MutexLock lock(mu_);
    lost = !lost_.ok();
  }
  if (lost && lanes_ != nullptr) {
    pool_->Forget();
    (void)Renew().ok();
  }
  Close(uploads_);
  Close(reads_);
  lanes_.reset();
  plans_.Clear();
  pool_.reset();
}

void CudaEngine::Close(Copier& copier) {
  runtime::MutexLock lock(copier.mu);
  copier.transfer.reset();
  if (copier.stream != nullptr) (void)driver_->DestroyStream(std::exchange(copier.stream, nullptr)).ok();
}

void CudaEngine::Abandon(Copier& copier) {
  runtime::MutexLock lock(copier.mu);
  if (copier.transfer != nullptr) copier.transfer->Abandon();
  copier.transfer.reset();
  copier.stream = nullptr;
}

CudaStatus CudaEngine::Renew() {
  CudaStatus status = driver_->Reset();
  if (status.ok()) status = driver_->Enter();
  Abandon(uploads_);
  Abandon(reads_);
  lanes_->Abandon();
  plans_.Clear();
  return status;
}

CudaStatus CudaEngine::Note(CudaStatus status) {
  if (!status.lost()) return status;
  runtime::MutexLock lock(mu_);
  if (lost_.ok()) lost_ = status;
  return status;
}

CudaStatus CudaEngine::Settle(Stream stream, CudaStatus status) {
  if (status.ok() || status.lost()) return status;
  const CudaStatus settled = driver_->SynchronizeStream(stream);
  if (settled.ok()) return status;
  // Nobody can say what the device still does with the caller's memory.
  return {BWRT_CUDA_DEVICE_LOST, "after \"" + status.text() + "\" its stream could not be run out: " + settled.text(),
          settled.cuda_code()};
}

CudaStatus CudaEngine::Ready(Copier& copier, int64_t piece) {
  if (copier.stream == nullptr) {
    if (CudaStatus status = driver_->CreateStream(/*high=*/false, &copier.stream); !status.ok()) return status;
  }
  return copier.transfer != nullptr ? CudaStatus() : CudaTransfer::Create(driver_.get(), piece, &copier.transfer);
}

CudaStatus CudaEngine::CheckRange(const CudaMemory& memory, int64_t offset, int64_t bytes) const {
  if (memory.context != context_.load(std::memory_order_acquire)) {
    return {BWRT_CUDA_INVALID, "the buffer belongs to a context that was lost"};
  }
  if (offset < 0 || bytes < 0 || offset > memory.bytes || bytes > memory.bytes - offset) {
    return {BWRT_CUDA_INVALID, "the range lies outside the buffer"};
  }
  return {};
}

CudaStatus CudaEngine::Allocate(int64_t bytes, CudaMemory* to) {
  const Entry entry(this);
  if (!entry.status().ok()) return entry.status();
  if (CudaStatus status = Note(pool_->Allocate(bytes, &to->at)); !status.ok()) return status;
  to->bytes = bytes;
  to->context = context_.load(std::memory_order_acquire);
  return {};
}

void CudaEngine::Free(const CudaMemory& memory) {
  // Under the lock, so that no Recreate comes in between. The pool only notes it.
  runtime::MutexLock lock(mu_);
  if (memory.context != context_.load(std::memory_order_acquire)) return;
  // First: what comes to lie there next must not be taken for it.
  lanes_->Forget(memory.at, memory.bytes);
  pool_->Free(memory.at, memory.bytes);
}

CudaStatus CudaEngine::Upload(const CudaMemory& memory, int64_t offset, const std::byte* from, int64_t bytes) {
  const Entry entry(this);
  if (!entry.status().ok()) return entry.status();
  if (CudaStatus status = CheckRange(memory, offset, bytes); !status.ok()) return status;
  runtime::MutexLock lock(uploads_.mu);
  if (CudaStatus status = Note(Ready(uploads_, options_.upload_piece)); !status.ok()) return status;
  const auto fill = [from](int64_t at, int64_t count, std::byte* to) { std::copy_n(from + at, count, to); };
  CudaStatus status = uploads_.transfer->ToDevice(memory.at + offset, bytes, fill, uploads_.stream);
  if (status.ok()) status = driver_->SynchronizeStream(uploads_.stream);
  return Note(Settle(uploads_.stream, std::move(status)));
}

CudaStatus CudaEngine::Read(const CudaMemory& memory, int64_t offset, std::byte* to, int64_t bytes) {
  const Entry entry(this);
  if (!entry.status().ok()) return entry.status();
  if (CudaStatus status = CheckRange(memory, offset, bytes); !status.ok()) return status;
  runtime::MutexLock lock(reads_.mu);
  if (CudaStatus status = Note(Ready(reads_, options_.read_piece)); !status.ok()) return status;
  const auto take = [to](int64_t at, int64_t count, const std::byte* from) { std::copy_n(from, count, to + at); };
  return Note(Settle(reads_.stream, reads_.transfer->ToHost(memory.at + offset, bytes, take, reads_.stream)));
}

CudaStatus CudaEngine::Plan(const BwrtCudaWave& wave, BwrtCudaEffective* effective) {
  const Entry entry(this);
  if (!entry.status().ok()) return entry.status();
  std::shared_ptr<const CudaPlan> plan;
  if (CudaStatus status = Note(plans_.Get(CudaPlanKey::Of(wave), &plan)); !status.ok()) return status;
  Describe(*plan, wave, effective);
  return {};
}

CudaStatus CudaEngine::Run(const BwrtCudaWave& wave, const CudaMemory* w, const BwrtCudaProgress& progress,
                           BwrtCudaReport* report) {
  const Entry entry(this);
  if (!entry.status().ok()) return entry.status();
  if (w != nullptr) {
    if (CudaStatus status = CheckRange(*w, 0, wave.n * wave.k * ElementBytes(wave.dtype)); !status.ok()) return status;
  }
  return WithLane(wave.priority > 0, [&](CudaLane& lane) { return RunOn(lane, wave, w, progress, report); });
}

CudaStatus CudaEngine::WithLane(bool high, const std::function<CudaStatus(CudaLane&)>& work) {
  std::unique_ptr<CudaLane> lane;
  if (CudaStatus status = Note(lanes_->Take(high, &lane)); !status.ok()) return status;
  CudaStatus status;
  try {
    status = work(*lane);
  } catch (...) {
    // No memory on the host; what was queued still has to come to its end.
    (void)Note(Settle(lane->stream(), {BWRT_CUDA_OUT_OF_HOST_MEMORY, ""})).ok();
    lane.reset();
    lanes_->GiveBack(nullptr);
    throw;
  }
  lanes_->GiveBack(std::move(lane));
  return Note(std::move(status));
}

CudaStatus CudaEngine::Tune(const BwrtCudaWave& wave, const BwrtCudaTuneOptions& options,
                            const BwrtCudaProgress& progress, CudaTuneResult* to) {
  const Entry entry(this);
  if (!entry.status().ok()) return entry.status();
  CudaPlanKey key = CudaPlanKey::Of(wave);
  key.activation = BWRT_CUDA_IDENTITY;
  key.bias = key.reads_c = false;
  if (!LtCanRun(key)) return {};
  // What the Hopper kernel runs has no algorithm to choose.
  std::shared_ptr<const CudaPlan> plan;
  if (CudaStatus planned = Note(plans_.Get(CudaPlanKey::Of(wave), &plan)); !planned.ok()) return planned;
  if (plan->matmul == nullptr) return {};
  CudaStatus status = WithLane(/*high=*/false, [&](CudaLane& lane) {
    CudaTuner tuner(driver_.get(), &lane, key, options, &progress, options_.now_ns ? options_.now_ns : SteadyNow,
                    info_.multiprocessors);
    return Settle(lane.stream(), tuner.Run(to));
  });
  if (!status.ok() || !to->tuning) return status;
  tunings_.Set(*to->tuning);
  // Waves that run keep theirs; a graph is captured with the algorithm that it launches.
  plans_.Clear();
  return {};
}

CudaStatus CudaEngine::SetTuning(const CudaTuning& tuning) {
  const Entry entry(this);
  if (!entry.status().ok()) return entry.status();
  std::unique_ptr<LtMatmul> matmul;
  if (CudaStatus status = Note(driver_->CreateMatmul(tuning.problem, &matmul)); !status.ok()) return status;
  bool legal = false;
  LtAlgorithm algorithm;
  if (matmul != nullptr) {
    CudaStatus status = Note(matmul->Check(tuning.config, kLtWorkspace, &legal, &algorithm));
    if (!status.ok()) return status;
  }
  if (!legal) return {BWRT_CUDA_INVALID, "cuBLASLt does not run the problem with this algorithm"};
  tunings_.Set(tuning);
  plans_.Clear();
  return {};
}

CudaStatus CudaEngine::RunOn(CudaLane& lane, const BwrtCudaWave& wave, const CudaMemory* w,
                             const BwrtCudaProgress& progress, BwrtCudaReport* report) {
  const auto begin = SteadyClock::now();
  std::shared_ptr<const CudaPlan> plan;
  if (CudaStatus status = plans_.Get(CudaPlanKey::Of(wave), &plan); !status.ok()) return status;
  CudaWaveRun run(driver_.get(), &lane, plan.get(), &wave, w == nullptr ? nullptr : w->at, &progress,
                  info_.multiprocessors, options_.counters, options_.poison);
  CudaStatus status = Settle(lane.stream(), run.Run());
  if (!status.ok()) return status;
  const auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(SteadyClock::now() - begin).count();
  report->compute_ns = run.compute_ns();
  report->copy_ns = took > run.compute_ns() ? took - run.compute_ns() : 0;
  report->wgmma_active = run.ratios().wgmma_active;
  report->tma_occ = run.ratios().tma_occ;
  report->ring_occ = run.ratios().ring_occ;
  report->l2_hit = -1;  // No kernel sees it.
  Describe(*plan, wave, &report->effective);
  return {};
}

CudaStatus CudaEngine::Recreate() {
  {
    runtime::MutexLock lock(mu_);
    if (lost_.ok() || recreating_) return {BWRT_CUDA_INVALID, "the device is not lost"};
    recreating_ = true;
    while (inside_ > 0) changed_.Wait(mu_);
    // From here on buffers of the old context are foreign.
    context_.fetch_add(1, std::memory_order_release);
    pool_->Forget();
  }
  CudaStatus status = Renew();
  if (status.ok()) status = Probe();
  runtime::MutexLock lock(mu_);
  recreating_ = false;
  lost_ = status.ok() ? CudaStatus() : CudaStatus(BWRT_CUDA_DEVICE_LOST, status.text(), status.cuda_code());
  return lost_;
}

}  // namespace bwrt::cuda
