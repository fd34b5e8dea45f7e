"""The demo keeps its promises; its last line sums them up."""

import os
import re
import subprocess

from conftest import PATIENCE, ROOT


def demo(bwrtd, bwrtctl):
    return subprocess.run(
        [ROOT / "client/demo.sh", bwrtd, bwrtctl], capture_output=True, text=True, timeout=2 * PATIENCE, check=False
    )


def test_the_demo():
    done = demo(os.environ["BWRTD"], os.environ["BWRTCTL"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(
        r"demo: 36 waves verified \(worst tile f32 [\d.e-]+, bf16 [\d.e-]+\), 1 swap refused, 1 accepted"
        r" \(version 1 -> 2\), daemon exited 0",
        done.stdout.splitlines()[-1],
    )
    for series in ("waves_total", "model_version", "swap_total", "wgmma_active_ratio", "l2_hit_ratio"):
        assert f"bwrt_{series}{{" in done.stdout


def test_the_demo_fails_where_the_daemon_does():
    done = demo("/bin/false", os.environ["BWRTCTL"])
    assert done.returncode != 0
    assert "demo: " in done.stderr
    assert "exited 0" not in done.stdout
