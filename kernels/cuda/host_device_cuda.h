// Marks functions that the kernels and the host both run, so that the host's tests are of the very same code.
#ifndef BWRT_KERNELS_CUDA_HOST_DEVICE_CUDA_H_
#define BWRT_KERNELS_CUDA_HOST_DEVICE_CUDA_H_

#ifdef __CUDACC__
#define BWRT_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define BWRT_HOST_DEVICE inline
#endif

#endif  // BWRT_KERNELS_CUDA_HOST_DEVICE_CUDA_H_
