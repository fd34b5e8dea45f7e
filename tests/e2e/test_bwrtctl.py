"""Every command of bwrtctl against a real daemon: what it prints where, and its exit status."""

import hashlib
import json
import re
import signal
import struct
import subprocess

import pytest
from conftest import PATIENCE, PLAN, bwrtctl, wait_until

DONE, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3
SMALL = ["submit", "--m", 64, "--n", 48, "--k", 64]


def succeed(done):
    assert done.returncode == DONE, done.stderr
    assert done.stderr == ""  # No progress either: it is no terminal.
    return done.stdout


def succeed_json(done):
    text = succeed(done)
    assert text.count("\n") == 1  # One object, one line.
    value = json.loads(text)
    assert isinstance(value, dict)
    return value


def fail(done, status, *words):
    """An error goes to stderr, as text."""
    assert done.returncode == status, done.stdout + done.stderr
    assert done.stderr.startswith("bwrtctl: ")
    for word in words:
        assert word in done.stderr
    return done


def wave_file(tmp_path, **changes):
    wave = {
        "spec": {
            "bm": 128,
            "bn": 128,
            "bk": 64,
            "clusterShape": {"x": 2, "y": 1},
            "tmemLayout": {"stageN": 2},
            "swapEnd": 1,
        },
        "m": 64,
        "n": 48,
        "k": 64,
    }
    wave.update(changes)
    path = tmp_path / "wave.json"
    path.write_text(json.dumps(wave))
    return path


def test_status(daemon):
    text = succeed(daemon.bwrtctl("status"))
    for word in ("SERVING", "cpu", "default", "bwrtd "):
        assert word in text
    status = succeed_json(daemon.bwrtctl("--json", "status"))
    assert set(status) == {"address", "health", "build", "devices", "device_choice", "models", "sample"}
    assert status["health"] == "SERVING"
    assert status["address"] == daemon.unix_address
    assert [model["name"] for model in status["models"]] == ["default"]


def test_caps(daemon):
    text = succeed(daemon.bwrtctl("caps"))
    assert "sha256:" in text
    assert "max_tiles" in text
    assert "--device=cpu" in text
    caps = succeed_json(daemon.bwrtctl("--json", "caps"))
    assert set(caps) == {
        "devices",
        "tile_whitelist",
        "whitelist_digest",
        "lenient_shapes",
        "limits",
        "build",
        "device_choice",
    }
    assert caps["device_choice"] == "--device=cpu"
    assert len(caps["tile_whitelist"]) == 4


def test_validate(daemon, tmp_path):
    assert succeed(daemon.bwrtctl("validate", PLAN)).count("valid: ") == 18
    plan = succeed_json(daemon.bwrtctl("--json", "validate", PLAN, "--dtype", "bf16"))
    assert (plan["waves"], plan["valid"], plan["invalid"]) == (18, 18, 0)
    assert plan["results"][0]["wave"] == "windows[0].waves[0]"

    path = wave_file(tmp_path)
    assert succeed(daemon.bwrtctl("validate", path)).startswith("valid: ")
    wave = succeed_json(daemon.bwrtctl("--json", "validate", path))
    assert wave["order"] == [{"m": 0, "n": 0}]
    assert succeed(daemon.bwrtctl("validate", "-", stdin=path.read_text())).startswith("valid: ")

    bad = wave_file(tmp_path, k=63, priority=101)
    fail(daemon.bwrtctl("validate", bad), FAILED, "k=63", "priority=101")
    error = json.loads(fail(daemon.bwrtctl("--json", "validate", bad), FAILED, "k=63").stdout)["error"]
    assert set(error) == {"code", "reason", "message", "violations"}
    assert error["code"] == "INVALID_ARGUMENT"
    assert {violation["field"] for violation in error["violations"]} == {"k", "priority"}
    assert {violation["reason"] for violation in error["violations"]} == {"K_GRANULARITY", "OUT_OF_RANGE"}


