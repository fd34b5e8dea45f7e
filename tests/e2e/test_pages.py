"""A planner's segment files, with holes and a short one, read through the real daemon."""

import contextlib
import hashlib
import json
import os
import select
import signal
import subprocess
import time

import pytest

PAGE = 4096


@contextlib.contextmanager
def daemon(tmp_path, *flags):
    """A daemon on a Unix socket; yields a function that runs bwrtctl against it."""
    socket = tmp_path / "b.sock"
    ready = tmp_path / "ready.json"
    process = subprocess.Popen(
        [os.environ["BWRTD"], f"--listen=unix:{socket}", f"--ready-file={ready}", *flags],
        stderr=subprocess.DEVNULL,
    )
    pidfd = os.pidfd_open(process.pid)
    try:
        deadline = time.monotonic() + 30
        # The ready file appears at once and whole; a daemon that ends instead is told by its pidfd.
        while not ready.exists():
            assert not select.select([pidfd], [], [], 0.02)[0], "the daemon ended"
            assert time.monotonic() < deadline

        def ctl(*args):
            return subprocess.run(
                [os.environ["BWRTCTL"], f"--server=unix:{socket}", "--json", *args],
                capture_output=True,
                text=True,
                timeout=60,
            )

        yield ctl
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        os.close(pidfd)
        process.kill()
        process.wait()


@pytest.fixture
def segments(tmp_path):
    """Layer 6: 20 pages, 3 to 5 a hole. Layer 7: two pages and a bit. Layer 8: a directory."""
    root = tmp_path / "pages"
    folder = root / "M" / "V"
    folder.mkdir(parents=True)
    with open(folder / "layer_6.seg", "wb") as file:
        for page in range(20):
            file.seek(page * PAGE)
            if page not in (3, 4, 5):
                file.write(os.urandom(PAGE))
    (folder / "layer_7.seg").write_bytes(os.urandom(2 * PAGE + 100))
    (folder / "layer_8.seg").mkdir()
    return root


def submit(ctl, tmp_path, extents):
    count = len(extents)
    wave = {
        "m": 128,
        "n": 128,
        "k": 64,
        "spec": {
            "bm": 128,
            "bn": 128,
            "bk": 64,
            "cluster_shape": {"x": 2, "y": 1},
            "tmem_layout": {"stage_n": 2},
            "swap_begin": count,
            "swap_end": count + 1,
            "io_extents": [{"layer": x, "start_pid": a, "end_pid": b} for x, a, b in extents],
        },
    }
    file = tmp_path / "wave.json"
    file.write_text(json.dumps(wave))
    return ctl("submit", "--file", str(file), "--verify")


def error(result):
    assert result.returncode == 1, result
    return json.loads(result.stdout)["error"]


def test_cached_pages_equal_the_file(tmp_path, segments):
    flag = f"--pages=root={segments},model_id=M,model_version=V,page_bytes={PAGE}"
    with daemon(tmp_path, flag) as ctl:
        done = submit(ctl, tmp_path, [("6", 0, 9), ("6", 5, 12), ("6", 9, 3)])
        assert done.returncode == 0, done

        listed = json.loads(ctl("pages", "--sha256").stdout)
        content = (segments / "M" / "V" / "layer_6.seg").read_bytes()
        assert [p["pid"] for p in listed["pages"]] == list(range(13))
        for page in listed["pages"]:
            expected = content[page["pid"] * PAGE : (page["pid"] + 1) * PAGE]
            assert page["sha256"] == hashlib.sha256(expected).hexdigest(), page["pid"]
        cache = listed["cache"]
        assert int(cache["hits"]) == 5  # Pages 5 to 9 of the second extent.
        assert int(cache["misses"]) + int(cache["late"]) == 13
        assert int(cache["read_bytes"]) == 13 * PAGE


def test_a_short_file_fails_its_wave_alone(tmp_path, segments):
    flag = f"--pages=root={segments},model_id=M,model_version=V,page_bytes={PAGE}"
    with daemon(tmp_path, flag) as ctl:
        short = error(submit(ctl, tmp_path, [("6", 0, 1), ("7", 0, 2)]))
        assert short["reason"] == "PAGE_PAST_END"
        assert "M/V/layer_7.seg: page 2 is past the end: the file has 8292 bytes" in short["message"]
        assert str(segments) not in short["message"]
        assert submit(ctl, tmp_path, [("7", 0, 1)]).returncode == 0

        assert error(submit(ctl, tmp_path, [("9", 0, 0)]))["reason"] == "PAGE_FILE_MISSING"
        assert error(submit(ctl, tmp_path, [("8", 0, 0)]))["reason"] == "PAGE_FILE_UNREADABLE"
        for layer in ("..", "../M/V/layer_6", "6/7", "-1", "2147483648"):
            refused = error(submit(ctl, tmp_path, [(layer, 0, 0)]))
            assert refused["violations"][0]["field"] == "spec.io_extents[0].layer", layer
        # Nothing of it hurt the daemon or left anything in flight.
        assert submit(ctl, tmp_path, [("6", 0, 19)]).returncode == 0


def test_a_bounded_cache_drops_pages_and_reads_them_again(tmp_path, segments):
    flag = f"--pages=root={segments},model_id=M,model_version=V,page_bytes={PAGE * 64}"
    big = segments / "M" / "V" / "layer_1.seg"
    with open(big, "wb") as file:
        file.truncate(8 * 64 * PAGE)  # All hole: eight pages of 256 KiB, in a cache of four.
    with daemon(tmp_path, flag, "--page-cache=1M") as ctl:
        for _ in range(2):
            assert submit(ctl, tmp_path, [("1", 0, 7)]).returncode == 0
        cache = json.loads(ctl("pages").stdout)["cache"]
        assert int(cache["pages"]) == 4
        assert int(cache["used_bytes"]) == 1 << 20
        # The second wave found some of the last four; how many depends on how fast the others pushed them out.
        assert 12 * 64 * PAGE <= int(cache["read_bytes"]) <= 16 * 64 * PAGE


def test_without_a_page_source_extents_are_only_counted(tmp_path):
    with daemon(tmp_path) as ctl:
        done = submit(ctl, tmp_path, [("6", 0, 9)])
        assert done.returncode == 0
        fields = [d["field"] for d in json.loads(done.stdout)["effective"]["downgrades"]]
        assert "spec.io_extents" in fields
        assert error(ctl("pages"))["reason"] == "NO_PAGE_SOURCE"
