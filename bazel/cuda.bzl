"""The CUDA toolkit, where there is one, and rules for what is built with it.

The plugin libbwrt_cuda.so alone needs it; without a toolkit its targets are not declared, and everything else builds.
"""

load("@cuda//:defs.bzl", "CUPTI", "CUPTI_LIBRARY", "NVCC", "TOOLKIT")

# Hopper's own instructions.
_HOPPER = ["-gencode arch=compute_90a,code=sm_90a"]

# And what every GPU from Ampere on runs; the last as PTX for those to come.
_ARCHITECTURES = _HOPPER + [
    "-gencode arch=compute_80,code=sm_80",
    "-gencode arch=compute_80,code=compute_80",
]

def cuda_object(name, src, hdrs, hopper = False, visibility = None):
    """An object file NAME.pic.o from one .cu file.

    Args:
      name: the target.
      src: the .cu file.
      hdrs: headers of this workspace that it includes, directly or not.
      hopper: it has instructions of sm_90a, and is compiled for that alone.
      visibility: who may link it.
    """
    if not NVCC:
        return
    native.genrule(
        name = name,
        srcs = [src] + hdrs,
        outs = [name + ".pic.o"],
        # The toolkit's version is part of the command, so that another one builds anew.
        cmd = ": toolkit %s; %s -c $(location %s) -o $@ -I. -std=c++20 -O3 -Xcompiler -fPIC,-Wall %s" %
              (TOOLKIT, NVCC, src, " ".join(_HOPPER if hopper else _ARCHITECTURES)),
        message = "Compiling for CUDA",
        visibility = visibility,
    )

def cuda_cc_library(**kwargs):
    """A cc_library that includes the toolkit's headers; BWRT_CUDA_TOOLKIT is the toolkit's version.

    Args:
      **kwargs: the cc_library's.
    """
    if not NVCC:
        return
    deps = kwargs.pop("deps", []) + ["@cuda//:headers"]
    native.cc_library(
        deps = deps,
        local_defines = ['BWRT_CUDA_TOOLKIT=\\"%s\\"' % TOOLKIT],
        **kwargs
    )

def cuda_cc_binary(**kwargs):
    """A cc_binary of what is built with the toolkit.

    Args:
      **kwargs: the cc_binary's.
    """
    if not NVCC:
        return
    native.cc_binary(**kwargs)

def cuda_cc_test(**kwargs):
    """A cc_test that needs what is built with the toolkit.

    Args:
      **kwargs: the cc_test's.
    """
    if not NVCC:
        return
    native.cc_test(**kwargs)

def with_cupti(value, otherwise = []):
    """A value where the toolkit has the headers of CUPTI, else another.

    Args:
      value: the one.
      otherwise: the other.
    """
    return value if CUPTI else otherwise

def cupti_cc_library(**kwargs):
    """A cuda_cc_library that includes the headers of CUPTI; nothing where the toolkit has none.

    Args:
      **kwargs: the cc_library's.
    """
    if CUPTI:
        cuda_cc_library(**kwargs)

def cupti_cc_test(**kwargs):
    """A cc_test that loads the toolkit's libcupti, whose path is BWRT_CUPTI_LIBRARY; nothing where there is none.

    Args:
      **kwargs: the cc_test's.
    """
    if CUPTI and CUPTI_LIBRARY:
        native.cc_test(
            local_defines = ['BWRT_CUPTI_LIBRARY=\\"%s\\"' % CUPTI_LIBRARY],
            **kwargs
        )

def cuda_plugin(name, plugin, symbols, srcs, deps, visibility = None):
    """A shared object of which only `symbols` are visible; the CUDA runtime is linked in.

    Args:
      name: a filegroup of the plugin, empty without a toolkit.
      plugin: the file's name.
      symbols: a version script.
      srcs: object files.
      deps: libraries.
      visibility: who may use it.
    """
    native.filegroup(
        name = name,
        srcs = [":" + plugin] if NVCC else [],
        visibility = visibility,
    )
    if not NVCC:
        return
    native.cc_binary(
        name = plugin,
        srcs = srcs,
        additional_linker_inputs = [symbols],
        linkopts = ["-Wl,--version-script,$(location %s)" % symbols],
        linkshared = True,
        visibility = visibility,
        deps = deps + ["@cuda//:cudart_static"],
    )
