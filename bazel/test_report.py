"""Counts the test cases of one ./dev test run and names those that failed.

Reads Bazel's build event file, which lists the targets and test results of exactly one
invocation (cached ones included), the test.xml files that it names, and pytest's JUnit file.
Ends with the line `N passed, N failed[, N skipped]`; exits 1 if anything failed.
"""

import argparse
import json
import pathlib
import sys
import urllib.parse
import xml.etree.ElementTree as ET
from collections import Counter


class Report:
    def __init__(self):
        self.counts = Counter()
        self.failures = []  # (name, where to read more)

    def fail(self, name, log):
        self.counts["failed"] += 1
        self.failures.append((name, log))

    def add_junit(self, path, suite, log):
        """Adds every case of a JUnit file; returns how many failed, or None if it is unreadable."""
        try:
            cases = list(ET.parse(path).getroot().iter("testcase"))
        except (OSError, ET.ParseError):
            return None
        failed = 0
        for case in cases:
            if case.find("failure") is not None or case.find("error") is not None:
                parts = (case.get("classname"), case.get("name"))
                self.fail(f"{suite} {'.'.join(p for p in parts if p)}", log)
                failed += 1
            elif case.find("skipped") is not None or case.get("status") == "notrun":
                self.counts["skipped"] += 1
            else:
                self.counts["passed"] += 1
        return failed


def local_path(uri):
    return urllib.parse.unquote(urllib.parse.urlparse(uri).path)


def add_bazel(report, events_path, exit_code):
    """Adds the targets that did not build, and the last attempt at each test that ran."""
    results = {}
    unbuilt = set()
    try:
        lines = pathlib.Path(events_path).read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        event = json.loads(line)
        if "testResult" in event["id"]:
            key = event["id"]["testResult"]
            results[key["label"], key.get("run", 1), key.get("shard", 1)] = event["testResult"]
        elif "targetCompleted" in event["id"] and not event.get("completed", {}).get("success"):
            # Bazel lists what it never got to as well; "SKIPPED" is a test left out on purpose.
            if event.get("aborted", {}).get("reason") != "SKIPPED":
                unbuilt.add(event["id"]["targetCompleted"]["label"])

    for label in sorted(unbuilt):
        report.fail(f"{label} did not build", "see above")
    for (label, _, _), result in sorted(results.items()):
        files = {f["name"]: local_path(f["uri"]) for f in result.get("testActionOutput", [])}
        log = files.get("test.log", "no log")
        failed = report.add_junit(files["test.xml"], label, log) if "test.xml" in files else None
        if result["status"] != "PASSED" and not failed:
            report.fail(f"{label} {result['status']}", log)
        elif failed is None:
            report.counts["passed"] += 1
    explained = {0: True, 3: report.failures, 4: True}  # Done, tests failed, no test found.
    if not explained.get(exit_code, unbuilt):
        report.fail(f"bazel test ended with status {exit_code}", "see above")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bazel-events")
    parser.add_argument("--bazel-exit", type=int, default=0)
    parser.add_argument("--pytest-junit")
    parser.add_argument("--pytest-exit", type=int, default=0)
    args = parser.parse_args()

    report = Report()
    if args.bazel_events:
        add_bazel(report, args.bazel_events, args.bazel_exit)
    if args.pytest_junit:
        failed = report.add_junit(args.pytest_junit, "pytest", args.pytest_junit)
        no_tests_collected = 5
        if args.pytest_exit not in (0, no_tests_collected) and not failed:
            report.fail(f"pytest ended with status {args.pytest_exit}", "see above")

    for name, log in report.failures:
        print(f"FAILED {name}  ({log})")
    line = f"{report.counts['passed']} passed, {report.counts['failed']} failed"
    if report.counts["skipped"]:
        line += f", {report.counts['skipped']} skipped"
    print(line)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
