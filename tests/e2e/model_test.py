"""bwrtctl model, on a daemon of its own and on a named one."""

import json
import shutil
import struct

import pytest
from conftest import PLAN, bwrtctl

SNAKE = 2  # The first window's third wave.
ONE = {"bm": 128, "bn": 128, "bk": 64, "swap_end": 1}
# 8 x 8 tiles.
SIZES = ["--m", 1024, "--n", 1024, "--k", 1024]


def spec_file(tmp_path, **fields):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({**ONE, **fields}))
    return path


def model(daemon, *arguments):
    return daemon.bwrtctl("model", *arguments)


def model_json(daemon, *arguments):
    done = model(daemon, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


def test_every_key(daemon, tmp_path):
    told = model_json(daemon, "--spec", spec_file(tmp_path), *SIZES, "--l2-mib", 60)
    assert set(told) == {
        "wave",
        "m",
        "n",
        "k",
        "dtype",
        "tiles",
        "l2_bytes",
        "concurrent_tiles",
        "read_bytes",
        "distinct_bytes",
        "traversals",
        "best",
        "given",
        "best_swizzle_group_size",
    }
    assert (told["m"], told["n"], told["k"], told["dtype"]) == (1024, 1024, 1024, "f32")
    assert told["tiles"] == 64
    assert told["l2_bytes"] == 60 << 20
    assert told["concurrent_tiles"] == 1
    # Each tile reads two panels of 128 x 1024 floats; sixteen are different.
    assert told["read_bytes"] == 64 * 2 * 128 * 1024 * 4
    assert told["distinct_bytes"] == 16 * 128 * 1024 * 4
    kinds = [(one["kind"], one.get("group_size")) for one in told["traversals"]]
    assert kinds == [("GIVEN", None), ("ROW_MAJOR", None), ("ROW_SNAKE", None)] + [("GROUPED", g) for g in (2, 4, 8)]
    for one in told["traversals"]:
        assert set(one) - {"group_size"} == {"name", "kind", "l2_hit_ratio", "memory_bytes", "relative"}
        # A and W are 8 MiB: every byte is read from memory once, in any order.
        assert one["memory_bytes"] == told["distinct_bytes"]
        assert one["l2_hit_ratio"] == 1 - told["distinct_bytes"] / told["read_bytes"]
        assert one["relative"] == 1
    assert told["best"] in [one["name"] for one in told["traversals"]]


def test_orders_differ_in_a_small_cache(daemon, tmp_path):
    told = model_json(daemon, "--spec", spec_file(tmp_path), *SIZES, "--l2-mib", 2.5)
    memory = {(one["kind"], one.get("group_size")): one["memory_bytes"] for one in told["traversals"]}
    panel = 128 * 1024 * 4
    # Five panels: in row-major order a row of A stays and W's eight columns do not; the snake keeps some of them.
    assert memory["ROW_MAJOR", None] == (8 + 64) * panel
    assert memory["GIVEN", None] == memory["ROW_MAJOR", None]
    assert told["distinct_bytes"] < memory["ROW_SNAKE", None] < memory["ROW_MAJOR", None]
    # Pairs of rows share each column of W.
    assert memory["GROUPED", 2] == (8 + 32) * panel
    best = min(told["traversals"], key=lambda one: one["memory_bytes"])
    assert told["best"] == best["name"]


def test_a_gpu_has_its_cache_and_multiprocessors(daemon):
    told = model_json(daemon, "--spec", PLAN, "--wave", SNAKE, "--gpu", "h100")
    assert told["l2_bytes"] == 50 << 20
    assert told["concurrent_tiles"] == 132
    assert "cache" not in told
    text = model(daemon, "--spec", PLAN, "--wave", SNAKE, "--gpu", "H100", "--concurrent", 7)
    assert "L2 of 50.0 MiB (h100), 7 tiles at once\n" in text.stdout


def test_the_default_is_the_cache_that_the_daemons_tiles_share(daemon):
    (device,) = json.loads(daemon.bwrtctl("--json", "caps").stdout)["devices"]
    told = model_json(daemon, "--spec", PLAN)
    assert told["cache"] == f"{device['cache']} of cpu"
    assert str(told["l2_bytes"]) == str(device["cache_bytes"])
    assert told["concurrent_tiles"] == device["cache_tiles"]
    assert f"the daemon's own: {told['cache']}, " in model(daemon, "--spec", PLAN).stdout
    assert model_json(daemon, "--spec", PLAN, "--concurrent", 3)["concurrent_tiles"] == 3


def test_it_needs_no_daemon(tmp_path):
    done = bwrtctl("model", "--json", "--spec", spec_file(tmp_path), *SIZES)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tiles"] == 64


def test_groups_and_the_given_swizzle(daemon, tmp_path):
    told = model_json(daemon, "--spec", spec_file(tmp_path, swizzle_group_size=3), *SIZES, "--group", "3,5")
    kinds = [(one["kind"], one.get("group_size")) for one in told["traversals"]]
    assert kinds == [("GIVEN", None), ("ROW_MAJOR", None), ("ROW_SNAKE", None), ("GROUPED", 3), ("GROUPED", 5)]
    assert told["traversals"][0]["memory_bytes"] == told["traversals"][3]["memory_bytes"]


@pytest.mark.skipif(shutil.which("gnuplot") is None, reason="needs gnuplot")
def test_plot(daemon, tmp_path):
    picture = tmp_path / "model.png"
    told = model_json(daemon, "--spec", spec_file(tmp_path), *SIZES, "--l2-mib", 2.5, "--plot", picture)
    assert told["plot"] == str(picture)
    data = picture.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert width > 400
    assert height > 200


@pytest.mark.skipif(shutil.which("gnuplot") is None, reason="needs gnuplot")
def test_a_plot_that_cannot_be_written_fails_after_the_answer(daemon, tmp_path):
    missing = tmp_path / "nowhere" / "model.png"
    done = model(daemon, "--spec", spec_file(tmp_path), *SIZES, "--plot", missing)
    assert done.returncode == 1
    assert "best: " in done.stdout
    assert str(missing) in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gpu", "h1000"], ["--gpu", "h1000: must be one of a100, "]),
        (["--gpu", "h100", "--l2-mib", "60"], ["--gpu", "--l2-mib"]),
        (["--l2-mib", "-1"], ["--l2-mib", "-1"]),
        (["--l2-mib", "0"], ["--l2-mib"]),
        (["--l2-mib", "2000000"], ["--l2-mib"]),
        (["--l2-mib", "much"], ["--l2-mib", "much"]),
        (["--concurrent", "0"], ["--concurrent"]),
        (["--concurrent", "65537"], ["--concurrent"]),
        (["--group", "2,0"], ["--group"]),
    ],
)
def test_bad_flags(daemon, tmp_path, arguments, words):
    done = model(daemon, "--spec", spec_file(tmp_path), *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr


def test_bad_files(daemon, tmp_path):
    done = model(daemon, *SIZES)
    assert done.returncode == 2
    assert "--spec" in done.stderr
    missing = tmp_path / "missing.json"
    done = model(daemon, "--spec", missing)
    assert done.returncode == 2
    assert str(missing) in done.stderr
    broken = tmp_path / "broken.json"
    broken.write_text('{"bm": 128,')
    done = model(daemon, "--spec", broken)
    assert done.returncode == 2
    assert str(broken) in done.stderr
    done = model(daemon, "--spec", PLAN, "--wave", 18)
    assert done.returncode == 2
    assert "18" in done.stderr


def test_bad_waves_are_refused_by_field(daemon, tmp_path):
    done = model(daemon, "--json", "--spec", spec_file(tmp_path, bm=0, bk=0), "--m", 64, "--n", 64)
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "INVALID_ARGUMENT"
    assert {"spec.bm", "spec.bk"} <= {violation["field"] for violation in error["violations"]}
    done = model(daemon, "--json", "--spec", spec_file(tmp_path, bm=1, bn=1), "--m", 100000, "--n", 100000)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "INVALID_ARGUMENT"
