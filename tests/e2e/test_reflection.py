"""What any generic gRPC client can do: it knows no proto, and learns all of them from the daemon."""

import base64
import math
import random
import struct

import grpc
import pytest
from conftest import PATIENCE
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

M, N, K = 5, 7, 16


class GenericClient:
    def __init__(self, channel):
        self._channel = channel
        self._database = ProtoReflectionDescriptorDatabase(channel)
        self._pool = descriptor_pool.DescriptorPool(self._database)

    def services(self):
        return set(self._database.get_services())

    def methods(self, service):
        return {method.name for method in self._pool.FindServiceByName(service).methods}

    def message(self, name):
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(name))

    def call(self, service, method, request):
        """A unary call, JSON objects in and out."""
        descriptor = self._pool.FindServiceByName(service).FindMethodByName(method)
        call = self._channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(descriptor.output_type).FromString,
        )
        message = json_format.ParseDict(request, message_factory.GetMessageClass(descriptor.input_type)())
        response = call(message, timeout=PATIENCE)
        return json_format.MessageToDict(response, preserving_proto_field_name=True, descriptor_pool=self._pool)

    def details(self, error):
        """The google.rpc messages of an error, by their names."""
        trailers = dict(error.trailing_metadata())
        status = self.message("google.rpc.Status").FromString(trailers["grpc-status-details-bin"])
        assert status.code == error.code().value[0]
        found = {}
        for detail in status.details:
            name = detail.type_url.rpartition("/")[2]
            message = self.message(name).FromString(detail.value)
            found[name] = json_format.MessageToDict(
                message, preserving_proto_field_name=True, descriptor_pool=self._pool
            )
        return found


@pytest.fixture(scope="module")
def client(daemon):
    with grpc.insecure_channel(daemon.tcp_address) as channel:
        yield GenericClient(channel)


def matrix(seed, rows, columns):
    """Random values that f32 holds exactly."""
    draw = random.Random(seed)
    return [[draw.randrange(-1024, 1024) / 256 for _ in range(columns)] for _ in range(rows)]


def encode(rows):
    return base64.b64encode(b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)).decode()


def wave(a, w):
    return {
        "spec": {
            "bm": 128,
            "bn": 128,
            "bk": 64,
            "cluster_shape": {"x": 2, "y": 1},
            "tmem_layout": {"stage_n": 2},
            "dtype": "F32",
            "swap_begin": 0,
            "swap_end": 1,
        },
        "m": M,
        "n": N,
        "k": K,
        "a": {"inline": encode(a)},
        "w": {"inline": encode(w)},
    }


def test_services_are_listed(client):
    assert client.services() >= {
        "bwrt.v1.Execution",
        "bwrt.v1.Weights",
        "bwrt.v1.Telemetry",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert client.methods("bwrt.v1.Execution") >= {
        "SubmitWave",
        "StreamWaves",
        "ValidateWave",
        "CancelWave",
        "GetCapabilities",
    }
    assert client.methods("bwrt.v1.Weights") >= {"SetWeights", "ListModels", "GetModel", "WatchModel"}
    assert client.methods("bwrt.v1.Telemetry") >= {"Sample", "WatchSamples"}


def test_a_wave_from_json(client):
    a, w = matrix(1, M, K), matrix(2, K, N)
    result = client.call("bwrt.v1.Execution", "SubmitWave", wave(a, w))
    c = struct.unpack(f"<{M * N}f", base64.b64decode(result["c"]))
    for i in range(M):
        for j in range(N):
            want = math.fsum(a[i][k] * w[k][j] for k in range(K))
            assert c[i * N + j] == pytest.approx(want, rel=1e-5, abs=1e-4)
    assert result["model"] == "default"
    assert result["effective"]["device"] == "cpu"
    assert result["effective"]["tiles_listed"] == "1"
    assert result["timings"]["compute_seconds"] > 0


def test_an_error_explains_itself(client):
    bad = wave(matrix(1, M, K), matrix(2, K, N))
    bad["spec"]["bk"] = 24
    bad["spec"]["swap_end"] = 0
    bad["spec"]["tile_order"] = [{"m": 0, "n": 0}, {"m": 0, "n": 3}]
    with pytest.raises(grpc.RpcError) as raised:
        client.call("bwrt.v1.Execution", "SubmitWave", bad)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    details = client.details(raised.value)
    violations = {v["field"]: v for v in details["google.rpc.BadRequest"]["field_violations"]}
    assert set(violations) == {"spec.bm", "spec.swap_end", "spec.tile_order[1].n"}
    assert "nearest listed" in violations["spec.bm"]["description"]
    assert violations["spec.tile_order[1].n"]["reason"] == "TILE_OUTSIDE_GRID"
    info = details["google.rpc.ErrorInfo"]
    assert info["domain"] == "bwrt"
    assert info["reason"] in {v["reason"] for v in violations.values()}


def test_health_and_capabilities(client):
    assert client.call("grpc.health.v1.Health", "Check", {"service": "bwrt.v1.Execution"}) == {"status": "SERVING"}
    capabilities = client.call("bwrt.v1.Execution", "GetCapabilities", {})
    assert capabilities["devices"][0]["name"] == "cpu"
    assert capabilities["whitelist_digest"].startswith("sha256:")
