from __future__ import annotations

from pathlib import Path

import pytest

from chainrule.recipes import demo


def test_the_step_that_is_opened_lowers_the_loss() -> None:
    step = demo.open_one_step()
    assert step.loss.after < step.loss.value
    assert "x = [" in str(step), "every number is shown"


def test_the_digits_are_learned(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    lines: list[str] = []
    outcome = demo.learn_digits(" .:*#", tmp_path / "run", show=lines.append)
    assert outcome.accuracy >= 0.97
    assert sum("#" in line for line in lines) == 16
    text = "\n".join(demo.describe(outcome))
    assert f"{outcome.accuracy:.1%} of the test digits" in text
    assert "recognised:" in text
    assert (tmp_path / "run" / "model.chainrule").is_file()