def test_submit(daemon, tmp_path):
    text = succeed(daemon.bwrtctl(*SMALL, "--verify"))
    for word in ("version 0", "ran on cpu", "tokens ", "verified: "):
        assert word in text
    out = tmp_path / "c"
    result = succeed_json(daemon.bwrtctl("--json", *SMALL, "--verify", "--seed", 3, "--out", out))
    assert set(result) >= {"c", "model", "version", "effective", "tokens", "timings", "readings", "verify"}
    assert set(result["c"]) == {"rows", "columns", "dtype", "bytes", "sha256", "first"}
    assert set(result["verify"]) == {"verified", "tiles", "max_rel_error", "tolerance"}
    assert result["verify"]["verified"] is True
    assert len(out.read_bytes()) == result["c"]["bytes"] == 64 * 48 * 4
    assert struct.unpack("<4f", out.read_bytes()[:16]) == pytest.approx(result["c"]["first"])

    again = succeed_json(daemon.bwrtctl("--json", *SMALL, "--seed", 3))
    assert again["c"] == result["c"]  # The generator repeats itself.
    options = ["--dtype", "bf16", "--c-dtype", "bf16", "--transposed", "--bias", "--beta", 2, "--activation", "relu"]
    succeed(daemon.bwrtctl(*SMALL, *options, "--verify"))
    succeed(daemon.bwrtctl("submit", "--file", wave_file(tmp_path), "--verify"))

    fail(daemon.bwrtctl(*SMALL, "--bm", 64), FAILED, "INVALID_ARGUMENT", "nearest listed")
    fail(daemon.bwrtctl(*SMALL, "--model", "none"), FAILED, "NOT_FOUND", "none")
    error = json.loads(fail(daemon.bwrtctl("--json", *SMALL, "--required-version", 9), FAILED).stdout)["error"]
    assert (error["code"], error["reason"]) == ("FAILED_PRECONDITION", "VERSION_MISMATCH")


def test_replay(daemon, tmp_path):
    text = succeed(daemon.bwrtctl("replay", PLAN, "--verify", "--k", 64))
    assert re.match(r"18 waves, \d+ tiles in .*: 18 verified, 0 failed, worst tile ", text)
    result = succeed_json(daemon.bwrtctl("--json", "replay", PLAN, "--verify", "--k", 64))
    assert list(result) == ["waves", "verified", "failed", "tiles", "max_rel_error", "seconds"]
    assert (result["waves"], result["verified"], result["failed"]) == (18, 18, 0)
    assert 0 < result["max_rel_error"] <= 1e-5
    assert result["seconds"] > 0
    unverified = succeed_json(daemon.bwrtctl("--json", "replay", PLAN, "--k", 64))
    assert (unverified["verified"], unverified["max_rel_error"]) == (0, 0)

    plan = json.loads(PLAN.read_text())
    plan[0]["waves"][0]["bm"] = 96
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    some = fail(daemon.bwrtctl("--json", "replay", path, "--k", 64), FAILED, "windows[0].waves[0]", "nearest listed")
    assert json.loads(some.stdout)["failed"] == 1
    plan[0]["waves"][0]["pack_order"] = [2**31]
    path.write_text(json.dumps(plan))
    fail(daemon.bwrtctl("replay", path), USAGE, "windows[0].waves[0].pack_order[0]")


