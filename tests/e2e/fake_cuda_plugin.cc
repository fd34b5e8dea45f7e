// A libbwrt_cuda.so over a fake GPU, for the real bwrtd to load: all of the CUDA device but CUDA runs.
//
// Where the environment's BWRT_FAKE_CUDA_LOSS names a file, a wave that finds it there removes it and meets a sticky
// error. Where BWRT_FAKE_CUDA_WRONG is set, every wave's first element of C comes out wrong. Its GPM counts the same
// each time; PM sampling is not allowed.
#include <unistd.h>

#include <cstdlib>

#include "tests/runtime/fake_cuda_table.h"

namespace {

bwrt::runtime::FakeCudaTable& Fake() {
  // Never destroyed: the daemon's threads outlive what is static.
  static auto* const fake = [] {
    auto* const made = new bwrt::runtime::FakeCudaTable;
    made->gpm().values = {0.25F, -1, 0.125F, 0.5F};
    made->pm().start = {bwrt::cuda::CounterFault::kDenied, "insufficient privileges"};
    return made;
  }();
  return *fake;
}

int32_t Run(BwrtCudaDevice* device, const BwrtCudaWave* wave, const BwrtCudaProgress* progress, BwrtCudaReport* report,
            BwrtCudaError* error) {
  const char* const loss = std::getenv("BWRT_FAKE_CUDA_LOSS");
  if (loss != nullptr && unlink(loss) == 0) Fake().gpu().FailNext("Record", BWRT_CUDA_DEVICE_LOST);
  const int32_t code = Fake().table()->run(device, wave, progress, report, error);
  // The exponent's highest bit.
  if (std::getenv("BWRT_FAKE_CUDA_WRONG") != nullptr) {
    static_cast<char*>(wave->c)[wave->c_dtype == BWRT_CUDA_F32 ? 3 : 1] ^= 0x40;
  }
  return code;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const BwrtCudaTable* bwrt_cuda_plugin(uint32_t /*loader*/) {
  static const BwrtCudaTable kTable = [] {
    BwrtCudaTable table = *Fake().table();
    table.run = &Run;
    return table;
  }();
  return &kTable;
}
