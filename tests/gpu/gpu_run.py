"""The checks of a machine with a GPU: what `./dev check-gpu`, `verify-gpu` and `bench-gpu` run.

Needs Python 3.10 and its library only, a CUDA driver, cuBLASLt, and the folder that `./dev gpu-kit` makes: bwrtd,
bwrtctl, gpu_bench and libbwrt_cuda.so lie in bin/ beside this file, the waves that verify-gpu repeats in waves/. Each
command ends with a table and leaves a JSON file; its exit status is 0 when all is as it should be, 1 when not.
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 120  # Seconds that a bwrtd has to become ready, and to drain.
KERNELS = ("auto", "own", "cublaslt", "plain")
# Relative Frobenius error of the worst tile: issue and README promise these.
TOLERANCE = {"f32": 1e-5, "f16": 1e-2, "bf16": 1e-2, "f8_e4m3": 1e-2, "f8_e5m2": 1e-2}


class CheckError(Exception):
    """What can't be checked, and why."""


def note(text):
    print(f"gpu: {text}", file=sys.stderr, flush=True)


class Bwrtd:
    """A bwrtd on the GPU, under another program (a memory checker) where one is named."""

    def __init__(self, kit, flags, under=()):
        self._directory = tempfile.mkdtemp(prefix="bwrt-")
        self._log = pathlib.Path(self._directory, "log")
        ready = pathlib.Path(self._directory, "ready")
        self.address = f"unix:{self._directory}/s"
        command = [*under, kit.bwrtd, f"--listen={self.address}", f"--ready-file={ready}", f"--device={kit.device}"]
        if kit.plugin:
            command.append(f"--cuda-plugin={kit.plugin}")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([*command, *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > end:
                log = self.log()
                self.kill()
                raise CheckError(f"bwrtd does not start: {log.strip()[-2000:]}")
            time.sleep(0.02)

    def log(self):
        return self._log.read_text(errors="replace")

    def stop(self):
        """Drains it; its exit status and what it logged."""
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            status = -1
        log = self.log()
        self.kill()
        return status, log

    def kill(self):
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


class Kit:
    """The binaries, and which GPU they are to use."""

    def __init__(self, options):
        binaries = pathlib.Path(options.bin) if options.bin else HERE / "bin"
        self.bwrtd = str(binaries / "bwrtd")
        self.bwrtctl = str(binaries / "bwrtctl")
        self.bench = str(binaries / "gpu_bench")
        self.plugin = options.cuda_plugin or str(binaries / "libbwrt_cuda.so")
        self.device = f"cuda:{options.gpu}"
        for binary in (self.bwrtd, self.bwrtctl, self.plugin):
            if not pathlib.Path(binary).exists():
                raise CheckError(f"{binary} is not there; make the folder with ./dev gpu-kit where bwrt is built")

    @contextlib.contextmanager
    def serving(self, *flags, under=()):
        daemon = Bwrtd(self, flags, under)
        try:
            yield daemon
        finally:
            daemon.kill()

    def ctl(self, *arguments):
        """Runs bwrtctl --json; its exit status and the object it prints, or None, and what it says on stderr."""
        done = subprocess.run(
            [self.bwrtctl, "--json", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            found = json.loads(done.stdout)
        except ValueError:
            found = None
        return done.returncode, found, done.stderr.strip()

    def describe(self):
        """The GPU and the libraries, as bwrtd tells it."""
        with self.serving() as daemon:
            status, found, error = self.ctl("--server", daemon.address, "caps")
            if status != 0:
                raise CheckError(f"bwrtctl caps: {error}")
            device = next((d for d in found.get("devices", []) if d.get("name") == self.device), None)
            return {"device": device, "build": found.get("build")}


class Table:
    """Rows for people and the same as JSON."""

    def __init__(self, *columns):
        self._columns = columns
        self.rows = []

    def add(self, **row):
        self.rows.append(row)
        note(" ".join(f"{key}={self._text(value)}" for key, value in row.items()))

    @staticmethod
    def _text(value):
        if value is None:
            return "-"
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    def __str__(self):
        lines = [self._columns, *([self._text(row.get(column)) for column in self._columns] for row in self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self._columns))]
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    def good(self):
        return bool(self.rows) and all(row["verdict"] == "ok" for row in self.rows)


def judge(status, found, error, waves):
    """What verify found, as columns; it must have compared every wave, none may differ."""
    if found is None or "compared" not in found:
        return {"waves": waves, "verdict": f"failed: {error[-400:]}"}
    worst = found.get("worst_rel_error", {})
    row = {"waves": waves, "compared": found["compared"], "exact": found["exact"], "mismatches": found["mismatches"]}
    row.update({dtype: worst.get(dtype) for dtype in TOLERANCE})
    row["seconds"] = round(float(found["seconds"]), 1)
    wrong = status != 0 or found["mismatches"] or found["compared"] + found["not_compared"] < waves
    over = [dtype for dtype, most in TOLERANCE.items() if (worst.get(dtype) or 0.0) > most]
    row["verdict"] = f"failed: {error[-400:]}" if wrong else f"over the tolerance: {over}" if over else "ok"
    return row


COLUMNS = ("step", "waves", "compared", "exact", "mismatches", *TOLERANCE, "seconds", "verdict")


def check(kit, options):
    """Random waves on each kernel against the float64 reference, every output poisoned first; then a memory checker."""
    table = Table(*COLUMNS)
    for kernel in KERNELS:
        with kit.serving(f"--cuda-kernel={kernel}", "--cuda-poison") as daemon:
            found = kit.ctl(
                *("--server", daemon.address, "verify", f"--waves={options.waves}", f"--seed={options.seed}"),
                *(f"--device={kit.device}", "--keep-going"),
            )
            row = judge(*found, options.waves)
            status, log = daemon.stop()
            if status != 0 and row["verdict"] == "ok":
                row["verdict"] = f"failed: bwrtd ended with {status}: {log.strip()[-400:]}"
            table.add(step=f"random waves, {kernel}", **row)
    memory_check(kit, options, table)
    return table.good(), {"steps": table.rows, "seed": options.seed}, str(table)


def find_sanitizer():
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    return shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path=f"{home}/bin")


def memory_check(kit, options, table):
    sanitizer = find_sanitizer()
    if sanitizer is None:
        note("no compute-sanitizer on PATH or in CUDA_HOME/bin: memory is not checked")
        return
    waves = max(1, options.waves // 32)
    for kernel in KERNELS[1:]:
        under = (sanitizer, "--tool=memcheck", "--error-exitcode=99", "--target-processes=all")
        with kit.serving(f"--cuda-kernel={kernel}", under=under) as daemon:
            found = kit.ctl(
                *("--server", daemon.address, "verify", f"--waves={waves}", f"--seed={options.seed + 1}"),
                *(f"--device={kit.device}", "--timeout=300s"),
            )
            row = judge(*found, waves)
            status, log = daemon.stop()
            if status != 0 and row["verdict"] == "ok":
                row["verdict"] = f"failed: the memory checker ended with {status}: {log.strip()[-400:]}"
            table.add(step=f"memcheck, {kernel}", **row)


def verify(kit, options):
    """Two contrasting waves, each repeated with fresh operands against the float64 reference."""
    table = Table(*COLUMNS)
    waves = HERE / "waves" if (HERE / "waves").is_dir() else HERE
    # What reads and writes C needs a region: a repeat compares no more than it names.
    contrasting = (
        ("compute heavy", "compute_heavy.json", ()),
        ("read-modify-write", "read_modify_write.json", ("--region=64:384,128:512",)),
    )
    for name, file, more in contrasting:
        with kit.serving() as daemon:
            found = kit.ctl(
                *("--server", daemon.address, "verify", "--ref-device=reference", f"--device={kit.device}"),
                *(f"--waves={options.waves}", "--compare-every=1", f"--seed={options.seed}"),
                *(f"--spec={waves / file}", *more),
            )
            table.add(step=name, **judge(*found, options.waves))
    return table.good(), {"steps": table.rows, "seed": options.seed}, str(table)


def bench(kit, options):
    """The figures of tests/bench/README.md, "GPU"."""
    with tempfile.TemporaryDirectory(prefix="bwrt-") as directory:
        out = pathlib.Path(directory, "figures.json")
        command = [kit.bench, f"--bwrtd={kit.bwrtd}", f"--cuda-plugin={kit.plugin}", f"--gpu={options.gpu}"]
        command += [f"--out={out}", *options.bench]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0 or not out.exists():
            return False, {}, f"{done.stdout}gpu_bench ended with {done.returncode}"
        figures = json.loads(out.read_text())
    missed = [line for line in done.stdout.splitlines() if line.endswith("MISSED")]
    return not missed, figures, done.stdout.rstrip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("check-gpu", "verify-gpu", "bench-gpu"))
    parser.add_argument("--gpu", type=int, default=0, help="which one, from 0, as CUDA counts")
    parser.add_argument("--waves", type=int, default=1024, help="of each step")
    parser.add_argument("--seed", type=int, help="of waves and operands; default: another one each time")
    parser.add_argument("--json", action="store_true", help="the JSON object instead of the table")
    parser.add_argument("--out", help="the JSON file; default: COMMAND.json in the current folder")
    parser.add_argument("--bin", help="where the binaries are; default: bin beside this file")
    parser.add_argument("--cuda-plugin", help="default: libbwrt_cuda.so among the binaries")
    parser.add_argument("bench", nargs="*", help="options of gpu_bench, after --")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 31)
    run = {"check-gpu": check, "verify-gpu": verify, "bench-gpu": bench}[options.command]
    begin = time.monotonic()
    try:
        kit = Kit(options)
        surroundings = kit.describe()
        good, found, table = run(kit, options)
    except CheckError as error:
        sys.exit(f"gpu: {error}")
    result = {"command": options.command, "good": good, "seconds": round(time.monotonic() - begin, 1), **surroundings}
    result.update(found)
    out = pathlib.Path(options.out or f"{options.command}.json")
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result) if options.json else table)
    note(f"{'all is well' if good else 'NOT as it should be'}; {out}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
