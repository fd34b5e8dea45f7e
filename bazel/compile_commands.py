"""Writes compile_commands.json for the C++ files of this workspace, from `bazel aquery`.

The commands run from the workspace root, through its bazel-out link, with --config=opt.
"""

import json
import os
import pathlib
import subprocess
import sys

# Flags of gcc that clang's tools do not know.
GCC_ONLY = {"-fno-canonical-system-headers", "-Wno-free-nonheap-object"}


def compile_actions():
    command = ["bazel", "aquery", "--config=opt", "--output=jsonproto", "--noshow_progress"]
    command += ["--ui_event_filters=-info", 'mnemonic("CppCompile", //...)']
    query = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    if query.returncode != 0:
        sys.exit("compile_commands: bazel aquery failed")
    return json.loads(query.stdout).get("actions", [])


def external_root():
    """Where the paths that begin with external/ lie: the workspace has no link to it."""
    command = ["bazel", "info", "--ui_event_filters=-info", "output_base"]
    query = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if query.returncode != 0:
        sys.exit("compile_commands: bazel info failed")
    return query.stdout.strip() + "/"


def entries(root):
    """Yields one entry for each source file that is ours and not generated."""
    seen = set()
    externals = external_root()
    for action in compile_actions():
        arguments = action["arguments"]
        source = arguments[arguments.index("-c") + 1]
        if source in seen or source.startswith(("bazel-out/", "external/")):
            continue
        seen.add(source)
        flags = [a for a in arguments[1:] if a not in GCC_ONLY]
        flags = [externals + a if a.startswith("external/") else a for a in flags]
        yield {
            "directory": root,
            "file": source,
            "arguments": ["clang++-14", "-Wno-unknown-warning-option", *flags],
        }


def main():
    root = os.getcwd()
    commands = sorted(entries(root), key=lambda entry: entry["file"])
    text = json.dumps(commands, indent=1) + "\n"
    pathlib.Path("compile_commands.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
