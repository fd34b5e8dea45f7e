"""Checks BUILD and .bzl files, or with --fix rewrites them: a few rules of buildifier.

1. load() statements come first, sorted by file.
2. A target's name is its first attribute.
3. srcs, hdrs, deps, data and the like are sorted: files, then :local, //absolute, @external.
"""

import ast
import pathlib
import sys

SORTED = {"srcs", "hdrs", "textual_hdrs", "deps", "data", "visibility", "packages"}


def label_key(label):
    prefixes = (":", "//", "@")
    group = next((i + 1 for i, prefix in enumerate(prefixes) if label.startswith(prefix)), 0)
    return group, label.replace(":", "\0").split("\0"), label


def calls(tree):
    return [n.value for n in tree.body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)]


def is_load(call):
    return isinstance(call.func, ast.Name) and call.func.id == "load"


def order_findings(path, tree):
    """Yields what the fixer leaves to a person."""
    body = [n for n in tree.body if not isinstance(getattr(n, "value", None), ast.Constant)]
    loads = [n for n in body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)]
    loads = [n for n in loads if is_load(n.value)]
    if path.name != "WORKSPACE":  # There a load may need a repository defined above it.
        if body[: len(loads)] != loads:
            yield loads[-1].lineno, "load() statements come first"
        files = [n.value.args[0].value for n in loads]
        if files != sorted(files, key=lambda name: (not name.startswith("@"), name)):
            yield loads[0].lineno, "load() statements are sorted by file"
    for call in calls(tree):
        names = [keyword.arg for keyword in call.keywords]
        if "name" in names[1:]:
            yield call.lineno, "name is the first attribute"


def unsorted_lists(tree):
    for call in ast.walk(tree):
        for keyword in getattr(call, "keywords", []):
            if keyword.arg in SORTED and isinstance(keyword.value, ast.List):
                items = [getattr(item, "value", None) for item in keyword.value.elts]
                if all(isinstance(item, str) for item in items):
                    in_order = sorted(set(items), key=label_key)
                    if items != in_order:
                        yield keyword, in_order


def fixed(text, tree):
    """The text with its lists sorted; a list with comments inside is left alone."""
    lines = text.splitlines(keepends=True)
    for keyword, items in sorted(unsorted_lists(tree), key=lambda f: -f[0].value.lineno):
        first, last = keyword.value.lineno - 1, keyword.value.end_lineno - 1
        if any("#" in line for line in lines[first : last + 1]):
            continue
        head = lines[first][: keyword.value.col_offset]
        tail = lines[last][keyword.value.end_col_offset :]
        indent = " " * (len(head) - len(head.lstrip()))
        inner = "".join(f'{indent}    "{item}",\n' for item in items)
        lines[first : last + 1] = [f"{head}[\n{inner}{indent}]{tail}"]
    return "".join(lines)


def main():
    fix = "--fix" in sys.argv
    findings = 0
    for name in [argument for argument in sys.argv[1:] if argument != "--fix"]:
        path = pathlib.Path(name)
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, name)
        if fix:
            new = fixed(text, tree)
            if new != text:
                path.write_text(new, encoding="utf-8")
                text, tree = new, ast.parse(new, name)
        found = list(order_findings(path, tree))
        found += [(k.value.lineno, f"{k.arg} is sorted") for k, _ in unsorted_lists(tree)]
        for line, rule in sorted(found):
            print(f"{name}:{line}: {rule}")
        findings += len(found)
    return 1 if findings and not fix else 0


if __name__ == "__main__":
    sys.exit(main())
