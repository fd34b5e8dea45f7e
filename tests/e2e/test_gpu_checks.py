"""check-gpu and verify-gpu as a machine with a GPU runs them, on a fake GPU that computes; and on one that errs."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from conftest import PATIENCE, ROOT


@pytest.fixture(name="binaries")
def binaries_fixture(tmp_path):
    """A folder with the binaries, as gpu-kit makes it."""
    for variable, name in (("BWRTD", "bwrtd"), ("BWRTCTL", "bwrtctl"), ("BWRT_FAKE_CUDA", "libbwrt_cuda.so")):
        (tmp_path / name).symlink_to(pathlib.Path(os.environ[variable]).resolve())
    return tmp_path


def run(binaries, *arguments, **environment):
    out = binaries / "out.json"
    # No sanitizer of CUDA's: there is nothing for it to see.
    surroundings = {**os.environ, "CUDA_HOME": str(binaries), **environment}
    done = subprocess.run(
        [sys.executable, ROOT / "tests/gpu/gpu_run.py", *arguments, f"--bin={binaries}", f"--out={out}", "--seed=5"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=surroundings,
        cwd=binaries,  # verify leaves the bundle of a mismatch there.
        timeout=4 * PATIENCE,
        check=False,
    )
    return done, json.loads(out.read_text()) if out.exists() else None


def test_check(binaries):
    done, found = run(binaries, "check-gpu", "--waves=24")
    assert done.returncode == 0, done.stderr
    assert found["good"]
    assert found["device"]["name"] == "cuda:0"
    assert [step["step"] for step in found["steps"]] == [
        f"random waves, {kernel}" for kernel in ("auto", "own", "cublaslt", "plain")
    ]
    for step in found["steps"]:
        assert (step["waves"], step["mismatches"], step["verdict"]) == (24, 0, "ok")
        assert step["compared"] > 0
    assert done.stdout.splitlines()[0].split()[:3] == ["step", "waves", "compared"]


def test_verify(binaries):
    done, found = run(binaries, "verify-gpu", "--waves=3", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == found
    assert [(step["step"], step["compared"]) for step in found["steps"]] == [
        ("compute heavy", 3),
        ("read-modify-write", 3),
    ]


@pytest.mark.parametrize("command", ["check-gpu", "verify-gpu"])
def test_a_gpu_that_errs_is_found_out(binaries, command):
    done, found = run(binaries, command, "--waves=3", BWRT_FAKE_CUDA_WRONG="1")
    assert done.returncode == 1
    assert not found["good"]
    assert any(step["verdict"] != "ok" for step in found["steps"])


def test_without_a_gpu(binaries):
    (binaries / "bwrtd").unlink()
    (binaries / "bwrtd").write_text("#!/bin/sh\necho no GPU here >&2\nexit 1\n")
    (binaries / "bwrtd").chmod(0o755)
    done, found = run(binaries, "check-gpu", "--waves=3")
    assert done.returncode == 1
    assert found is None
    assert done.stderr.strip() == "gpu: bwrtd does not start: no GPU here"


def test_without_the_folder(tmp_path):
    done, found = run(tmp_path, "check-gpu")
    assert done.returncode == 1
    assert found is None
    assert "./dev gpu-kit" in done.stderr
