# The BUILD file of @system, filled in by system_libs in repos.bzl.
#
# Everything is linked statically except glibc, libstdc++ and prometheus-cpp (Debian has no archive of it).
# With --define=linkage=shared (--config=tsan) Debian's shared objects are used: the race detector can be told
# to ignore a module that is not instrumented, but not an archive.
package(default_visibility = ["//visibility:public"])

config_setting(
    name = "shared",
    define_values = {"linkage": "shared"},
)

_STATIC = "//conditions:default"

_ABSL = %{ABSL}

cc_library(
    name = "absl",
    linkopts = select({
        ":shared": ["-Wl,--push-state,--as-needed"] + ["-l" + lib for lib in _ABSL] + ["-Wl,--pop-state"],
        _STATIC: ["-Wl,--start-group"] + ["-l:lib%s.a" % lib for lib in _ABSL] + ["-Wl,--end-group"],
    }) + [
        "-lpthread",
        "-lrt",
    ],
)

cc_library(
    name = "protobuf",
    linkopts = select({
        ":shared": ["-lprotobuf"],
        _STATIC: ["-l:libprotobuf.a"],
    }) + [
        "-lpthread",
        "-l:libz.a",
    ],
)

cc_library(
    name = "crypto",
    linkopts = select({
        ":shared": ["-lcrypto"],
        _STATIC: ["-l:libcrypto.a"],
    }) + [
        "-ldl",
        "-lpthread",
    ],
)

# gRPC with server reflection, which registers itself when its archive is linked whole.
cc_library(
    name = "grpc",
    linkopts = select({
        ":shared": [
            "-Wl,--push-state,--no-as-needed",
            "-lgrpc++_reflection",
            "-Wl,--pop-state",
            "-lgrpc++",
            "-lgrpc",
            "-lgpr",
        ],
        _STATIC: [
            "-Wl,--push-state,--whole-archive",
            "-l:libgrpc++_reflection.a",
            "-Wl,--pop-state",
            "-Wl,--start-group",
            "-l:libgrpc++.a",
            "-l:libgrpc.a",
            "-l:libgpr.a",
            "-l:libaddress_sorting.a",
            "-l:libcares.a",
            "-l:libre2.a",
            "-l:libssl.a",
            "-l:libupb.a",
            "-l:libz.a",
            "-Wl,--end-group",
        ],
    }) + [
        "-ldl",
        "-lrt",
    ],
    deps = [
        ":absl",
        ":crypto",
        ":protobuf",
    ],
)

# Shared always. The old-style rpath also serves the libraries that these two load in turn (civetweb, zlib).
cc_library(
    name = "prometheus",
    linkopts = [
        "-lprometheus-cpp-core",
        "-lcivetweb-cpp",
        "-lcivetweb",
        "-Wl,--disable-new-dtags,-rpath,$$ORIGIN",
    ],
)

# spdlog and fmt, compiled here once: Debian ships them as shared objects or headers only.
cc_library(
    name = "spdlog",
    srcs = ["spdlog.cc"],
    copts = ["-w"],
    defines = [
        "SPDLOG_COMPILED_LIB",
        "SPDLOG_FMT_EXTERNAL",
    ],
    linkopts = ["-lpthread"],
)

cc_library(name = "cli11")

cc_library(name = "json")

# For the `malloc` of a binary. Static, and of the archive's two the one that goes into position-independent executables.
cc_library(
    name = "jemalloc",
    linkopts = [
        "-l:libjemalloc_pic.a",
        "-ldl",
        "-lm",
        "-lpthread",
    ],
)

# Static: asynchronous file reads.
cc_library(
    name = "uring",
    linkopts = ["-l:liburing.a"],
)

cc_library(
    name = "xxhash",
    linkopts = ["-l:libxxhash.a"],
)

cc_library(
    name = "xsmm",
    linkopts = [
        "-l:libxsmm.a",
        "-l:libxsmmnoblas.a",
        "-ldl",
        "-lm",
        "-lpthread",
    ],
)

cc_library(
    name = "gtest",
    testonly = True,
    linkopts = [
        "-l:libgtest.a",
        "-lpthread",
    ],
)

cc_library(
    name = "gmock",
    testonly = True,
    linkopts = ["-l:libgmock.a"],
    deps = [":gtest"],
)

cc_library(
    name = "gtest_main",
    testonly = True,
    linkopts = ["-l:libgtest_main.a"],
    deps = [":gtest"],
)