def test_weights(serving, tmp_path):
    with serving() as daemon:
        data = tmp_path / "w.f32"
        data.write_bytes(struct.pack("<6f", *range(6)))
        set_one = ["weights", "set", "llama", "--tensor", f"a:f32:2x3={data}"]
        assert "llama: version 0 -> 1" in succeed(daemon.bwrtctl(*set_one, "--label", "step-1"))
        swap = ["--tensor", "b:bf16:64x48=random:5", "--label", "step-2", "--policy", "wait", "--wait-timeout", "5s"]
        done = succeed_json(daemon.bwrtctl("--json", *set_one, *swap, "--base-version", 1))
        assert set(done) == {"model", "version", "previous_version", "waited_seconds", "held_seconds"}
        assert (done["version"], done["previous_version"]) == ("2", "1")
        error = json.loads(fail(daemon.bwrtctl("--json", *set_one, "--base-version", 1), FAILED).stdout)["error"]
        assert (error["code"], error["reason"]) == ("ABORTED", "BASE_CHANGED")
        fail(daemon.bwrtctl("weights", "set", "llama", "--tensor", f"a:f32:2x4={data}"), USAGE, "24")
        fail(daemon.bwrtctl("weights", "set", "llama", "--tensor", "nonsense"), USAGE)

        text = succeed(daemon.bwrtctl("weights", "list"))
        assert "llama" in text
        assert "step-2" in text
        models = succeed_json(daemon.bwrtctl("--json", "weights", "list"))["models"]
        assert [(model["name"], model["version"]) for model in models] == [("default", "0"), ("llama", "2")]
        text = succeed(daemon.bwrtctl("weights", "list", "llama"))
        assert "window open" in text
        assert "64x48" in text
        model = succeed_json(daemon.bwrtctl("--json", "weights", "list", "llama"))
        assert set(model) == {"summary", "window", "tensors", "kept"}
        assert [(kept["version"], kept["label"]) for kept in model["kept"]] == [("1", "step-1")]
        assert [tensor["name"] for tensor in model["tensors"]] == ["a", "b"]
        fail(daemon.bwrtctl("weights", "list", "none"), FAILED, "NOT_FOUND")

        stored = ["--model", "llama", "--tensor", "b", "--dtype", "bf16", "--required-version", 2]
        assert "'step-2'" in succeed(daemon.bwrtctl(*SMALL, *stored, "--tensor-seed", 5, "--verify"))
        fail(daemon.bwrtctl(*SMALL, *stored, "--verify"), USAGE, "--tensor-seed")

        # A window that the last wave left closed: [0, 1) of two tiles.
        tight = ["submit", "--model", "llama", "--m", 256, "--n", 16, "--k", 32, "--swap-end", 1]
        succeed(daemon.bwrtctl(*tight))
        fail(daemon.bwrtctl(*set_one), FAILED, "SWAP_WINDOW_CLOSED", "[0,1)", "[1,1]")
        fail(daemon.bwrtctl(*set_one, "--policy", "wait", "--wait-timeout", "20ms"), FAILED, "SWAP_WAIT_TIMEOUT")
        assert "window closed" in succeed(daemon.bwrtctl("weights", "list", "llama"))
        for command in (["weights", "list"], ["status"]):
            (line,) = [line for line in succeed(daemon.bwrtctl(*command)).splitlines() if line.startswith("llama ")]
            assert re.search(r"  closed by wave \d+ window \[0,1\) clock \[1,1\]$", line), line
            opened, blocked = succeed_json(daemon.bwrtctl("--json", *command))["models"]
            assert opened["blockers"] == []
            (blocker,) = blocked["blockers"]
            assert (blocker["swap_begin"], blocker["swap_end"]) == ("0", "1")
            assert blocker["clock"] == {"lo": "1", "hi": "1"}
            assert (blocker["blocks"], blocker["in_flight"]) == (True, False)
        assert "2 -> 3" in succeed(daemon.bwrtctl(*set_one, "--policy", "when-idle"))


