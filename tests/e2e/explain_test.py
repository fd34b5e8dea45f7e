"""bwrtctl explain, on a daemon of its own and on a named one."""

import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

PLAN = pathlib.Path(__file__).parent.parent / "data" / "bcache_waves.json"
SNAKE = 2  # The first window's third wave: its planner cut the snake off after five of six tiles.
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def explain(tmp_path):
    """Runs the command; nothing it started or made may be left behind."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def run(*args, **environment):
        env = {key: value for key, value in os.environ.items() if key != "BWRT_SERVER"}
        done = subprocess.run(
            [os.environ["BWRTCTL"], "explain", *map(str, args)],
            capture_output=True,
            text=True,
            timeout=60,
            env={**env, "TMPDIR": str(scratch), **environment},
        )
        assert list(scratch.iterdir()) == []
        return done

    return run


def spec_file(tmp_path, **fields):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"bm": 128, "bn": 128, "bk": 64, "swap_end": 1, "tail_policy": "PAD", **fields}))
    return path


def test_truncated_snake(explain):
    done = explain("--spec", PLAN, "--wave", SNAKE)
    assert done.returncode == 0, done.stderr
    head, grid, tokens, effective = done.stdout.split("\n\n")
    assert head.splitlines() == [
        "windows[0].waves[2]: M=256 N=384 K=512",
        "grid    2 x 3 tiles of 128 x 128, bk 64",
        "tiles   5 listed, 1 appended, 0 dropped, 0 omitted",
        "tokens  P=5 prefetch, T=5 tiles",
        "window  [5,10): open while tiles 1..5 (and appended 6) run and between waves; closed during prefetch",
    ]
    assert "  0 | 1  | 2  | 3  |" in grid
    assert "  1 | 6+ | 5  | 4  |" in grid
    assert tokens.splitlines()[1:] == [
        "tokens  p p p p p | 1 2 3 4 5+",
        "window              ^^^^^^^^^^ [5,10)",
    ]
    assert effective.startswith("runs on ")
    assert "spec.io_extents: 5 extents" in effective
    # The daemon is lenient, but this shape needs no leniency.
    assert "whitelist" not in effective


def test_picture_of_the_snake(explain, tmp_path):
    picture = tmp_path / "snake.svg"
    assert explain("--spec", PLAN, "--wave", SNAKE, "--svg", picture).returncode == 0
    root = ElementTree.parse(picture).getroot()
    assert root.tag == SVG + "svg"
    classes = [element.get("class") for element in root.iter()]
    assert classes.count("tile listed") == 5
    assert classes.count("tile appended") == 1
    tokens = [element for element in root.iter(SVG + "rect") if element.get("class") == "token"]
    (window,) = [element for element in root.iter(SVG + "rect") if element.get("class") == "window"]
    assert len(tokens) == 10
    assert window.get("x") == tokens[5].get("x")
    assert "swap window [5,10)" in "".join(root.itertext())


def test_json(explain):
    done = explain("--spec", PLAN, "--wave", SNAKE, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["wave"] == "windows[0].waves[2]"
    assert told["grid"] == {"rows": 2, "cols": 3, "bm": 128, "bn": 128}
    assert told["window"]["open_between_waves"] is True
    assert told["order"][5] == {"m": 1, "n": 0}
    assert told["effective"]["tiles_appended"] == "1"


@pytest.mark.parametrize("wave", range(18))
def test_every_wave_of_the_plan(explain, wave, tmp_path):
    done = explain("--spec", PLAN, "--wave", wave, "--svg", tmp_path / "wave.svg")
    assert done.returncode == 0, done.stderr
    ElementTree.parse(tmp_path / "wave.svg")


def test_tails(explain, tmp_path):
    dropped = explain("--spec", spec_file(tmp_path, tail_policy="DROP"), "--m", 200, "--n", 300)
    assert "  0 | 1  | 2  | 3x |\n" in dropped.stdout
    peeled = explain("--spec", spec_file(tmp_path, tail_policy="PEEL"), "--m", 200, "--n", 300)
    assert "  0 | 1  | 2  | 3~ |\n" in peeled.stdout
    assert "tails PEEL" in peeled.stdout


def test_appended_tiles_that_peel_runs_before_listed_ones(explain, tmp_path):
    # Of 2 x 3 tiles the last row and column are partial. Listed are a partial and a full one.
    order = [{"m": 1, "n": 0}, {"m": 0, "n": 0}]
    path = spec_file(tmp_path, tail_policy="PEEL", tile_order=order, swap_begin=1, swap_end=2)
    done = explain("--spec", path, "--m", 200, "--n", 300)
    assert done.returncode == 0, done.stderr
    assert "  0 | 1   | 2+  | 4+~ |\n" in done.stdout
    assert "  1 | 3~  | 5+~ | 6+~ |\n" in done.stdout
    assert "\ntokens  1 3+\n" in done.stdout
    assert (
        "[1,2): open while tiles 3 (and appended 2 and 4..6) run and between waves; closed while tile 1 runs\n"
        in done.stdout
    )


def test_a_request_that_covers_a_part(explain, tmp_path):
    path = tmp_path / "request.json"
    spec = {"bm": 2, "bn": 2, "bk": 2, "swap_end": 1, "tile_order": [{"m": 1, "n": 1}]}
    path.write_text(json.dumps({"m": 4, "n": 4, "k": 2, "spec": spec, "coverage": "PARTIAL", "model": "elsewhere"}))
    done = explain("--spec", path)
    assert done.returncode == 0, done.stderr
    assert "  0 | . | . |\n" in done.stdout
    assert "  1 | . | 1 |\n" in done.stdout
    assert "not on the daemon's whitelist" in done.stdout


def test_a_refused_spec_is_one_with_every_violation(explain, tmp_path):
    path = spec_file(tmp_path, bk=-1, swap_end=0)
    done = explain("--spec", path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "\n  spec.bk=-1: " in done.stderr
    assert "\n  spec.swap_end=0: " in done.stderr
    done = explain("--spec", path, "--json")
    assert done.returncode == 1
    fields = [violation["field"] for violation in json.loads(done.stdout)["error"]["violations"]]
    assert {"spec.bk", "spec.swap_end"} <= set(fields)


def test_what_is_no_wave_is_two(explain, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text('{"bm": ')
    assert explain("--spec", bad).returncode == 2
    bad.write_text('{"nonsense": 1}')
    assert explain("--spec", bad).returncode == 2
    assert explain("--spec", tmp_path / "none.json").returncode == 2
    assert explain("--spec", tmp_path).returncode == 2
    assert explain().returncode == 2
    done = explain("--spec", PLAN, "--wave", 18)
    assert done.returncode == 2
    assert "0 to 17" in done.stderr
    assert explain("--spec", PLAN, "--svg", tmp_path / "none" / "x.svg").returncode == 2


def test_without_any_daemon(tmp_path):
    lonely = tmp_path / "bwrtctl"
    shutil.copy(os.environ["BWRTCTL"], lonely)
    done = subprocess.run(
        [lonely, "explain", "--spec", PLAN], capture_output=True, text=True, timeout=60, env={"PATH": str(tmp_path)}
    )
    assert done.returncode == 3
    assert "--server" in done.stderr


def test_a_named_daemon_is_asked(explain, tmp_path):
    # Nobody is there, and no daemon is started instead.
    assert explain("--spec", PLAN, "--server", f"unix:{tmp_path}/none.sock").returncode == 3
    assert explain("--spec", PLAN, BWRT_SERVER=f"unix:{tmp_path}/none.sock").returncode == 3

    socket = tmp_path / "s"
    ready = tmp_path / "ready"
    with subprocess.Popen(
        [os.environ["BWRTD"], f"--listen=unix:{socket}", f"--ready-file={ready}"], stderr=subprocess.DEVNULL
    ) as daemon:
        pidfd = os.pidfd_open(daemon.pid)
        try:
            while not ready.exists():
                assert not select.select([pidfd], [], [], 0.02)[0], "the daemon ended"
            unlisted = spec_file(tmp_path, bk=32)
            assert explain("--spec", PLAN, BWRT_SERVER=f"unix:{socket}").returncode == 0
            done = explain("--spec", unlisted, "--server", f"unix:{socket}")
            assert done.returncode == 1, "this daemon is strict"
            assert explain("--spec", unlisted).returncode == 0, "one of its own is not"
        finally:
            os.close(pidfd)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(30) == 0
