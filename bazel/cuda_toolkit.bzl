"""@cuda: the CUDA 13 toolkit of $CUDA_HOME, else of the nvcc on PATH, else of /usr/local/cuda.

Empty where there is none, and with BWRT_CUDA=off.
"""

_MAJOR = "13"

# Where NVIDIA's packages install it; they do not put it on PATH.
_USUAL_HOME = "/usr/local/cuda"

_BUILD = """
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "headers",
    hdrs = glob(["include/*.h", "include/*.hpp", "include/crt/*", "include/nv/**"]),
    includes = ["include"],
)

cc_library(
    name = "cudart_static",
    srcs = ["libcudart_static.a"],
    linkopts = ["-ldl", "-lpthread", "-lrt"],
)
"""

def _absent(repository_ctx, why):
    repository_ctx.file("BUILD.bazel", "")
    repository_ctx.file("defs.bzl", 'NVCC = ""\nTOOLKIT = ""\nCUPTI = ""\nCUPTI_LIBRARY = ""\n')

    # ./dev says it.
    repository_ctx.file("why_not", why + "\n")

def _first(repository_ctx, root, names):
    for name in names:
        path = root.get_child(name) if "/" not in name else repository_ctx.path(str(root) + "/" + name)
        if path.exists:
            return path
    return None

def _find_nvcc(repository_ctx):
    home = repository_ctx.os.environ.get("CUDA_HOME", "")
    if home:
        return repository_ctx.path(home + "/bin/nvcc"), "in CUDA_HOME=" + home
    nvcc = repository_ctx.which("nvcc") or repository_ctx.path(_USUAL_HOME + "/bin/nvcc")
    return nvcc, "on PATH or in " + _USUAL_HOME

def _cuda_toolkit_impl(repository_ctx):
    if repository_ctx.os.environ.get("BWRT_CUDA", "") == "off":
        return _absent(repository_ctx, "BWRT_CUDA=off")
    nvcc, where = _find_nvcc(repository_ctx)
    if not nvcc.exists:
        return _absent(repository_ctx, "no nvcc %s; install the CUDA 13 toolkit or set CUDA_HOME" % where)
    nvcc = nvcc.realpath
    root = nvcc.dirname.dirname
    said = repository_ctx.execute([str(nvcc), "--version"])
    version = said.stdout.partition(", V")[2].partition("\n")[0]
    if said.return_code or version.partition(".")[0] != _MAJOR:
        return _absent(repository_ctx, "nvcc is of version %s, not of CUDA %s" % (version or "unknown", _MAJOR))
    for header in ["include/cuda_runtime_api.h", "include/cublasLt.h"]:
        if not _first(repository_ctx, root, [header]):
            return _absent(repository_ctx, "the CUDA toolkit has no %s" % header)
    cudart = _first(repository_ctx, root, [
        folder + "/libcudart_static.a"
        for folder in ["lib64", "lib", "targets/x86_64-linux/lib"]
    ])
    if not cudart:
        return _absent(repository_ctx, "the CUDA toolkit has no libcudart_static.a")

    # Of a package of its own, which the plugin can do without.
    cupti = _first(repository_ctx, root, ["include/cupti_pmsampling.h"]) or ""
    cupti_library = _first(repository_ctx, root, [
        folder + "/libcupti.so." + _MAJOR
        for folder in ["lib64", "lib", "extras/CUPTI/lib64", "targets/x86_64-linux/lib"]
    ]) or ""
    repository_ctx.symlink(str(root) + "/include", "include")
    repository_ctx.symlink(cudart, "libcudart_static.a")
    repository_ctx.file("BUILD.bazel", _BUILD)
    repository_ctx.file("defs.bzl", 'NVCC = "%s"\nTOOLKIT = "%s"\nCUPTI = "%s"\nCUPTI_LIBRARY = "%s"\n' %
                                     (nvcc, version, cupti, cupti_library))

cuda_toolkit = repository_rule(
    implementation = _cuda_toolkit_impl,
    configure = True,
    doc = "Headers and the static runtime of a CUDA toolkit; defs.bzl has the paths of nvcc and of CUPTI, empty without.",
    environ = [
        "BWRT_CUDA",
        "CUDA_HOME",
    ],
    local = True,
)
