// CublasLtLibrary: the functions of libcublasLt that the plugin calls, loaded with dlopen, so that the plugin loads,
// and says what is missing, on a machine without it.
#ifndef BWRT_RUNTIME_CUDA_CUBLASLT_LIBRARY_H_
#define BWRT_RUNTIME_CUDA_CUBLASLT_LIBRARY_H_

#include <cublasLt.h>

#include <string>

#include "runtime/cuda/cuda_status.h"

namespace bwrt::cuda {

struct CublasLtLibrary {
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtGetVersion) get_version = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
  decltype(&cublasLtMatmulDescInit_internal) desc_init = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set = nullptr;
  decltype(&cublasLtMatrixLayoutInit_internal) layout_init = nullptr;
  decltype(&cublasLtMatmulPreferenceInit_internal) preference_init = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) get_heuristic = nullptr;
  decltype(&cublasLtMatmulAlgoInit) algo_init = nullptr;
  decltype(&cublasLtMatmulAlgoCapGetAttribute) algo_cap_get = nullptr;
  decltype(&cublasLtMatmulAlgoConfigSetAttribute) algo_config_set = nullptr;
  decltype(&cublasLtMatmulAlgoConfigGetAttribute) algo_config_get = nullptr;
  decltype(&cublasLtMatmulAlgoCheck) algo_check = nullptr;

  // Loads it by its name from where the dynamic linker looks, else from lib64 and lib beneath $CUDA_HOME. NO_CUBLASLT
  // when it is not there, lacks a function, or has another major version than the header this was built with.
  static CudaStatus Load(CublasLtLibrary* to);
  // "13.1.0"
  std::string version() const;
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUBLASLT_LIBRARY_H_
