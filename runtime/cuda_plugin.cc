#include "runtime/cuda_plugin.h"

#include <dlfcn.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

constexpr char kFile[] = "libbwrt_cuda.so";

absl::Status Missing(absl::string_view what) {
  return MakeError(absl::StatusCode::kUnavailable, "NO_CUDA_PLUGIN", what);
}

absl::Status Mismatch(absl::string_view what) {
  return MakeError(absl::StatusCode::kUnavailable, "CUDA_PLUGIN_MISMATCH",
                   absl::StrCat(kFile, ": ", what, "; install the one that was built with this bwrtd"));
}

std::string ProgramPath() {
  std::array<char, PATH_MAX> path{};
  const ssize_t size = readlink("/proc/self/exe", path.data(), path.size());
  return size <= 0 ? std::string() : std::string(path.data(), static_cast<size_t>(size));
}

// What dlopen says without the path that it begins with.
std::string LoaderText(const std::string& path) {
  const char* const said = dlerror();
  absl::string_view text = said == nullptr ? "unknown error" : said;
  const std::string prefix = absl::StrCat(path, ": ");
  if (text.substr(0, prefix.size()) == prefix) text.remove_prefix(prefix.size());
  return std::string(text);
}

}  // namespace

std::vector<std::string> CudaPlugin::SearchPaths(const std::string& program) {
  const size_t slash = program.rfind('/');
  if (slash == std::string::npos) return {};
  const std::string folder = program.substr(0, slash);
  return {absl::StrCat(folder, "/", kFile), absl::StrCat(folder, "/../lib/bwrt/", kFile),
          absl::StrCat(folder, "/../runtime/", kFile)};
}

absl::Status CudaPlugin::Check(const BwrtCudaTable* table) {
  if (table == nullptr) {
    return Mismatch(absl::StrCat("it does not serve table version ", BWRT_CUDA_ABI_VERSION, ", which bwrtd needs"));
  }
  if (table->abi_version != BWRT_CUDA_ABI_VERSION) {
    return Mismatch(
        absl::StrCat("its table has version ", table->abi_version, ", bwrtd needs ", BWRT_CUDA_ABI_VERSION));
  }
  if (table->size < sizeof(BwrtCudaTable)) {
    return Mismatch(absl::StrCat("its table has ", table->size, " bytes, bwrtd needs ", sizeof(BwrtCudaTable)));
  }
  if (table->build == nullptr || table->open == nullptr || table->close == nullptr || table->get_info == nullptr ||
      table->get_memory == nullptr || table->allocate == nullptr || table->free_buffer == nullptr ||
      table->upload == nullptr || table->read == nullptr || table->plan == nullptr || table->run == nullptr ||
      table->recreate == nullptr || table->start_counters == nullptr || table->sample_counters == nullptr ||
      table->stop_counters == nullptr) {
    return Mismatch("its table lacks a function");
  }
  return absl::OkStatus();
}

absl::StatusOr<const BwrtCudaTable*> CudaPlugin::Load(const std::string& path) {
  std::string found = path;
  if (found.empty()) {
    for (const std::string& candidate : SearchPaths(ProgramPath())) {
      if (access(candidate.c_str(), F_OK) == 0) {
        found = candidate;
        break;
      }
    }
    if (found.empty()) {
      return Missing(absl::StrCat("no ", kFile,
                                  " beside bwrtd: build it where a CUDA 13 toolkit is (./dev build), or "
                                  "give --cuda-plugin=PATH"));
    }
  }
  // A name without a slash would be looked for wherever the loader likes.
  if (found.find('/') == std::string::npos) found = absl::StrCat("./", found);
  void* const library = dlopen(found.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    return Missing(absl::StrCat(kFile, " can't be loaded: ", LoaderText(found),
                                "; give --cuda-plugin=PATH the one that was built with this bwrtd"));
  }
  const auto entry = reinterpret_cast<BwrtCudaEntry>(dlsym(library, BWRT_CUDA_ENTRY));
  if (entry == nullptr) return Mismatch(absl::StrCat("it has no symbol ", BWRT_CUDA_ENTRY));
  const BwrtCudaTable* const table = entry(BWRT_CUDA_ABI_VERSION);
  if (absl::Status status = Check(table); !status.ok()) return status;
  return table;
}

absl::Status CudaError(const BwrtCudaError& error) {
  const absl::string_view text(error.text, strnlen(error.text, sizeof(error.text)));
  switch (error.code) {
    case BWRT_CUDA_NO_DRIVER:
      return MakeError(absl::StatusCode::kUnavailable, "NO_CUDA_DRIVER", text);
    case BWRT_CUDA_NO_DEVICE:
      return MakeError(absl::StatusCode::kUnavailable, "NO_CUDA_DEVICE", text);
    case BWRT_CUDA_OLD_DEVICE:
      return MakeError(absl::StatusCode::kUnavailable, "CUDA_DEVICE_TOO_OLD", text);
    case BWRT_CUDA_NO_CUBLASLT:
      return MakeError(absl::StatusCode::kUnavailable, "NO_CUBLASLT", text);
    case BWRT_CUDA_OUT_OF_DEVICE_MEMORY:
      return MakeError(absl::StatusCode::kResourceExhausted, "DEVICE_MEMORY", text);
    case BWRT_CUDA_OUT_OF_HOST_MEMORY:
      return MakeError(absl::StatusCode::kResourceExhausted, "NO_MEMORY", text);
    case BWRT_CUDA_STOPPED:
      return MakeError(absl::StatusCode::kCancelled, "CANCELLED", text);
    case BWRT_CUDA_DEVICE_LOST:
      return MakeError(absl::StatusCode::kUnavailable, "DEVICE_LOST", text);
    default:
      return MakeError(absl::StatusCode::kInternal, "CUDA_ERROR", text);
  }
}

}  // namespace bwrt::runtime
