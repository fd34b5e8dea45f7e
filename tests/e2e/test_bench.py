"""bwrtctl bench against real daemons: its own, one that is named, and one whose queue is too short."""

import json

from conftest import PLAN, bwrtctl

DONE, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3
ROUNDS = ["--warmup", 4, "--rounds", 2]
QUICK = [*ROUNDS, "--waves", 20]


def artifact(done):
    assert done.returncode == DONE, done.stderr
    return json.loads(done.stdout)


def test_a_daemon_of_its_own(tmp_path):
    out = tmp_path / "small.json"
    # More waves than one stream takes.
    done = bwrtctl("bench", *ROUNDS, "--in-flight", "1,70", "--waves", 150, "--sync-every", 16, "--json", "--out", out)
    found = artifact(done)
    assert json.loads(out.read_text()) == found
    assert (found["format"], found["version"]) == ("bwrt-bench", 1)
    assert (found["sync_every"], found["warmup_waves"]) == (16, 4)
    assert found["machine"]["cores"] >= 1
    assert found["build"]["version"]
    assert {"grpc", "protobuf", "kernel cpu"} <= set(found["libraries"])
    assert found["flags"]["daemon"] == "private"
    assert "--queue-waves=" in found["flags"]["bwrtd"]
    assert (found["flags"]["in-flight"], found["flags"]["preset"]) == ("1,70", "small")
    assert [case["in_flight"] for case in found["cases"]] == [1, 70]
    for case in found["cases"]:
        assert case["name"] == "f32 128x128x128 by 128x128"
        assert case["spec"] == {"m": 128, "n": 128, "k": 128, "bm": 128, "bn": 128, "bk": 64, "dtype": "f32"}
        assert case["waves"] == 300
        assert [part["waves"] for part in case["rounds"]] == [150, 150]
        assert case["refused"] == 0
        assert case["waves_per_second"] > 0
        assert case["gflops"] > 0
        assert 0 < case["p50_us"] <= case["p99_us"]


def test_the_table():
    done = bwrtctl("bench", *QUICK, "--in-flight", 2, "--m", "1,8", "--n", 256, "--k", 64, "--dtype", "bf16", "--unary")
    assert done.returncode == DONE, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].split()[:1] == ["case"]
    assert lines[1].startswith("bf16 1x256x64 by 128x128, unary ")
    assert lines[2].startswith("bf16 8x256x64 by 128x128, unary ")


def test_a_named_daemon_is_left_as_it_was(daemon):
    found = artifact(daemon.bwrtctl("bench", *ROUNDS, "--seconds", 0.05, "--in-flight", "1,8", "--json"))
    assert found["flags"]["daemon"] == "named"
    assert "bwrtd" not in found["flags"]
    assert all(part["seconds"] >= 0.05 for case in found["cases"] for part in case["rounds"])
    models = json.loads(daemon.bwrtctl("--json", "weights", "list").stdout)["models"]
    assert [model["name"] for model in models] == ["default"]


def test_a_planners_wave(daemon):
    case = artifact(daemon.bwrtctl("bench", *QUICK, "--in-flight", 3, "--spec", PLAN, "--wave", 2, "--json"))["cases"][
        0
    ]
    assert case["name"].startswith("windows[0].waves[2] f32 ")
    assert case["waves"] == 40


def test_a_queue_that_is_too_short(serving):
    with serving("--lanes=1", "--queue-waves=1") as daemon:
        done = daemon.bwrtctl("bench", *QUICK, "--m", 512, "--n", 512, "--in-flight", 8, "--json")
        case = artifact(done)["cases"][0]
        assert case["waves"] == 40
        assert case["refused"] > 0
        assert "8 waves of f32 512x512x128 by 128x128" in done.stderr
        assert "queues 1 waves" in done.stderr


def test_errors(daemon, tmp_path):
    def fail(done, status, *words):
        assert done.returncode == status, done.stdout + done.stderr
        for word in words:
            assert word in done.stderr

    fail(daemon.bwrtctl("bench", *QUICK, "--tile", "64x64"), FAILED, "nearest listed")
    models = json.loads(daemon.bwrtctl("--json", "weights", "list").stdout)["models"]
    assert [model["name"] for model in models] == ["default"]
    fail(daemon.bwrtctl("bench", "--bwrtd-flag=--lanes=1"), USAGE, "--bwrtd-flag")
    fail(bwrtctl("bench", "--bwrtd-flag=--nonsense"), UNREACHABLE, "nonsense")
    fail(bwrtctl("bench", "--tile", "128"), USAGE, "--tile=128: must be BMxBN")
    fail(bwrtctl("bench", "--in-flight", 0), USAGE, "in-flight")
    fail(bwrtctl("bench", "--in-flight", 70000), USAGE, "in-flight")
    fail(bwrtctl("bench", "--sync-every", -1), USAGE, "sync-every")
    fail(bwrtctl("bench", "--waves", 5, "--seconds", 1), USAGE, "--seconds")
    fail(bwrtctl("bench", "--wave", 1), USAGE, "--spec")
    fail(bwrtctl("bench", "--spec", tmp_path / "none"), USAGE, "none")
    fail(bwrtctl("bench", "--m", 16777216, "--in-flight", 65536), USAGE, "GiB of memory", "ask for fewer")
    fail(bwrtctl("--server=unix:none.sock", "bench"), UNREACHABLE, "none.sock")
    out = bwrtctl("bench", *QUICK, "--in-flight", 1, "--out", tmp_path / "no/such/directory")
    fail(out, USAGE, "no/such/directory")
