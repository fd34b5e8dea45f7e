"""Repositories made from what Debian 12 installs: its C++ libraries and its second compiler."""

load("@bazel_tools//tools/cpp:cc_configure.bzl", "cc_autoconf_impl")

# A file of each package that a build needs, so that a missing package is named instead of a missing header.
_PACKAGE_FILES = {
    "libabsl-dev": "/usr/include/absl/base/config.h",
    "libcli11-dev": "/usr/include/CLI/CLI.hpp",
    "libfmt-dev": "/usr/include/fmt/format.h",
    "libgmock-dev": "/usr/include/gmock/gmock.h",
    "libgrpc++-dev": "/usr/include/grpcpp/grpcpp.h",
    "libgtest-dev": "/usr/include/gtest/gtest.h",
    "libjemalloc-dev": "/usr/include/jemalloc/jemalloc.h",
    "libprotobuf-dev": "/usr/include/google/protobuf/message.h",
    "libspdlog-dev": "/usr/include/spdlog/spdlog.h",
    "libssl-dev": "/usr/include/openssl/evp.h",
    "liburing-dev": "/usr/include/liburing.h",
    "libxsmm-dev": "/usr/include/libxsmm.h",
    "libxxhash-dev": "/usr/include/xxhash.h",
    "nlohmann-json3-dev": "/usr/include/nlohmann/json.hpp",
    "prometheus-cpp-dev": "/usr/include/prometheus/registry.h",
    "protobuf-compiler": "/usr/bin/protoc",
    "protobuf-compiler-grpc": "/usr/bin/grpc_cpp_plugin",
}

def _system_libs_impl(repository_ctx):
    missing = [
        package
        for package, path in _PACKAGE_FILES.items()
        if not repository_ctx.path(path).exists
    ]
    if missing:
        fail("missing Debian packages (./dev build installs them): " + " ".join(missing))

    # Abseil is some sixty small archives which refer to each other; take them all.
    triplet = repository_ctx.execute(["gcc", "-print-multiarch"]).stdout.strip()
    archives = repository_ctx.path("/usr/lib/" + triplet).readdir()
    absl = sorted([
        file.basename[len("lib"):-len(".a")]
        for file in archives
        if file.basename.startswith("libabsl_") and file.basename.endswith(".a")
    ])
    if not absl:
        fail("no libabsl_*.a in /usr/lib/" + triplet)

    repository_ctx.symlink(Label("//bazel:spdlog.cc"), "spdlog.cc")
    repository_ctx.template(
        "BUILD.bazel",
        Label("//bazel:system.BUILD.tpl"),
        {"%{ABSL}": repr(absl)},
    )

system_libs = repository_rule(
    implementation = _system_libs_impl,
    configure = True,
    doc = "Debian's C++ libraries as cc_library targets; the targets are in system.BUILD.tpl.",
    local = True,
)

_PEER_FILES = {
    "libdnnl-dev": "/usr/include/oneapi/dnnl/dnnl.hpp",
    "libopenblas-pthread-dev": "/usr/lib/%s/openblas-pthread/libopenblas.so",
}

def _peer_libs_impl(repository_ctx):
    # Fetched by what benchmarks against these libraries only, so the daemon builds without them.
    triplet = repository_ctx.execute(["gcc", "-print-multiarch"]).stdout.strip()
    missing = [
        package
        for package, path in _PEER_FILES.items()
        if not repository_ctx.path(path.replace("%s", triplet)).exists
    ]
    if missing:
        fail("missing Debian packages (./dev bench gemm installs them): " + " ".join(missing))
    repository_ctx.template(
        "BUILD.bazel",
        Label("//bazel:peers.BUILD.tpl"),
        {"%{OPENBLAS}": "/usr/lib/" + triplet + "/openblas-pthread"},
    )

peer_libs = repository_rule(
    implementation = _peer_libs_impl,
    configure = True,
    doc = "Libraries that benchmarks measure ours against; the targets are in peers.BUILD.tpl.",
    local = True,
)

def _clang_toolchain_impl(repository_ctx):
    # Fetched by --config=fuzz only, so other builds do without clang.
    clang = repository_ctx.which("clang-14")
    if not clang:
        fail("missing Debian package (./dev fuzz installs it): clang-14")
    cc_autoconf_impl(repository_ctx, overriden_tools = {"gcc": str(clang)})

clang_toolchain = repository_rule(
    implementation = _clang_toolchain_impl,
    configure = True,
    doc = "A crosstool around clang 14 beside the default one around gcc, so that changing between " +
          "them throws no cache away.",
    local = True,
)
