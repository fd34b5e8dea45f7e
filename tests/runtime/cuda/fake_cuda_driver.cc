#include "tests/runtime/cuda/fake_cuda_driver.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>

#include "runtime/cuda/cublaslt_numbers.h"
#include "runtime/cuda/cuda_plan.h"
#include "tests/runtime/cuda/fake_kernels.h"

namespace bwrt::cuda {
namespace {

constexpr int kPoison = 0xff;  // A NaN in every type.

int64_t Extent(int64_t rows, int64_t cols, int64_t ld, int32_t dtype) {
  return ((rows - 1) * ld + cols) * ElementBytes(dtype);
}

}  // namespace

FakeGpu::FakeGpu() {
  info.compute_major = 9;
  info.multiprocessors = 2;
  info.memory_bytes = int64_t{1} << 30;
  info.l2_bytes = int64_t{50} << 20;
  std::strcpy(info.name, "Fake H200");
  std::strcpy(info.nvidia_driver, "580.65.06");
  std::strcpy(info.driver_version, "13.0");
  std::strcpy(info.runtime_version, "13.0");
  std::strcpy(info.cublaslt_version, "13.1.0");
  recommended = {{66, 20, 35, 3, 0}, {66, 23, 35, 5, 0}};
  stages = {35};
  legal = [](const LtConfig& c) {
    const bool tile = c.tile == 20 || c.tile == 23 || c.tile == 24;
    const bool cluster = c.cluster == 0 || c.cluster == 2 || c.cluster == 3 || c.cluster == 5;
    return c.id == 66 && tile && cluster && (c.stages == 35 || c.stages == 0);
  };
}

FakeGpu::~FakeGpu() {
  runtime::MutexLock lock(mu_);
  DropAll();
}

void FakeGpu::DropAll() {
  for (const auto& [at, bytes] : device_) std::free(const_cast<std::byte*>(at));
  for (const auto& [at, bytes] : pinned_) std::free(const_cast<std::byte*>(at));
  device_.clear();
  pinned_.clear();
  streams_.clear();
  events_.clear();
  graphs_.clear();
}

void FakeGpu::FailCall(int64_t number, BwrtCudaCode code) {
  runtime::MutexLock lock(mu_);
  calls_ = 0;
  fail_at_ = number;
  fail_code_ = code;
  failed_ = false;
}
void FakeGpu::FailNext(const std::string& name, BwrtCudaCode code) {
  runtime::MutexLock lock(mu_);
  fail_names_[name] = code;
}
int64_t FakeGpu::calls() const {
  runtime::MutexLock lock(mu_);
  return calls_;
}
bool FakeGpu::failed() const {
  runtime::MutexLock lock(mu_);
  return failed_;
}
std::vector<std::string> FakeGpu::log() const {
  runtime::MutexLock lock(mu_);
  return log_;
}
void FakeGpu::ClearLog() {
  runtime::MutexLock lock(mu_);
  log_.clear();
}
std::vector<std::string> FakeGpu::violations() const {
  runtime::MutexLock lock(mu_);
  return violations_;
}
int64_t FakeGpu::memory_in_use() const {
  runtime::MutexLock lock(mu_);
  int64_t sum = 0;
  for (const auto& [at, bytes] : device_) sum += bytes;
  return sum;
}

int64_t FakeGpu::counting_launches() const {
  runtime::MutexLock lock(mu_);
  return counting_launches_;
}
bool FakeGpu::busy() const {
  runtime::MutexLock lock(mu_);
  return std::any_of(streams_.begin(), streams_.end(), [](const auto& s) { return !s.second.waiting.empty(); });
}
std::string FakeGpu::leftovers() const {
  runtime::MutexLock lock(mu_);
  std::string left;
  const auto add = [&](const char* what, int64_t count) {
    if (count != 0) left += std::string(what) + ": " + std::to_string(count) + "; ";
  };
  add("device memory", static_cast<int64_t>(device_.size()));
  add("pinned memory", static_cast<int64_t>(pinned_.size()));
  add("streams", static_cast<int64_t>(streams_.size()));
  add("events", static_cast<int64_t>(events_.size()));
  add("graphs", static_cast<int64_t>(graphs_.size()));
  add("matmuls", matmuls_);
  return left;
}

CudaStatus FakeGpu::Count(const char* call) {
  ++calls_;
  log_.emplace_back(call);
  if (lost_) return {BWRT_CUDA_DEVICE_LOST, std::string(call) + ": lost", 700};
  BwrtCudaCode code = fail_code_;
  if (const auto named = fail_names_.find(call); named != fail_names_.end()) {
    code = named->second;
    fail_names_.erase(named);
  } else if (calls_ != fail_at_) {
    return {};
  }
  failed_ = true;
  lost_ = code == BWRT_CUDA_DEVICE_LOST;
  return {code, std::string(call) + " failed as asked", lost_ ? 700 : 1};
}

void FakeGpu::Push(Stream stream, Operation operation) {
  const auto at = streams_.find(stream);
  if (at == streams_.end()) {
    violations_.push_back(operation.name + " on a stream that is not there");
    return;
  }
  if (at->second.capturing) {
    at->second.captured.push_back(std::move(operation));
  } else {
    at->second.ns += operation.ns;
    at->second.waiting.push_back(std::move(operation));
  }
}

void FakeGpu::RunUntil(Stream stream, int64_t position) {
  const auto at = streams_.find(stream);
  if (at == streams_.end()) return;
  Queue& queue = at->second;
  while (!queue.waiting.empty() && queue.done < position) {
    const Operation operation = std::move(queue.waiting.front());
    queue.waiting.pop_front();
    ++queue.done;
    if (operation.name == "Launch" || operation.name == "Wgmma" || operation.name == "Matmul")
      log_.push_back("run " + operation.name);
    operation.run();
  }
}

void FakeGpu::CheckRange(const char* what, Range range, bool device) {
  const auto& memory = device ? device_ : pinned_;
  auto at = memory.upper_bound(range.begin);
  if (at != memory.begin()) {
    --at;
    if (range.begin + range.bytes <= at->first + at->second) return;
  }
  violations_.push_back(std::string(what) + " uses memory that is not there");
}

void FakeGpu::CheckUnused(const char* what, Range range) {
  for (const auto& [stream, queue] : streams_) {
    for (const Operation& operation : queue.waiting) {
      for (const Range& use : operation.uses) {
        if (use.begin < range.begin + range.bytes && range.begin < use.begin + use.bytes) {
          violations_.push_back(std::string(what) + " while " + operation.name + " is queued");
          return;
        }
      }
    }
  }
}

// Each function takes the GPU's lock, counts the call and leaves if it is to fail.
#define FAKE_CALL(name)               \
  runtime::MutexLock lock(gpu_->mu_); \
  if (CudaStatus status = gpu_->Count(name); !status.ok()) return status

CudaStatus FakeCudaDriver::Enter() {
  FAKE_CALL("Enter");
  return {};
}
CudaStatus FakeCudaDriver::Describe(BwrtCudaInfo* info) {
  FAKE_CALL("Describe");
  *info = gpu_->info;
  return {};
}
CudaStatus FakeCudaDriver::FreeMemory(int64_t* bytes) {
  FAKE_CALL("FreeMemory");
  *bytes = gpu_->memory;
  return {};
}
CudaStatus FakeCudaDriver::Reset() {
  runtime::MutexLock lock(gpu_->mu_);
  const bool was_lost = std::exchange(gpu_->lost_, false);
  if (CudaStatus status = gpu_->Count("Reset"); !status.ok()) {
    gpu_->lost_ = was_lost;
    return status;
  }
  gpu_->DropAll();
  return {};
}

CudaStatus FakeCudaDriver::Allocate(int64_t bytes, DevicePtr* to) {
  FAKE_CALL("Allocate");
  int64_t used = 0;
  for (const auto& [at, size] : gpu_->device_) used += size;
  if (bytes > gpu_->memory - used) return {BWRT_CUDA_OUT_OF_DEVICE_MEMORY, "the fake GPU is full", 2};
  *to = static_cast<std::byte*>(std::aligned_alloc(256, static_cast<size_t>((bytes + 255) / 256 * 256)));
  std::memset(*to, kPoison, static_cast<size_t>(bytes));
  gpu_->device_[*to] = bytes;
  return {};
}
CudaStatus FakeCudaDriver::AllocatePinned(int64_t bytes, std::byte** to) {
  FAKE_CALL("AllocatePinned");
  *to = static_cast<std::byte*>(std::malloc(static_cast<size_t>(bytes)));
  std::memset(*to, kPoison, static_cast<size_t>(bytes));
  gpu_->pinned_[*to] = bytes;
  return {};
}

// What gives something back does so even where it answers an error, as CUDA's own do as a rule.
CudaStatus FakeCudaDriver::Free(DevicePtr memory) {
  runtime::MutexLock lock(gpu_->mu_);
  if (const auto at = gpu_->device_.find(memory); at != gpu_->device_.end()) {
    if (!gpu_->lost_) gpu_->CheckUnused("Free", {memory, at->second});
    gpu_->device_.erase(at);
    std::free(memory);
  } else if (!gpu_->lost_) {
    gpu_->violations_.emplace_back("Free of what is no memory");
  }
  return gpu_->Count("Free");
}
CudaStatus FakeCudaDriver::FreePinned(std::byte* memory) {
  runtime::MutexLock lock(gpu_->mu_);
  if (const auto at = gpu_->pinned_.find(memory); at != gpu_->pinned_.end()) {
    if (!gpu_->lost_) gpu_->CheckUnused("FreePinned", {memory, at->second});
    gpu_->pinned_.erase(at);
    std::free(memory);
  } else if (!gpu_->lost_) {
    gpu_->violations_.emplace_back("FreePinned of what is no memory");
  }
  return gpu_->Count("FreePinned");
}

CudaStatus FakeCudaDriver::CreateStream(bool high, Stream* to) {
  FAKE_CALL(high ? "CreateStream high" : "CreateStream");
  *to = reinterpret_cast<Stream>(++gpu_->next_handle_);
  gpu_->streams_[*to];
  return {};
}
CudaStatus FakeCudaDriver::DestroyStream(Stream stream) {
  runtime::MutexLock lock(gpu_->mu_);
  const auto at = gpu_->streams_.find(stream);
  if (at == gpu_->streams_.end() || (!at->second.waiting.empty() && !gpu_->lost_)) {
    gpu_->violations_.emplace_back("DestroyStream of what is no stream, or has work queued");
  }
  gpu_->streams_.erase(stream);
  return gpu_->Count("DestroyStream");
}
CudaStatus FakeCudaDriver::CreateEvent(Event* to) {
  FAKE_CALL("CreateEvent");
  *to = reinterpret_cast<Event>(++gpu_->next_handle_);
  gpu_->events_[*to];
  return {};
}
CudaStatus FakeCudaDriver::DestroyEvent(Event event) {
  runtime::MutexLock lock(gpu_->mu_);
  if (gpu_->events_.erase(event) == 0) gpu_->violations_.emplace_back("DestroyEvent of what is no event");
  return gpu_->Count("DestroyEvent");
}

CudaStatus FakeCudaDriver::CopyToDevice(DevicePtr to, const std::byte* pinned, int64_t bytes, Stream stream) {
  FAKE_CALL("CopyToDevice");
  gpu_->CheckRange("CopyToDevice", {to, bytes}, true);
  gpu_->CheckRange("CopyToDevice", {pinned, bytes}, false);
  gpu_->Push(stream, {"CopyToDevice", {{to, bytes}, {pinned, bytes}}, [=] {
                        std::memcpy(to, pinned, static_cast<size_t>(bytes));
                      }});
  return {};
}
CudaStatus FakeCudaDriver::CopyToHost(std::byte* pinned, const std::byte* from, int64_t bytes, Stream stream) {
  FAKE_CALL("CopyToHost");
  gpu_->CheckRange("CopyToHost", {from, bytes}, true);
  gpu_->CheckRange("CopyToHost", {pinned, bytes}, false);
  gpu_->Push(stream, {"CopyToHost", {{from, bytes}, {pinned, bytes}}, [=] {
                        std::memcpy(pinned, from, static_cast<size_t>(bytes));
                      }});
  return {};
}
CudaStatus FakeCudaDriver::Fill(DevicePtr to, std::byte value, int64_t bytes, Stream stream) {
  FAKE_CALL("Fill");
  gpu_->CheckRange("Fill", {to, bytes}, true);
  gpu_->Push(stream, {"Fill", {{to, bytes}}, [=] {
                        std::memset(to, std::to_integer<int>(value), static_cast<size_t>(bytes));
                      }});
  return {};
}
CudaStatus FakeCudaDriver::Record(Event event, Stream stream) {
  FAKE_CALL("Record");
  const auto at = gpu_->streams_.find(stream);
  const auto recorded = gpu_->events_.find(event);
  if (at == gpu_->streams_.end() || recorded == gpu_->events_.end()) {
    gpu_->violations_.emplace_back("Record of what is no event, or on no stream");
    return {};
  }
  if (at->second.capturing) gpu_->violations_.emplace_back("Record while a graph is captured");
  recorded->second = {stream, at->second.done + static_cast<int64_t>(at->second.waiting.size()), at->second.ns};
  return {};
}
CudaStatus FakeCudaDriver::Synchronize(Event event) {
  FAKE_CALL("Synchronize");
  const auto at = gpu_->events_.find(event);
  if (at == gpu_->events_.end()) {
    gpu_->violations_.emplace_back("Synchronize with what is no event");
  } else if (at->second.stream != nullptr) {
    gpu_->RunUntil(at->second.stream, at->second.position);
  }
  return {};
}
CudaStatus FakeCudaDriver::SynchronizeStream(Stream stream) {
  FAKE_CALL("SynchronizeStream");
  if (const auto at = gpu_->streams_.find(stream); at != gpu_->streams_.end() && at->second.capturing) {
    gpu_->violations_.emplace_back("SynchronizeStream while a graph is captured");
  }
  gpu_->RunUntil(stream, std::numeric_limits<int64_t>::max());
  return {};
}
CudaStatus FakeCudaDriver::Elapsed(Event begin, Event end, int64_t* ns) {
  FAKE_CALL("Elapsed");
  for (const Event event : {begin, end}) {
    const FakeGpu::Recorded& recorded = gpu_->events_[event];
    if (recorded.stream == nullptr || gpu_->streams_[recorded.stream].done < recorded.position) {
      gpu_->violations_.emplace_back("Elapsed of an event that has not passed");
    }
  }
  *ns = gpu_->time ? gpu_->events_[end].ns - gpu_->events_[begin].ns : 1000;
  return {};
}

CudaStatus FakeCudaDriver::LaunchPlain(const kernels::PlainGemm& g, Stream stream) {
  FAKE_CALL("Launch");
  const auto range = [](const void* at, int64_t bytes) {
    return FakeGpu::Range{static_cast<const std::byte*>(at), bytes};
  };
  std::vector<FakeGpu::Range> uses = {
      range(g.a, Extent(g.m, g.k, g.lda, g.dtype)),
      range(g.w, g.w_transposed ? Extent(g.n, g.k, g.ldw, g.dtype) : Extent(g.k, g.n, g.ldw, g.dtype)),
      range(g.c, Extent(g.m, g.n, g.ldc, g.c_dtype)), range(g.ticket, sizeof(*g.ticket))};
  if (g.bias != nullptr) uses.push_back(range(g.bias, g.n * 4));
  if (g.tiles != nullptr) uses.push_back(range(g.tiles + g.first, g.count * 4));
  for (const FakeGpu::Range& use : uses) gpu_->CheckRange("Launch", use, true);
  FakeGpu* const gpu = gpu_;
  gpu_->Push(stream, {"Launch", uses, [g, gpu] {
                        if (*g.ticket != 0) gpu->violations_.emplace_back("Launch with a ticket that is not zero");
                        ComputePlain(g);
                      }});
  return {};
}

CudaStatus FakeCudaDriver::LaunchWgmma(const kernels::WgmmaGemm& g, Stream stream) {
  FAKE_CALL("Wgmma");
  const auto range = [](const void* at, int64_t bytes) {
    return FakeGpu::Range{static_cast<const std::byte*>(at), bytes};
  };
  const auto& kernel = g.kernel;
  std::vector<FakeGpu::Range> uses = {
      range(g.a, Extent(g.m, g.k, g.lda, kernel.dtype)),
      range(g.w, kernel.w_transposed ? Extent(g.n, g.k, g.ldw, kernel.dtype) : Extent(g.k, g.n, g.ldw, kernel.dtype)),
      range(g.c, Extent(g.m, g.n, g.ldc, kernel.c_dtype))};
  if (g.bias != nullptr) uses.push_back(range(g.bias, g.n * 4));
  if (g.tiles != nullptr) uses.push_back(range(g.tiles + g.first, g.count * 4));
  if (g.counts != nullptr) {
    ++gpu_->counting_launches_;
    uses.push_back(range(g.counts, gpu_->info.multiprocessors * int64_t{sizeof(kernels::WgmmaCounts)}));
  }
  if (g.splits > 1) {
    uses.push_back(range(g.slots, kernels::SlotsOf(g) * 4));
    uses.push_back(range(g.partials, kernels::PartialBytes(g.m, g.n, g.splits)));
  }
  for (const FakeGpu::Range& use : uses) gpu_->CheckRange("Wgmma", use, true);
  for (const kernels::WgmmaMap& map : kernels::MapsOf(g)) {
    if (map.pitch % 16 != 0 || reinterpret_cast<uintptr_t>(map.base) % 16 != 0) {
      gpu_->violations_.emplace_back("Wgmma with an operand that TMA does not take");
    }
  }
  if (gpu_->info.compute_major != 9) gpu_->violations_.emplace_back("Wgmma on a device that has none");
  if (g.stages < 2 || g.stages > kernels::MostStagesOf(kernel)) {
    gpu_->violations_.emplace_back("Wgmma with stages that do not fit");
  }
  FakeGpu* const gpu = gpu_;
  gpu_->Push(stream, {"Wgmma", uses, [g, gpu] {
                        for (int64_t i = 0; g.splits > 1 && i < kernels::SlotsOf(g); ++i) {
                          if (g.slots[i] != 0) gpu->violations_.emplace_back("Wgmma with slots that are not zero");
                        }
                        if (g.counts != nullptr && g.counts->elapsed != 0) {
                          gpu->violations_.emplace_back("Wgmma with counts that are not zero");
                        }
                        if (g.splits > 1) {
                          std::memset(g.partials, kPoison,
                                      static_cast<size_t>(kernels::PartialBytes(g.m, g.n, g.splits)));
                        }
                        ComputeWgmma(g);
                        if (gpu->after_wgmma) gpu->after_wgmma(g);
                      }});
  return {};
}

CudaStatus FakeCudaDriver::BeginCapture(Stream stream) {
  FAKE_CALL("BeginCapture");
  FakeGpu::Queue& queue = gpu_->streams_[stream];
  if (queue.capturing) gpu_->violations_.emplace_back("BeginCapture while a graph is captured");
  queue.capturing = true;
  return {};
}
CudaStatus FakeCudaDriver::EndCapture(Stream stream, Graph* graph) {
  runtime::MutexLock lock(gpu_->mu_);
  FakeGpu::Queue& queue = gpu_->streams_[stream];
  if (!queue.capturing && !gpu_->lost_) gpu_->violations_.emplace_back("EndCapture without a beginning");
  queue.capturing = false;
  std::vector<FakeGpu::Operation> captured = std::exchange(queue.captured, {});
  const char* const call = graph == nullptr    ? "EndCapture away"
                           : *graph == nullptr ? "EndCapture"
                                               : "EndCapture update";
  if (CudaStatus status = gpu_->Count(call); !status.ok()) return status;
  if (graph == nullptr) return {};
  if (*graph == nullptr) *graph = reinterpret_cast<Graph>(++gpu_->next_handle_);
  gpu_->graphs_[*graph] = std::move(captured);
  return {};
}
CudaStatus FakeCudaDriver::LaunchGraph(Graph graph, Stream stream) {
  FAKE_CALL("LaunchGraph");
  const auto at = gpu_->graphs_.find(graph);
  if (at == gpu_->graphs_.end()) {
    gpu_->violations_.emplace_back("LaunchGraph of what is no graph");
    return {};
  }
  for (const FakeGpu::Operation& operation : at->second) {
    for (const FakeGpu::Range& use : operation.uses) gpu_->CheckRange("LaunchGraph", use, true);
    gpu_->Push(stream, operation);
  }
  return {};
}
CudaStatus FakeCudaDriver::DestroyGraph(Graph graph) {
  runtime::MutexLock lock(gpu_->mu_);
  if (gpu_->graphs_.erase(graph) == 0 && !gpu_->lost_) {
    gpu_->violations_.emplace_back("DestroyGraph of what is no graph");
  }
  return gpu_->Count("DestroyGraph");
}

class FakeMatmul final : public LtMatmul {
 public:
  FakeMatmul(FakeGpu* gpu, const LtProblem& problem) : gpu_(gpu), problem_(problem) {}
  ~FakeMatmul() override {
    runtime::MutexLock lock(gpu_->mu_);
    --gpu_->matmuls_;
  }

