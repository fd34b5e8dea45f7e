"""C++ code from the .proto files of one package, through Debian's protoc."""

def bwrt_proto_library(name, srcs, grpc = False, deps = [], **kwargs):
    """A cc_library of the code that protoc generates.

    A file is imported, and its header included, by its path below the package: proto/bwrt/wavespec.proto is
    "bwrt/wavespec.proto" and "bwrt/wavespec.pb.h". The well-known types come with protoc.

    Args:
      name: the cc_library.
      srcs: .proto files of this package.
      grpc: make the service code (*.grpc.pb.h) instead of the messages; deps then names the messages' library.
      deps: further bwrt_proto_library targets of this package whose files srcs import.
      **kwargs: passed on to the cc_library, e.g. visibility.
    """
    kind = "grpc.pb" if grpc else "pb"
    outs = [src[:-len("proto")] + kind + ext for src in srcs for ext in [".h", ".cc"]]
    options = "--cpp_out=$(RULEDIR)"
    if grpc:
        options = "--plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin --grpc_out=$(RULEDIR)"
    native.filegroup(
        name = name + "_protos",
        srcs = srcs + [dep + "_protos" for dep in deps],
    )
    native.genrule(
        name = name + "_code",
        srcs = srcs + [dep + "_protos" for dep in deps],
        outs = outs,
        cmd = "/usr/bin/protoc -I%s %s %s" % (
            native.package_name(),
            options,
            " ".join(["$(execpath %s)" % src for src in srcs]),
        ),
    )
    native.cc_library(
        name = name,
        srcs = [out for out in outs if out.endswith(".cc")],
        hdrs = [out for out in outs if out.endswith(".h")],
        copts = ["-w"],
        includes = ["."],
        deps = deps + ["@system//:grpc" if grpc else "@system//:protobuf"],
        **kwargs
    )
