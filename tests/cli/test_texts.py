from __future__ import annotations

import csv
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import chainrule as cr
from chainrule.cli import INTERRUPTED, app, choose_task
from chainrule.recipes.text import Watch

GOOD = ["fine film", "great plot", "i enjoyed it", "lovely"]
BAD = ["awful film", "dull plot", "i hated it", "boring"]


@pytest.fixture(autouse=True)
def _reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    numbers = np.random.default_rng(0)
    lines = [f"{' and '.join(numbers.choice(GOOD, 2))}\t1" for _ in range(20)]
    lines += [f"{' and '.join(numbers.choice(BAD, 2))}\t0" for _ in range(20)]
    Path("reviews.tsv").write_text("\n".join(lines))


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


TRAIN = ("train", "reviews.tsv", "--text", "0", "--target", "1", "--epochs", "8")


def test_from_a_table_to_predictions() -> None:
    shown = run(*TRAIN, "--out", "here", "--learning-rate", "0.01")
    assert "texts: column_1, classes: column_2" in shown
    assert "accuracy 100.00%" in shown
    names = {path.name for path in Path("here").iterdir()}
    assert names >= {"model.chainrule", "report.md", "test.csv", "run.json"}
    report = Path("here/report.md").read_text()
    for part in ("pairs of words", "seed 0", "Words that speak", "surest mistakes"):
        assert part in report
    assert "boring" in report
    told = run("predict", "here", "lovely, I enjoyed it")
    assert told.splitlines()[0].endswith("1")
    assert "for 1 speak: " in told
    assert len(run("predict", "here", "").splitlines()) == 2
    assert "40 predictions in out.csv" in run(
        "predict", "here", "reviews.tsv", "-o", "out.csv"
    )
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["1"] * 20 + ["0"] * 20
    assert "accuracy 100.00%" in run("evaluate", "here", "reviews.tsv")
    record = json.loads(Path("here/run.json").read_text())
    assert record["held_out"]["accuracy"] == 1.0
    assert record["columns"]["text"] == "column_1"


def test_a_run_goes_on_where_it_was_cut_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = (*TRAIN, "--validation", "reviews.tsv")
    assert "measured on reviews.tsv" in run(*held, "--out", "whole")
    with monkeypatch.context() as patched:

        def fail(self: Any, epoch: int, logs: Any = None) -> None:
            if epoch == 4:
                signal.raise_signal(signal.SIGINT)  # as Ctrl-C does

        patched.setattr(Watch, "on_epoch_end", fail)
        run(*held, "--out", "parts", code=INTERRUPTED)
    Path("parts/model.chainrule").unlink()
    shown = run(*held, "--out", "parts", "--resume")
    assert "epoch 8/8" in shown
    assert "epoch 2/8" not in shown
    whole, parts = (cr.load_model(f"{n}/model.chainrule") for n in ("whole", "parts"))
    for first, second in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_lessons() -> None:
    assert "no such column" in run("train", "reviews.tsv", "--text", "7", code=1)
    run(*TRAIN, "--out", "here")
    assert "no such file" in run("predict", "here", "revews.tsv", code=1)
    Path("odd.tsv").write_text("x\tnew\ny\t0\n")
    assert "does not know" in run("evaluate", "here", "odd.tsv", code=1)
    assert "which texts" in run("evaluate", "here", code=1)
    shown = run("train", "reviews.tsv", "--text", "0", "--augment", "flip", code=1)
    assert "an option of pictures, not of texts" in shown


def test_what_data_are_taken_for_texts() -> None:
    def task(data: str, **given: Any) -> str:
        return choose_task(data, given).names[0]

    assert task("reviews.tsv") == "table"
    assert task("reviews.tsv", text="0") == "text"
    assert task("reviews.tsv", task="text") == "text"
    Path("a.jsonl").write_text('["a", "b"]\n')
    assert task("a.jsonl") == "text"
    Path("coco.json").write_text('{"images": [], "annotations": []}')
    assert task("coco.json") == "detect"
    for name in ("pos", "neg"):
        Path("folder", name).mkdir(parents=True)
        Path("folder", name, "1.txt").write_text("a")
    assert task("folder") == "text"
