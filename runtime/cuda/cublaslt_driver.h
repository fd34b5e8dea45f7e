// CublasLtDriver: LtMatmul on the library. Thin: no decision is made here.
#ifndef BWRT_RUNTIME_CUDA_CUBLASLT_DRIVER_H_
#define BWRT_RUNTIME_CUDA_CUBLASLT_DRIVER_H_

#include <cublasLt.h>

#include <functional>
#include <memory>
#include <string>

#include "runtime/cuda/cublaslt_library.h"
#include "runtime/cuda/cublaslt_matmul.h"
#include "runtime/cuda/cuda_status.h"

namespace bwrt::cuda {

class CublasLtDriver {
 public:
  // `failed` turns an error of the library into a status, and knows when the context is gone.
  using Failed = std::function<CudaStatus(const char* call, cublasStatus_t status)>;
  CublasLtDriver(CublasLtLibrary library, Failed failed) : library_(std::move(library)), failed_(std::move(failed)) {}
  ~CublasLtDriver();
  CublasLtDriver(const CublasLtDriver&) = delete;
  CublasLtDriver& operator=(const CublasLtDriver&) = delete;

  std::string version() const { return library_.version(); }
  // A handle of the current context.
  CudaStatus Open();
  // The context is going.
  void Close();
  CudaStatus CreateMatmul(const LtProblem& problem, std::unique_ptr<LtMatmul>* to);

 private:
  class Matmul;

  const CublasLtLibrary library_;
  const Failed failed_;
  cublasLtHandle_t handle_ = nullptr;
};

}  // namespace bwrt::cuda

#endif  // BWRT_RUNTIME_CUDA_CUBLASLT_DRIVER_H_
