// FakeGpu and FakeCudaDriver: a GPU of which a test decides what fails, and when.
//
// It computes: memory is the host's, kernels are loops. What is queued on a stream runs only when somebody waits for it
// (an event, or the stream), as late as CUDA may run it; so what is let go of, or overwritten, too early shows in the
// numbers or in violations().
//
// The GPU outlives the driver, so that a test can see what was left behind. Thread-safe.
#ifndef BWRT_TESTS_RUNTIME_CUDA_FAKE_CUDA_DRIVER_H_
#define BWRT_TESTS_RUNTIME_CUDA_FAKE_CUDA_DRIVER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "runtime/cuda/cuda_driver.h"
#include "runtime/mutex.h"

namespace bwrt::cuda {

class FakeGpu {
 public:
  // ---- The test's side

  // The call with this number, counted from 1 from now on, fails with `code`; with DEVICE_LOST so do all after it.
  // 0: none.
  void FailCall(int64_t number, BwrtCudaCode code);
  // The next call of this name fails with `code`.
  void FailNext(const std::string& name, BwrtCudaCode code);
  // Calls since FailCall, or since the beginning.
  int64_t calls() const;
  // Whether the failure that FailCall asked for has come.
  bool failed() const;

  // Names of calls since the last ClearLog, in order; "Launch" and "Matmul" also when they come to run: "run Launch".
  std::vector<std::string> log() const;
  void ClearLog();

  // What a driver did that would be an error on a GPU: memory freed or read while in use, ranges outside of memory.
  std::vector<std::string> violations() const;
  // "" when nothing is left of what drivers made, else what is.
  std::string leftovers() const;
  // Whether anything is queued.
  bool busy() const;
  int64_t memory_in_use() const;
  // Launches of Hopper kernels that count.
  int64_t counting_launches() const;

  // Which configurations AlgoCheck accepts, and what the heuristics recommend; by default those of a Hopper.
  std::function<bool(const LtConfig&)> legal;
  std::vector<LtConfig> recommended;
  std::vector<uint32_t> stages;
  int64_t workspace = 1024;  // That each algorithm takes.
  // What one launch of it takes, in nanoseconds, between events; null: 1000 between any two.
  std::function<int64_t(const LtConfig&)> time;
  // Whether its result is wrong. Null: none's is.
  std::function<bool(const LtConfig&)> wrong;
  BwrtCudaInfo info{};
  // What comes of a launch of the Hopper kernel besides its result, such as other numbers; none by default.
  std::function<void(const kernels::WgmmaGemm&)> after_wgmma;
  int64_t memory = int64_t{1} << 30;

  FakeGpu();
  ~FakeGpu();
  FakeGpu(const FakeGpu&) = delete;
  FakeGpu& operator=(const FakeGpu&) = delete;

 private:
  friend class FakeCudaDriver;
  friend class FakeMatmul;

  struct Range {
    const std::byte* begin;
    int64_t bytes;
  };
  struct Operation {
    std::string name;
    std::vector<Range> uses;
    std::function<void()> run;
    int64_t ns = 0;
  };
  struct Recorded {
    Stream stream = nullptr;
    int64_t position = 0;  // Operations of the stream before it.
    int64_t ns = 0;        // That they take.
  };
  struct Queue {
    std::deque<Operation> waiting;
    int64_t done = 0;
    int64_t ns = 0;  // Of all operations that were queued.
    bool capturing = false;
    std::vector<Operation> captured;
  };

  CudaStatus Count(const char* call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Push(Stream stream, Operation operation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RunUntil(Stream stream, int64_t position) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether the range lies in one live piece of device (else pinned) memory.
  void CheckRange(const char* what, Range range, bool device) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CheckUnused(const char* what, Range range) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable runtime::Mutex mu_;
  int64_t calls_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t fail_at_ ABSL_GUARDED_BY(mu_) = 0;
  BwrtCudaCode fail_code_ ABSL_GUARDED_BY(mu_) = BWRT_CUDA_FAILED;
  std::map<std::string, BwrtCudaCode> fail_names_ ABSL_GUARDED_BY(mu_);
  bool failed_ ABSL_GUARDED_BY(mu_) = false;
  bool lost_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::string> log_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> violations_ ABSL_GUARDED_BY(mu_);
  std::map<const std::byte*, int64_t> device_ ABSL_GUARDED_BY(mu_);
  std::map<const std::byte*, int64_t> pinned_ ABSL_GUARDED_BY(mu_);
  std::map<Stream, Queue> streams_ ABSL_GUARDED_BY(mu_);
  std::map<Event, Recorded> events_ ABSL_GUARDED_BY(mu_);
  std::map<Graph, std::vector<Operation>> graphs_ ABSL_GUARDED_BY(mu_);
  int64_t next_handle_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t matmuls_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t counting_launches_ ABSL_GUARDED_BY(mu_) = 0;
};

class FakeCudaDriver final : public CudaDriver {
 public:
  explicit FakeCudaDriver(FakeGpu* gpu) : gpu_(gpu) {}

  CudaStatus Enter() override;
  CudaStatus Describe(BwrtCudaInfo* info) override;
  CudaStatus FreeMemory(int64_t* bytes) override;
  CudaStatus Reset() override;
  CudaStatus Allocate(int64_t bytes, DevicePtr* to) override;
  CudaStatus Free(DevicePtr memory) override;
  CudaStatus AllocatePinned(int64_t bytes, std::byte** to) override;
  CudaStatus FreePinned(std::byte* memory) override;
  CudaStatus CreateStream(bool high, Stream* to) override;
  CudaStatus DestroyStream(Stream stream) override;
  CudaStatus CreateEvent(Event* to) override;
  CudaStatus DestroyEvent(Event event) override;
  CudaStatus CopyToDevice(DevicePtr to, const std::byte* pinned, int64_t bytes, Stream stream) override;
  CudaStatus CopyToHost(std::byte* pinned, const std::byte* from, int64_t bytes, Stream stream) override;
  CudaStatus Fill(DevicePtr to, std::byte value, int64_t bytes, Stream stream) override;
  CudaStatus Record(Event event, Stream stream) override;
  CudaStatus Synchronize(Event event) override;
  CudaStatus SynchronizeStream(Stream stream) override;
  CudaStatus Elapsed(Event begin, Event end, int64_t* ns) override;
  CudaStatus LaunchPlain(const kernels::PlainGemm& gemm, Stream stream) override;
  CudaStatus LaunchWgmma(const kernels::WgmmaGemm& gemm, Stream stream) override;
  CudaStatus BeginCapture(Stream stream) override;
  CudaStatus EndCapture(Stream stream, Graph* graph) override;
  CudaStatus LaunchGraph(Graph graph, Stream stream) override;
  CudaStatus DestroyGraph(Graph graph) override;
  CudaStatus CreateMatmul(const LtProblem& problem, std::unique_ptr<LtMatmul>* to) override;

 private:
  FakeGpu* const gpu_;
};

}  // namespace bwrt::cuda

#endif  // BWRT_TESTS_RUNTIME_CUDA_FAKE_CUDA_DRIVER_H_
