"""Runs clang-tidy-14 over compile_commands.json, and only on what changed since it last passed.

A pass is remembered under a digest of the file, of the workspace headers and protos that it
includes (directly or not), of its compile command and of .clang-tidy.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

# Shallow path analysis: a second a file instead of half a minute for some.
SHALLOW = ("-Xclang", "-analyzer-config", "-Xclang", "mode=shallow")
COMMAND = ["clang-tidy-14", "--quiet", "-p", "."] + [f"--extra-arg={flag}" for flag in SHALLOW]

CACHE = pathlib.Path.home() / ".cache/bwrt/clang-tidy"
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)
PROTO_HEADER = re.compile(r"(\.grpc)?\.pb\.h$")


def inclusion_closure(source):
    """The workspace files that decide what the compiler sees, the source first."""
    closure, pending = [], [pathlib.Path(source)]
    while pending:
        path = pending.pop()
        if path in closure or not path.is_file():
            continue
        closure.append(path)
        if path.suffix == ".proto":
            imports = re.findall(r'import "([^"]+)"', path.read_text(encoding="utf-8"))
            pending += [pathlib.Path("proto", name) for name in imports]
            continue
        for name in INCLUDE.findall(path.read_text(encoding="utf-8")):
            if PROTO_HEADER.search(name):
                pending.append(pathlib.Path("proto", PROTO_HEADER.sub(".proto", name)))
            else:
                pending += [pathlib.Path(name), path.parent / name]
    return closure


def digest(entry, config):
    state = hashlib.sha256(config)
    state.update(json.dumps([COMMAND, entry["arguments"]]).encode())
    for path in inclusion_closure(entry["file"]):
        state.update(f"\0{path}\0".encode() + path.read_bytes())
    return state.hexdigest()


def check(entry, config):
    """Returns what clang-tidy has to say about one file; nothing means that it passes."""
    passed = CACHE / digest(entry, config)
    if passed.exists():
        passed.touch()
        return ""
    command = [*COMMAND, entry["file"]]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        return result.stdout + result.stderr
    passed.touch()
    return ""


def main():
    entries = json.loads(pathlib.Path("compile_commands.json").read_text(encoding="utf-8"))
    config = pathlib.Path(".clang-tidy").read_bytes()
    CACHE.mkdir(parents=True, exist_ok=True)
    findings = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for output in pool.map(lambda entry: check(entry, config), entries):
            if output:
                findings += 1
                print(output, end="", flush=True)
    print(f"clang-tidy: {len(entries)} files, {findings} with findings", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
