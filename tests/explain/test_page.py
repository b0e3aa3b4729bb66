from __future__ import annotations

import re
from pathlib import Path

from chainrule.explain import trace_step
from tests.explain.test_trace_step import X, Y, worked_example

PAGE = Path(__file__).resolve().parents[2] / "docs" / "four_phases.md"


def without_numbers(text: str) -> str:
    """Last digits may differ between machines; all else is compared."""
    return re.sub(r"-?\d+(\.\d+)?(e[+-]\d+)?", "#", re.sub(" +", " ", text))


def test_the_page_shows_what_is_printed() -> None:
    shown = re.search(r"```text\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert shown is not None
    printed = f"{trace_step(worked_example(), X, Y, verbose=False)}\n"
    assert without_numbers(shown[1]) == without_numbers(printed)
    assert "z = x @ W + b = [ 0.37750  0.39250 ]" in shown[1]