def test_updates(serving, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    values = struct.pack("<6f", *range(6))
    (root / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + values)
    with serving("--state-dir", str(tmp_path / "state"), "--weights-root", str(root)) as daemon:
        push = ["weights", "push", "llm", "--tensor", "p:bf16:64x48=random:1", "--digest", "sha256"]
        done = succeed_json(daemon.bwrtctl("--json", *push, "--label", "one"))
        assert (done["version"], done["previous_version"], done["bytes"]) == (1, 0, 64 * 48 * 2)

        update = succeed(
            daemon.bwrtctl("weights", "begin", "llm", "--tensor", "p:bf16:64x48", "--label", "two")
        ).strip()
        text = fail(daemon.bwrtctl("weights", "precommit", update), FAILED, "UPDATE_INCOMPLETE").stderr
        assert "6144 bytes" in text
        assert "0 B of 6.0 KiB" in succeed(daemon.bwrtctl("weights", "updates"))
        succeed(daemon.bwrtctl("weights", "stage", update, "--tensor", "p:bf16:64x48=random:2", "--digest", "none"))
        succeed(daemon.bwrtctl("weights", "precommit", update))
        succeed(daemon.bwrtctl("weights", "commit", update, "--policy", "wait"))
        again = succeed_json(daemon.bwrtctl("--json", "weights", "commit", update))
        assert again["repeated"] is True
        back = succeed_json(daemon.bwrtctl("--json", "weights", "rollback", "llm", "--to", 1))
        assert (back["swap"]["version"], back["restored_from"]) == ("3", "1")

        succeed(daemon.bwrtctl("weights", "load", "files", "model.safetensors"))
        out = tmp_path / "w.bin"
        succeed(daemon.bwrtctl("weights", "read", "files", "w", "--out", out))
        assert out.read_bytes() == values
        fail(daemon.bwrtctl("weights", "load", "files", "../model.safetensors"), FAILED, "FILE_PATH")
        fail(daemon.bwrtctl("weights", "rollback", "llm", "--to", 99), FAILED, "VERSION_NOT_KEPT")
        succeed(daemon.bwrtctl("weights", "delete", "files"))
        fail(daemon.bwrtctl("weights", "read", "files", "w"), FAILED, "MODEL_NOT_FOUND")

    # What was acknowledged is there again.
    with serving("--state-dir", str(tmp_path / "state")) as daemon:
        models = succeed_json(daemon.bwrtctl("--json", "weights", "list"))["models"]
        assert [(model["name"], model["version"]) for model in models] == [("default", "0"), ("llm", "3")]
        assert models[1]["durable"] is True
        assert models[1]["label"] == "one"


def test_ranks_stage_their_own_shards(serving, tmp_path):
    rows = [struct.pack("<3f", *(10 * row + column for column in range(3))) for row in range(5)]
    with serving() as daemon:
        tensor = "w:f32:5x3"
        update = succeed(daemon.bwrtctl("weights", "begin", "llm", "--tensor", tensor, "--ranks", 2)).strip()
        for rank, part in ((1, rows[3:]), (0, rows[:3])):
            file = tmp_path / f"rank{rank}.bin"
            file.write_bytes(b"".join(part))
            shard = ["--tensor", f"{tensor}={file}", "--ranks", 2, "--rank", rank]
            succeed(daemon.bwrtctl("weights", "stage", update, *shard))
        succeed(daemon.bwrtctl("weights", "precommit", update))
        succeed(daemon.bwrtctl("weights", "commit", update))
        out = tmp_path / "w.bin"
        succeed(daemon.bwrtctl("weights", "read", "llm", "w", "--out", out))
        assert out.read_bytes() == b"".join(rows)
        # One host that has all of it; its digests are checked shard by shard.
        push = ["weights", "push", "llm", "--tensor", f"{tensor}={out}", "--ranks", 3, "--digest", "sha256"]
        assert succeed_json(daemon.bwrtctl("--json", *push))["version"] == 2
        succeed(daemon.bwrtctl("weights", "read", "llm", "w", "--out", tmp_path / "again.bin"))
        assert (tmp_path / "again.bin").read_bytes() == out.read_bytes()


def test_watch_and_sample(serving):
    with serving() as daemon:
        sample = succeed_json(daemon.bwrtctl("--json", "sample"))
        assert set(sample) >= {"device", "waves", "compute_seconds", "advice"}
        assert sample["waves"] == 0
        succeed(daemon.bwrtctl("submit"))
        assert "sample of cpu over 1 waves" in succeed(daemon.bwrtctl("sample", "--device", "cpu"))
        lines = succeed(daemon.bwrtctl("--json", "sample", "--watch", "--interval", "50ms", "--count", 2)).splitlines()
        assert [json.loads(line)["waves"] for line in lines] == [1, 1]
        assert succeed(daemon.bwrtctl("sample", "--watch", "--interval", "50ms", "--count", 2)).count("sample of") == 2
        fail(daemon.bwrtctl("sample", "--device", "cuda:9"), FAILED, "NOT_FOUND", "cuda:9")
        fail(daemon.bwrtctl("watch", "none"), FAILED, "NOT_FOUND", "none")

        assert "SNAPSHOT  version 0" in succeed(daemon.bwrtctl("watch", "--count", 1))
        (line,) = succeed(daemon.bwrtctl("--json", "watch", "default", "--count", 1)).splitlines()
        assert set(json.loads(line)) == {"kind", "model", "version", "label", "window_open", "dropped"}
        assert json.loads(line)["kind"] == "SNAPSHOT"


def test_watch_follows_until_the_daemon_drains(serving, tmp_path):
    with serving() as daemon:
        output = tmp_path / "events"
        with output.open("wb") as stdout:
            command = daemon.bwrtctl_command("--json", "watch")
            watch = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, text=True
            )
        try:
            wait_until(lambda: "SNAPSHOT" in output.read_text(), "the watch begins")  # Events come unbuffered.
            succeed(daemon.bwrtctl("weights", "set", "default", "--tensor", "w:f32:4x4=random:1", "--label", "new"))
            wait_until(lambda: "VERSION" in output.read_text(), "the event arrives")
            daemon.process.send_signal(signal.SIGTERM)
            _, stderr = watch.communicate(timeout=PATIENCE)
        finally:
            watch.kill()
        assert watch.returncode == FAILED
        assert "DRAINING" in stderr
        events = [json.loads(line) for line in output.read_text().splitlines()]
        assert [event.get("kind") for event in events[:2]] == ["SNAPSHOT", "VERSION"]
        assert (events[1]["version"], events[1]["label"]) == ("1", "new")
        assert daemon.process.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["status", "--nonsense"],
        ["replay"],
        ["replay", "no/such/file"],
        ["replay", PLAN, "--dtype", "f8"],
        ["submit", "--cluster", "x"],
        ["submit", "--file", "f", "--m", "3"],
        ["sample", "--interval", "1s"],
        ["weights"],
        ["weights", "set", "m"],
        ["--server", "nowhere", "status"],
    ],
    ids=str,
)
def test_usage(daemon, arguments):
    server = [] if "--server" in arguments else ["--server", daemon.unix_address]
    done = fail(bwrtctl(*server, *arguments), USAGE)
    assert done.stdout == ""
    done = fail(bwrtctl(*server, *arguments, "--json"), USAGE)
    assert json.loads(done.stdout)["error"]["code"] in ("INVALID_ARGUMENT", "NOT_FOUND")


