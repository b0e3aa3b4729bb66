from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

import chainrule as cr
from chainrule.errors import ArgumentError
from chainrule.recipes.perceptron import Plan
from chainrule.recipes.run_folder import (
    choose_folder,
    draw_curve,
    find_model,
    write_run,
)
from chainrule.training.history import History


def history(epochs: int = 3) -> History:
    found = History()
    for epoch in range(epochs):
        found.on_epoch_end(epoch, {"loss": 1 / (epoch + 1), "val_loss": 1.0})
    return found


def model() -> cr.Sequential:
    return cr.Sequential([cr.layers.Dense(1, input_shape=(2,))])


def test_runs_count_up(tmp_path: Path) -> None:
    found = [choose_folder("digits", None, tmp_path / "runs").name for _ in range(3)]
    assert found == ["digits", "digits-2", "digits-3"]


def test_a_model_is_not_overwritten(tmp_path: Path) -> None:
    write_run(tmp_path, model(), history(), Plan(), {})
    with pytest.raises(ArgumentError, match="not overwritten"):
        choose_folder("digits", tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArgumentError, match="cannot be made"):
        choose_folder("digits", tmp_path / "file" / "run")


def test_a_run_leaves_model_history_settings_and_curve(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert write_run(tmp_path, model(), history(), Plan(), {"test": {"loss": 0.5}})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "history.csv",
        "history.json",
        "loss.png",
        "model.chainrule",
        "run.json",
    ]
    lines = (tmp_path / "history.csv").read_text("utf-8").splitlines()
    rows = list(csv.DictReader(lines))
    assert [float(row["loss"]) for row in rows] == pytest.approx([1, 1 / 2, 1 / 3])
    assert json.loads((tmp_path / "history.json").read_text())["epoch"] == [0, 1, 2]
    settings = json.loads((tmp_path / "run.json").read_text())
    assert settings["plan"]["hidden"] == [128]
    assert settings["test"] == {"loss": 0.5}
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert cr.load_model(find_model(tmp_path)).count_params() == 3


def test_without_matplotlib_the_rest_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not write_run(tmp_path, model(), history(), Plan(), {})
    assert not (tmp_path / "loss.png").exists()
    assert (tmp_path / "model.chainrule").exists()


def test_a_curve_without_epochs_is_drawn_too() -> None:
    pytest.importorskip("matplotlib")
    picture = draw_curve(history(0))
    assert picture is not None
    assert picture.startswith(b"\x89PNG")


def test_a_path_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="no model here"):
        find_model(tmp_path)


def test_the_last_run_is_taken_up(tmp_path: Path) -> None:
    def choose(resume: bool) -> str:
        return choose_folder("digits", None, tmp_path, resume).name

    assert choose(True) == "digits"
    assert choose(False) == "digits-2"
    assert choose(True) == "digits-2"


def test_a_folder_with_models_of_other_names_says_which(tmp_path: Path) -> None:
    (tmp_path / "intents.chainrule").write_bytes(b"")
    with pytest.raises(ArgumentError, match=r"intents\.chainrule") as caught:
        find_model(tmp_path)
    assert f"name the file: {tmp_path / 'intents.chainrule'}" in str(caught.value)
