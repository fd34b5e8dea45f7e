# The BUILD file of @peers, filled in by peer_libs in repos.bzl: libraries that benchmarks measure ours against. Shared,
# as Debian has no archive of oneDNN.
package(
    default_testonly = True,
    default_visibility = ["//visibility:public"],
)

# With the OpenMP runtime that it brings along, whose number of threads we set.
cc_library(
    name = "onednn",
    linkopts = [
        "-ldnnl",
        "-l:libgomp.so.1",
    ],
)

# The build with threads of its own. Through the path of this very one: the plain name stands for whichever BLAS the
# system prefers.
cc_library(
    name = "openblas",
    linkopts = [
        "-L%{OPENBLAS}",
        "-lopenblas",
        "-Wl,-rpath,%{OPENBLAS}",
    ],
)
