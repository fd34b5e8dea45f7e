"""What the binaries are linked with, and what they show."""

import os
import pathlib
import subprocess

import pytest

BWRTD = pathlib.Path(os.environ["BWRTD"])
PLUGIN = BWRTD.parent.parent / "runtime/libbwrt_cuda.so"


def needed(path):
    """The shared libraries that a binary asks for itself."""
    dynamic = subprocess.run(["readelf", "--dynamic", path], capture_output=True, text=True, check=True).stdout
    return [line.split("[")[1].rstrip("]") for line in dynamic.splitlines() if "(NEEDED)" in line]


def test_bwrtd_links_nothing_of_cuda():
    libraries = needed(BWRTD)
    assert "libc.so.6" in libraries
    assert not [name for name in libraries if "cuda" in name or "cublas" in name or "nvidia" in name]


@pytest.mark.skipif(not PLUGIN.exists(), reason="no CUDA toolkit")
def test_the_plugin_links_nothing_of_cuda_and_shows_one_symbol():
    assert not [name for name in needed(PLUGIN) if "cuda" in name or "cublas" in name or "nvidia" in name]
    symbols = subprocess.run(["nm", "--dynamic", "--defined-only", PLUGIN], capture_output=True, text=True, check=True)
    assert [line.split()[-1] for line in symbols.stdout.splitlines()] == ["bwrt_cuda_plugin"]
