"""Fixtures: a real daemon, and bwrtctl talking to it.

./dev test names the binaries in the environment: BWRTD, BWRTCTL, and BWRT_FAKE_CUDA, a CUDA plugin over a fake GPU.
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time

import pytest

PATIENCE = 60  # Seconds: longer than anything takes, even on a busy machine.

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLAN = ROOT / "tests/data/bcache_waves.json"


def wait_until(condition, what):
    """Polls until `condition` returns something true, and returns that."""
    end = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"timed out: {what}"
        time.sleep(0.01)


class Daemon:
    """A daemon that serves on a Unix socket and a loopback port."""

    def __init__(self, directory, *flags):
        self.directory = pathlib.Path(directory)
        self._log = self.directory / "log"
        ready = self.directory / "ready"
        command = [os.environ["BWRTD"], f"--listen=unix:{directory}/s", "--listen=127.0.0.1:0", f"--ready-file={ready}"]
        if not any(flag.startswith("--device") for flag in flags):
            command.append("--device=cpu")  # Also where there is a GPU.
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([*command, *flags], stdin=subprocess.DEVNULL, stderr=log)
        wait_until(lambda: ready.exists() or self.process.poll() is not None, "the daemon starts")
        assert self.process.poll() is None, self.log()
        addresses = json.loads(ready.read_text())
        self.unix_address, self.tcp_address = addresses["listen"]
        self.metrics_address = addresses.get("metrics")

    def log(self):
        return self._log.read_text()

    def stop(self):
        """Drains it, if it has not ended; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def bwrtctl(self, *arguments, **options):
        return bwrtctl("--server", self.unix_address, *arguments, **options)

    def bwrtctl_command(self, *arguments):
        return bwrtctl_command("--server", self.unix_address, *arguments)


def bwrtctl_command(*arguments):
    return [os.environ["BWRTCTL"], *map(str, arguments)]


def bwrtctl(*arguments, stdin=None):
    """Runs bwrtctl to its end; its output is captured."""
    return subprocess.run(
        bwrtctl_command(*arguments),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextlib.contextmanager
def serving(*flags):
    # Not pytest's directory: the name of a Unix socket is short.
    with tempfile.TemporaryDirectory(prefix="bwrt-") as directory:
        daemon = Daemon(directory, *flags)
        try:
            yield daemon
            assert daemon.stop() == 0, daemon.log()
        finally:
            daemon.process.kill()
            daemon.process.wait(PATIENCE)


@pytest.fixture(name="serving")
def serving_fixture():
    """Starts a daemon with flags, as a context; it must drain with status 0."""
    return serving


@pytest.fixture(scope="module")
def daemon():
    """A daemon that a module's tests share."""
    with serving() as started:
        yield started
