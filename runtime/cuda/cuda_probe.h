// The check of the Hopper kernel on the GPU at hand, before any wave uses it: each instantiation computes a small
// ragged problem of fresh data into poisoned memory, and so does the plain kernel; the host compares.
//
// To be made in a context in which nothing is worth keeping: a kernel that hangs or faults loses it.
#ifndef BWRT_RUNTIME_CUDA_CUDA_PROBE_H_
#define BWRT_RUNTIME_CUDA_CUDA_PROBE_H_

#include <cstdint>

#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_plan.h"
#include "runtime/cuda/cuda_status.h"

namespace bwrt::cuda {

// The result may be off by so much of the plain kernel's, in the Frobenius norm.
inline constexpr double kProbeTolerance = 1e-2;

// Puts what fails into kernels->off, or says in kernels->all_off why none of them can be checked. Not OK only where the
// device was lost: then all are off as well, and the context is to be made anew.
//
// Kernels that count are other instantiations than those that don't: `counters` says which of them waves will run, on
// `multiprocessors`.
CudaStatus ProbeWgmma(CudaDriver& driver, uint32_t seed, bool counters, int multiprocessors, CudaKernels* kernels);

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUDA_PROBE_H_