  CudaStatus Heuristics(int64_t workspace, int count, std::vector<LtAlgorithm>* to) override {
    FAKE_CALL("Heuristics");
    to->clear();
    for (const LtConfig& config : gpu_->recommended) {
      if (gpu_->workspace > workspace || static_cast<int>(to->size()) == count) break;
      to->push_back(Made(config));
    }
    return {};
  }
  CudaStatus StagesOf(int32_t /*id*/, std::vector<uint32_t>* to) override {
    FAKE_CALL("StagesOf");
    *to = gpu_->stages;
    return {};
  }
  CudaStatus Check(const LtConfig& config, int64_t workspace, bool* legal, LtAlgorithm* to) override {
    FAKE_CALL("Check");
    *legal = gpu_->legal(config) && gpu_->workspace <= workspace;
    if (*legal) *to = Made(config);
    return {};
  }
  CudaStatus Run(const LtAlgorithm& algorithm, const LtArguments& x, Stream stream) override {
    FAKE_CALL("Matmul");
    const LtProblem& p = problem_;
    std::vector<FakeGpu::Range> uses = {
        {x.a, p.a_transposed ? Extent(p.rows, p.k, p.lda, p.dtype) : Extent(p.k, p.rows, p.lda, p.dtype)},
        {x.b, Extent(p.cols, p.k, p.ldb, p.dtype)},
        {x.c, Extent(p.cols, p.rows, p.ldc, p.c_dtype)},
        {x.workspace, algorithm.workspace}};
    if (p.bias) uses.push_back({x.bias, p.rows * ElementBytes(p.c_dtype)});
    for (const FakeGpu::Range& use : uses) gpu_->CheckRange("Matmul", use, true);
    if (x.workspace_bytes < algorithm.workspace) gpu_->violations_.emplace_back("Matmul with too little workspace");
    const bool wrong = gpu_->wrong && gpu_->wrong(algorithm.config);
    gpu_->Push(stream, {"Matmul", uses,
                        [p, x, wrong] {
                          std::memset(x.workspace, kPoison, static_cast<size_t>(x.workspace_bytes));
                          LtArguments arguments = x;
                          if (wrong) arguments.alpha *= 1.5f;
                          ComputeMatmul(p, arguments);
                        },
                        gpu_->time ? gpu_->time(algorithm.config) : 0});
    return {};
  }

 private:
  LtAlgorithm Made(const LtConfig& config) const {
    LtAlgorithm algorithm;
    algorithm.config = config;
    algorithm.opaque = {static_cast<uint64_t>(config.id), config.tile, config.stages, config.cluster, config.swizzling};
    algorithm.workspace = gpu_->workspace;
    return algorithm;
  }

  FakeGpu* const gpu_;
  const LtProblem problem_;
};

CudaStatus FakeCudaDriver::CreateMatmul(const LtProblem& problem, std::unique_ptr<LtMatmul>* to) {
  FAKE_CALL("CreateMatmul");
  ++gpu_->matmuls_;
  *to = std::make_unique<FakeMatmul>(gpu_, problem);
  return {};
}

#undef FAKE_CALL

}  // namespace bwrt::cuda
