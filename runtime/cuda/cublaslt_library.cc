#include "runtime/cuda/cublaslt_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <vector>

namespace bwrt::cuda {
namespace {

std::string Name() { return "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR); }

template <typename Function>
bool Find(void* library, const char* name, Function* to) {
  *to = reinterpret_cast<Function>(dlsym(library, name));
  return *to != nullptr;
}

// A minor version has at most two digits.
std::string VersionText(size_t version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

}  // namespace

CudaStatus CublasLtLibrary::Load(CublasLtLibrary* to) {
  std::vector<std::string> places = {Name()};
  if (const char* const home = std::getenv("CUDA_HOME"); home != nullptr && *home != '\0') {
    places.push_back(std::string(home) + "/lib64/" + Name());
    places.push_back(std::string(home) + "/lib/" + Name());
  }
  // Where NVIDIA's packages install the toolkit, though the loader may not know it.
  places.push_back("/usr/local/cuda/lib64/" + Name());
  void* library = nullptr;
  for (const std::string& place : places) {
    library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library != nullptr) break;
  }
  if (library == nullptr) {
    return {BWRT_CUDA_NO_CUBLASLT, "no " + Name() + ": install cuBLAS of CUDA " + std::to_string(CUBLAS_VER_MAJOR) +
                                       ", or set CUDA_HOME to the toolkit"};
  }
  const bool all = Find(library, "cublasLtCreate", &to->create) && Find(library, "cublasLtDestroy", &to->destroy) &&
                   Find(library, "cublasLtGetVersion", &to->get_version) &&
                   Find(library, "cublasLtMatmul", &to->matmul) &&
                   Find(library, "cublasLtMatmulDescInit_internal", &to->desc_init) &&
                   Find(library, "cublasLtMatmulDescSetAttribute", &to->desc_set) &&
                   Find(library, "cublasLtMatrixLayoutInit_internal", &to->layout_init) &&
                   Find(library, "cublasLtMatmulPreferenceInit_internal", &to->preference_init) &&
                   Find(library, "cublasLtMatmulPreferenceSetAttribute", &to->preference_set) &&
                   Find(library, "cublasLtMatmulAlgoGetHeuristic", &to->get_heuristic) &&
                   Find(library, "cublasLtMatmulAlgoInit", &to->algo_init) &&
                   Find(library, "cublasLtMatmulAlgoCapGetAttribute", &to->algo_cap_get) &&
                   Find(library, "cublasLtMatmulAlgoConfigSetAttribute", &to->algo_config_set) &&
                   Find(library, "cublasLtMatmulAlgoConfigGetAttribute", &to->algo_config_get) &&
                   Find(library, "cublasLtMatmulAlgoCheck", &to->algo_check);
  if (!all) return {BWRT_CUDA_NO_CUBLASLT, Name() + " lacks a function that the plugin needs"};
  // The numbers of tiles and stages are those of the header.
  if (to->get_version() / 10000 != CUBLAS_VER_MAJOR) {
    return {BWRT_CUDA_NO_CUBLASLT,
            Name() + " has version " + to->version() + ", the plugin was built for " + VersionText(CUBLAS_VERSION)};
  }
  return {};
}

std::string CublasLtLibrary::version() const { return VersionText(get_version()); }

}  // namespace bwrt::cuda