@pytest.mark.parametrize(
    "command", [["status"], ["caps"], ["watch"], ["sample"], ["weights", "list"], ["submit"]], ids=str
)
def test_nobody_answers(tmp_path, command):
    fail(bwrtctl("--server", f"unix:{tmp_path}/none", *command), UNREACHABLE)
    done = fail(bwrtctl("--server=127.0.0.1:1", "--json", *command), UNREACHABLE)
    assert json.loads(done.stdout)["error"]["code"] == "UNAVAILABLE"


def test_the_environment_names_the_server(daemon, monkeypatch):
    monkeypatch.setenv("BWRT_SERVER", daemon.tcp_address)
    assert daemon.tcp_address in succeed(bwrtctl("status"))


def test_help_and_broken_pipes(daemon):
    assert "replay" in succeed(bwrtctl("--help"))
    assert "--verify" in succeed(bwrtctl("replay", "--help"))
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            daemon.bwrtctl_command("caps"), stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE, check=False
        )
    assert done.returncode == FAILED


def test_tune(daemon, tmp_path):
    shapes = tmp_path / "shapes"
    shapes.write_text("# a comment\n64x48x64\n")
    out = tmp_path / "whitelist"
    more = ["--shape", "8x64x64:f8_e5m2:transposed", "--whitelist", out]
    done = succeed_json(daemon.bwrtctl("--json", "tune", "--shapes", shapes, *more))
    assert [result["shape"] for result in done["results"]] == ["64x48x64:f32", "8x64x64:f8_e5m2:transposed"]
    lines = out.read_text().splitlines()
    assert lines == sorted(set(lines), key=lambda line: [int(number) for number in line.split(",")])
    assert set(lines) == {result["winner"]["tile"] for result in done["results"]}
    assert done["whitelist"]["digest"] == "sha256:" + hashlib.sha256(out.read_bytes()).hexdigest()
    for result in done["results"]:
        assert result["gain"] == pytest.approx(result["first"]["median_us"] / result["winner"]["median_us"])
        m, n, k = (int(size) for size in result["shape"].split(":")[0].split("x"))
        assert result["winner"]["tflops"] == pytest.approx(2 * m * n * k / result["winner"]["median_us"] * 1e-6)
    text = succeed(daemon.bwrtctl("tune", "--shape", "64x48x64", "--budget", "1s"))
    assert text.count("\n") == 1 and "TFLOP/s" in text
    fail(daemon.bwrtctl("tune"), USAGE, "no shapes")
    fail(daemon.bwrtctl("tune", "--shape", "64x48"), USAGE, "needs three dimensions")
    fail(daemon.bwrtctl("tune", "--shapes", tmp_path / "none"), USAGE, "none")
    fail(daemon.bwrtctl("tune", "--shape", "64x48x7"), FAILED, "K_GRANULARITY")


def test_a_tuned_whitelist_is_one_that_bwrtd_reads(daemon, serving, tmp_path):
    out = tmp_path / "whitelist"
    done = succeed_json(daemon.bwrtctl("--json", "tune", "--shape", "64x48x64", "--whitelist", out))
    with serving(f"--tile-whitelist={out}") as other:
        assert succeed_json(other.bwrtctl("--json", "caps"))["whitelist_digest"] == done["whitelist"]["digest"]
