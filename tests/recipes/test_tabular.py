"""Learning from a table with one command, and using what was learnt."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import chainrule as cr
from chainrule import cli
from chainrule.errors import ArgumentError, DataError
from chainrule.recipes import tabular, tabular_peers
from chainrule.recipes.tabular import Plan, learn, pose
from chainrule.recipes.tabular_measures import measure
from chainrule.recipes.tabular_profile import count_duplicates
from chainrule.recipes.tabular_task import Target, read_target, stratified_folds
from chainrule.settings import SETTINGS

pytest.importorskip("pyarrow")
numbers = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tabular, "has_sklearn", lambda: False)


def write(path: str, rows: Sequence[Sequence[Any]], separator: str = ",") -> str:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    return path


def people(count: int = 200) -> list[list[Any]]:
    """People who are paid by age and job; some cells are missing."""
    head = ["id", "name", "age", "job", "city", "planet", "joined", "paid"]
    rows = [head]
    for i in range(count):
        age, job = int(numbers.integers(18, 70)), ("cook", "nurse", "judge")[i % 3]
        paid = "much" if age + 30 * (job == "judge") > 60 else "little"
        rows.append(
            [
                1000 + i,
                f"person {i}",
                "" if i % 11 == 0 else age,
                "?" if i % 13 == 0 else job,
                f"city {i % 5}",
                "earth",
                f"20{10 + i % 9}-0{1 + i % 9}-15",
                paid,
            ]
        )
    return rows


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(cli.app, list(arguments))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


QUICK = ("--epochs", "3", "--hidden", "8")


def test_one_command_from_a_file_to_predictions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tabular, "has_sklearn", tabular_peers.has_sklearn)
    write("people.csv", people())
    result = run("train", "people.csv", "--target", "paid", *QUICK)
    assert result.exit_code == 0, result.output
    for text in (
        "left out: a number of its own for every row: an ID",
        "names or IDs",
        "left out: the same in all rows",
        "two classes",
        "this network",
        "logistic regression",
        "gradient-boosted trees",
        "always the commonest class",
        "true \\ predicted",
    ):
        assert text in result.output, text
    folder = Path("runs/people")
    found = {path.name for path in folder.iterdir()}
    assert found >= {"model.chainrule", "history.csv", "run.json", "columns.json"}
    summary = json.loads((folder / "run.json").read_text())
    assert set(summary["test"]["this network"]) >= {"accuracy", "auc", "log_loss"}
    # new rows: other order, no target, an unseen category, an empty cell
    write("new.csv", [["joined", "city", "job", "age"], ["", "x", "pilot", ""]])
    result = run("predict", "runs/people", "new.csv", "-o", "out.csv")
    assert "1 predictions in out.csv" in result.output
    lines = list(csv.reader(Path("out.csv").read_text().splitlines()))
    assert lines[0] == ["row", "paid", "p(little)", "p(much)"]
    assert sum(map(float, lines[1][2:])) == pytest.approx(1, abs=1e-4)
    result = run("evaluate", "runs/people", "people.csv")
    assert "200 rows with paid" in result.output
    model = cr.load_model(folder / "model.chainrule")
    rows = {"age": [30, None], "job": ["cook", None], "city": ["city 1"] * 2}
    outputs = model.predict({**rows, "joined": [None, None]}, verbose=0)
    assert outputs.shape == (2, 2)


def test_the_same_seed_gives_the_same_model() -> None:
    write("people.csv", people())
    for out in ("a", "b"):
        run("train", "people.csv", "--target", "paid", "--out", out, *QUICK)
    first, second = (cr.load_model(f"{o}/model.chainrule") for o in "ab")
    for one, two in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_run_that_did_not_end_goes_on_to_the_same_bits() -> None:
    write("people.csv", people())
    command = ("train", "people.csv", "--target", "paid", *QUICK)
    run(*command, "--out", "whole")
    run(*command, "--out", "cut")
    # as if it had been killed while its third network was made
    Path("cut/model.chainrule").unlink()
    for folder in Path("cut").glob("network-[3-9]"):
        shutil.rmtree(folder)
    left = {path.name for path in Path("cut").iterdir()}
    assert {"checkpoints", "network-2"} <= left
    result = run(*command, "--out", "cut", "--resume")
    assert result.exit_code == 0, result.output
    first, second = (
        cr.load_model(f"{name}/model.chainrule").get_weights()
        for name in ("whole", "cut")
    )
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)


def test_errors_of_the_commands_are_lessons() -> None:
    write("people.csv", people(60))
    result = run("train", "people.csv", "--target", "Paid")
    assert result.exit_code == 1
    assert "--target paid" in result.output
    assert run("train", "people.csv").exit_code == 1
    assert run("train", "nowhere").exit_code == 2
    result = run("train", "people.csv", "--target", "paid", "--exclude", "height")
    assert "no such column" in result.output
    run("train", "people.csv", "--target", "paid", *QUICK)
    write("new.csv", [["age", "city"], ["3", "x"]])
    result = run("predict", "runs/people", "new.csv")
    assert result.exit_code == 1
    assert "also job, joined" in result.output
    write("none.csv", [["age", "city", "job", "joined"]])
    assert "no rows" in run("predict", "runs/people", "none.csv").output
    assert "lacks the target" in run("evaluate", "runs/people", "none.csv").output


def test_tables_without_headings_go_by_places() -> None:
    x = numbers.normal(size=(120, 3)).round(3)
    rows = [[f"{a + 2 * b:.3f}", a, b, c] for a, b, c in x]
    write("plain.csv", rows, ";")
    result = run("train", "plain.csv", "--target", "1", *QUICK)
    assert "no headings" in result.output
    write("full.csv", rows[:9], ";")
    write("short.csv", [row[1:] for row in rows[:9]], ";")
    for name in ("full", "short"):
        run("predict", "runs/plain", f"{name}.csv", "-o", f"{name}.out")
    assert Path("full.out").read_text() == Path("short.out").read_text()


def table(rows: int = 60, **columns: Any) -> dict[str, Any]:
    y = np.arange(rows) % 2
    return {"y": np.where(y, "yes", "no"), "x": numbers.normal(size=rows), **columns}


def profiles(**columns: Any) -> dict[str, Any]:
    problem = pose(table(**columns), Plan(target="y"))
    return {profile.name: profile for profile in problem.profiles}


def test_columns_that_say_nothing_or_too_much_are_left_out() -> None:
    found = profiles(
        leak=np.where(np.arange(60) % 2, "a", "b"),
        same=[7] * 60,
        void=[None] * 60,
        key=np.arange(60),
        story=[f"once upon a time there were {i} animals" for i in range(60)],
        again=np.arange(60) % 7,
        twice=[f"n{i % 7}" for i in range(60)],
    )
    used = {name for name, profile in found.items() if profile.used}
    assert used == {"x", "again"}
    assert "leak" in found["leak"].note
    assert "again" in found["twice"].note
    kinds = [found[n].kind for n in ("same", "void", "key", "story")]
    assert kinds == ["constant", "empty", "id", "text"]
    kept = pose(table(leak=table()["y"]), Plan(target="y", keep=("leak",)))
    assert "leak" in kept.used


def test_a_column_that_nearly_tells_is_pointed_out() -> None:
    hint = np.arange(60) % 2
    hint[0] = 1 - hint[0]
    assert "a leak?" in profiles(hint=hint)["hint"].note


def test_tasks_are_inferred() -> None:
    whole = np.arange(300) % 6
    cases = [
        (np.arange(300) % 2, "binary"),
        (np.array(["a", "b", "c"] * 100, object), "classes"),
        (whole, "classes"),
        (whole + 0.5, "regression"),
        (np.arange(300), "regression"),
    ]
    for values, task in cases:
        assert read_target(values, "y").task == task
    assert read_target(whole, "y", "regression").task == "regression"
    assert read_target(np.array([10, 9] * 5), "y").classes == ("9", "10")
    bad = [
        (np.ones(50), None, DataError),
        (np.arange(3), None, DataError),
        (np.array([f"t{i}" for i in range(90)], object), None, DataError),
        (np.array(["a", "b"] * 9, object), "regression", DataError),
        (whole, "binary", ArgumentError),
        (whole, "guess", ArgumentError),
    ]
    for values, task, error in bad:
        with pytest.raises(error):
            read_target(values, "y", task)


def test_the_split_is_stratified_and_disjoint() -> None:
    y = np.array([0] * 90 + [1] * 10)
    problem = pose({"y": y, "x": numbers.normal(size=100)}, Plan(target="y"))
    parts = (*problem.parts(0), problem.test)
    assert sorted(np.concatenate(parts).tolist()) == list(range(100))
    assert len(problem.test) == 20
    assert problem.target.y[problem.test].sum() == 2
    again = pose({"y": y, "x": np.zeros(100)}, Plan(target="y", keep=("x",), seed=1))
    assert again.test.tolist() != problem.test.tolist()
    folds = stratified_folds(np.zeros(7, int), 5, 0)
    assert np.bincount(folds, minlength=5).max() == 2


@pytest.mark.parametrize("count", [5, 7])
@pytest.mark.parametrize("task", ["binary", "classes", "regression"])
def test_tiny_tables(count: int, task: str) -> None:
    y = {
        "binary": ["a", "b"] * count,
        "classes": ["a", "b", "c"] * count,
        "regression": list(np.linspace(0, 1, count)),
    }[task][:count]
    if task == "classes" and count < 6:
        pytest.skip("five rows do not make three classes")
    rows = {"x": numbers.normal(size=count), "t": ["u", None] * count, "y": y}
    rows["t"] = rows["t"][:count]
    plan = Plan(target="y", shape={"epochs": 1})
    outcome = learn(pose(rows, plan), plan)
    assert outcome.model.predict(rows, verbose=0).shape[0] == count


def test_odd_tables_are_learnt_from_or_refused() -> None:
    plan = Plan(target="y", shape={"epochs": 1, "hidden": (4,)})

    def attempt(**columns: Any) -> Any:
        return learn(pose(columns, plan), plan)

    y = ["a", "b"] * 40
    many = [f"v{i % 39}" for i in range(80)]
    mixed = ["3", 4, None, "many"] * 20
    attempt(y=y, many=many, mixed=mixed, far=[np.inf, 1e300, -np.inf, np.nan] * 20)
    attempt(y=y, only=range(80))  # an ID, for want of better
    with pytest.raises(DataError, match="no column to learn from"):
        attempt(y=y)
    with pytest.raises(DataError, match="no column to learn from"):
        attempt(y=y, void=[None] * 80)
    with pytest.raises(DataError, match="always the same"):
        attempt(y=["a"] * 80, x=range(80))


def test_rows_without_a_target_are_left_out() -> None:
    problem = pose(
        {"y": ["a", "b", None, "?"] * 20, "x": np.arange(80) / 7}, Plan(target="y")
    )
    assert len(problem.table) == 40
    assert "40 rows have no y" in " ".join(problem.notes)


def test_duplicates_are_counted() -> None:
    data = {"y": ["a", "b"] * 20, "x": [1.5, 2.5] * 20}
    assert count_duplicates(pose(data, Plan(target="y", keep=("x",))).table) == 38


def test_without_scikit_learn_the_comparison_is_left_out() -> None:
    write("people.csv", people(60))
    result = run("train", "people.csv", "--target", "paid", *QUICK)
    assert "pip install 'chainrule[sklearn]'" in result.output
    assert "logistic" not in result.output


def test_measures_agree_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    y = numbers.integers(0, 2, 50)
    p = numbers.uniform(size=50).round(1)
    outputs = np.stack([1 - p, p], axis=1).clip(0.05, 0.95)
    found = measure(Target("y", "binary", ("a", "b"), y), outputs)
    said = outputs.argmax(axis=1)
    expected = {
        "accuracy": metrics.accuracy_score(y, said),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, said),
        "auc": metrics.roc_auc_score(y, p),
        "log_loss": metrics.log_loss(y, outputs),
    }
    assert found == pytest.approx(expected)
    truth, guess = numbers.normal(size=30), numbers.normal(size=30)
    found = measure(Target("y", "regression", (), truth), guess)
    assert found == pytest.approx(
        {
            "r2": metrics.r2_score(truth, guess),
            "mae": metrics.mean_absolute_error(truth, guess),
            "rmse": metrics.root_mean_squared_error(truth, guess),
        }
    )


@pytest.mark.skipif(SETTINGS.data is None, reason="CHAINRULE_DATA names no folder")
def test_titanic() -> None:
    assert SETTINGS.data is not None
    path = SETTINGS.data / "tabular" / "titanic.csv"
    if not path.exists():
        pytest.skip("there is no tabular/titanic.csv")
    plan = Plan(target="survived", shape={"epochs": 12})
    problem = pose(path, plan)
    unused = {p.name for p in problem.profiles if not p.used}
    assert unused == {"alive", "class", "embark_town"}
    found = learn(problem, plan).results
    assert found["this network"]["auc"] > 0.82
