"""Fuzz targets: a regression test everywhere, a libFuzzer program under --config=fuzz."""

def cc_fuzz_test(name, srcs, deps = [], **kwargs):
    """A test of LLVMFuzzerTestOneInput on the seeds in corpus/NAME.

    `./dev test` runs every seed once; an input that once failed belongs among the seeds.
    `./dev fuzz //tests/fuzz:NAME [SECONDS]` looks for new ones.

    Args:
      name: the test.
      srcs: one file that defines LLVMFuzzerTestOneInput.
      deps: what srcs use.
      **kwargs: passed on to the cc_test.
    """
    corpus = "corpus/" + name
    native.cc_test(
        name = name,
        size = "small",
        srcs = srcs,
        args = [native.package_name() + "/" + corpus],
        data = native.glob([corpus + "/**"]),
        linkopts = select({
            "//bazel:fuzzing": ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        deps = deps + select({
            "//bazel:fuzzing": [],
            "//conditions:default": ["//bazel:fuzz_replay_main"],
        }),
        **kwargs
    )
