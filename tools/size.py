"""Fail when functions or files grow too long to be read in one go.

Of all functions 95 in 100 are shorter than 30 lines and none is longer than 60, not
counting the docstring; a file has fewer than 600 lines.

    python tools/size.py [FOLDER ...]
"""

from __future__ import annotations

import ast
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tools", "tests", "examples")
P95_BELOW = 30
FUNCTION_AT_MOST = 60
FILE_BELOW = 600

# What may be longer, and why: "path/of/file.py" for a file, "path/of/file.py::Class"
# for all methods of a class, "path/of/file.py::Class.method" for one function.
EXCEPTIONS: dict[str, str] = {}


@dataclass(frozen=True)
class Function:
    """A function and its length.

    Attributes:
        path: the file.
        line: the line of its `def`.
        name: its dotted name inside the file.
        lines: its lines, the docstring's not counted.
    """

    path: Path
    line: int
    name: str
    lines: int


def count_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without those of the docstring."""
    total = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node, clean=False) is None:
        return total
    first = node.body[0]
    return total - ((first.end_lineno or first.lineno) - first.lineno + 1)


def find_functions(path: Path) -> Iterator[Function]:
    """Every function of a file, nested ones and methods too."""

    def visit(node: ast.AST, prefix: str) -> Iterator[Function]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                yield from visit(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{prefix}{child.name}"
                yield Function(path, child.lineno, name, count_lines(child))
                yield from visit(child, f"{name}.")
            else:
                yield from visit(child, prefix)

    return visit(ast.parse(path.read_text("utf-8"), str(path)), "")


def percentile_95(lengths: Sequence[int]) -> int:
    """The length that 95 in 100 do not exceed."""
    ordered = sorted(lengths)
    return ordered[math.ceil(0.95 * len(ordered)) - 1] if ordered else 0


class Exceptions:
    """The list of exceptions, and which of its entries were needed."""

    def __init__(self, listed: dict[str, str], base: Path) -> None:
        self.listed = listed
        self.base = base
        self.used: set[str] = set()

    def cover(self, path: Path, name: str = "") -> bool:
        """Whether a file, or a function in it, may be longer."""
        file = path.relative_to(self.base).as_posix()
        keys = [file]
        if name:
            parts = name.split(".")
            keys = [f"{file}::{'.'.join(parts[:n])}" for n in range(len(parts), 0, -1)]
        found = [key for key in keys if key in self.listed]
        self.used.update(found)
        return bool(found)

    def stale(self) -> list[str]:
        """Complaints about entries that nothing needs, or that give no reason."""
        unused = [key for key in self.listed if key not in self.used]
        silent = [key for key, reason in self.listed.items() if not reason.strip()]
        return [f"{key}: no longer needs its exception" for key in unused] + [
            f"{key}: its exception has no reason" for key in silent
        ]


def check_files(paths: Sequence[Path], exceptions: Exceptions) -> list[str]:
    """Complaints about files that are too long."""
    complaints = []
    for path in paths:
        lines = len(path.read_text("utf-8").splitlines())
        if lines >= FILE_BELOW and not exceptions.cover(path):
            complaints.append(f"{path}:1: {lines} lines, {FILE_BELOW - 1} at most")
    return complaints


def check_functions(functions: Sequence[Function], exceptions: Exceptions) -> list[str]:
    """Complaints about functions that are too long."""
    return [
        f"{function.path}:{function.line}: {function.name} has {function.lines} lines, "
        f"{FUNCTION_AT_MOST} at most"
        for function in functions
        if function.lines > FUNCTION_AT_MOST
        and not exceptions.cover(function.path, function.name)
    ]


def check_folder(folder: Path, exceptions: Exceptions) -> list[str]:
    """All complaints about one folder; prints its numbers."""
    paths = sorted(folder.rglob("*.py"))
    functions = [function for path in paths for function in find_functions(path)]
    lengths = [function.lines for function in functions]
    p95 = percentile_95(lengths)
    print(
        f"size: {folder.name}: {len(paths)} files, {len(functions)} functions, "
        f"95 in 100 within {p95} lines, longest {max(lengths, default=0)}"
    )
    complaints = check_files(paths, exceptions) + check_functions(functions, exceptions)
    if p95 >= P95_BELOW:
        complaints.append(
            f"{folder}: 95 in 100 functions within {p95} lines, "
            f"fewer than {P95_BELOW} wanted"
        )
    return complaints


def main(
    arguments: Sequence[str],
    listed: dict[str, str] = EXCEPTIONS,
    base: Path = REPOSITORY,
) -> int:
    """Check the folders given, under `base`; return the exit status."""
    exceptions = Exceptions(listed, base)
    folders = [base / name for name in arguments or FOLDERS if (base / name).is_dir()]
    complaints = [
        text for folder in folders for text in check_folder(folder, exceptions)
    ]
    if not arguments:
        complaints += exceptions.stale()
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
