"""Run every Python block of the README and of the pages in docs/.

The blocks of one page run in order and share their names, in an empty folder, with
warnings as errors. A block that opens with ```python no-run is compiled only; blocks of
other languages are text.

    python tools/snippets.py [PAGE ...]
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import tempfile
import textwrap
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^ *(`{3,})\s*(.*?)\s*$")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        line: the line of its first line of code, counted from 1.
        label: what stands behind the opening fence.
        code: its text, indentation removed.
    """

    line: int
    label: str
    code: str

    @property
    def is_python(self) -> bool:
        """Whether it is Python source."""
        return self.label.split()[:1] == ["python"]

    @property
    def runs(self) -> bool:
        """Whether it is to be run and not only compiled."""
        return self.is_python and "no-run" not in self.label.split()


def find_blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order.

    Raises:
        ValueError: for a block that is never closed.
    """
    lines = text.splitlines()
    opened: tuple[int, str, str] | None = None
    for number, line in enumerate(lines, start=1):
        match = FENCE.match(line)
        if opened is None:
            if match:
                opened = (number + 1, match[1], match[2])
        elif match and match[1] == opened[1] and not match[2]:
            code = "\n".join(lines[opened[0] - 1 : number - 1])
            yield Block(opened[0], opened[2], textwrap.dedent(code) + "\n")
            opened = None
    if opened is not None:
        raise ValueError(f"the block that opens before line {opened[0]} is not closed")


def run_block(block: Block, page: Path, names: dict[str, object]) -> None:
    """Compile a block and, unless it says no-run, run it in `names`."""
    # Blank lines in front give tracebacks the line numbers of the page.
    source = "\n" * (block.line - 1) + block.code
    code = compile(source, str(page), "exec", dont_inherit=True)
    if block.runs:
        exec(code, names)


def failing_line(error: BaseException, page: Path, block: Block) -> int:
    """The line of the page at which `error` came up."""
    if isinstance(error, SyntaxError) and error.filename == str(page):
        return error.lineno or block.line
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(page)]
    return (lines[-1] if lines else None) or block.line


def run_page(page: Path) -> tuple[int, str | None]:
    """Run the blocks of a page: how many passed, and what the first failure says.

    Later blocks may need the names of the failed one, so the rest is not tried.
    """
    names: dict[str, object] = {"__name__": "__main__"}
    passed = 0
    for block in find_blocks(page.read_text("utf-8")):
        if not block.is_python:
            continue
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                run_block(block, page, names)
        except (Exception, SystemExit) as error:
            line = failing_line(error, page, block)
            text = f"{type(error).__name__}: {error}\n{printed.getvalue()}"
            return passed, f"{page}:{line}: {text.rstrip()}"
        passed += 1
    return passed, None


def main(arguments: Sequence[str]) -> int:
    """Run the pages given, or all; return the exit status."""
    pages = [Path(name).resolve() for name in arguments] or [
        REPOSITORY / "README.md",
        *sorted((REPOSITORY / "docs").rglob("*.md")),
    ]
    failed = 0
    for page in pages:
        with (
            tempfile.TemporaryDirectory() as folder,
            contextlib.chdir(folder),
            warnings.catch_warnings(action="error"),
        ):
            passed, complaint = run_page(page)
        print(f"snippets: {page.name}: {passed} passed{', 1 failed' * bool(complaint)}")
        if complaint:
            failed += 1
            print(complaint)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
