from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import chainrule as cr
from chainrule import cli
from chainrule.errors import ArgumentError
from chainrule.recipes import perceptron
from chainrule.recipes.options import read_widths

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(autouse=True)
def _small_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Easy images in place of the real digits, in an empty folder."""
    numbers = np.random.default_rng(0)
    labels = np.arange(80) % 10
    x = numbers.uniform(0, 0.2, (80, 8, 8)).astype(np.float32)
    x[np.arange(80), labels // 8, labels % 8] = 1
    data = (x[:60], labels[:60]), (x[60:], labels[60:])
    monkeypatch.setitem(perceptron.LOADERS, "digits", lambda: data)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def trained(*arguments: str) -> Path:
    result = run("train", "digits", "--epochs", "2", "--hidden", "16", *arguments)
    assert result.exit_code == 0, result.output
    return Path("runs/digits")


def test_version() -> None:
    result = run("--version")
    assert (result.exit_code, result.output) == (0, f"chainrule {cr.__version__}\n")


def test_help_lists_the_commands() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in ("train", "evaluate", "predict", "summary", "demo"):
        assert command in result.output


def test_train_leaves_a_run() -> None:
    folder = trained("--dropout", "0.1", "--seed", "3")
    names = {path.name for path in folder.iterdir()}
    assert names >= {"model.chainrule", "history.csv", "history.json", "run.json"}
    assert cr.load_model(folder / "model.chainrule").count_params() == 16 * 65 + 170


def test_train_says_what_it_does() -> None:
    result = run("train", "digits", "--epochs", "2", "--hidden", "16", "--out", "here")
    assert "60 images to train on, 20 to test with; 1,210 weights" in result.output
    assert "Epoch 2/2" in result.output
    assert re.search(r"test loss \d\.\d{4}, accuracy \d+\.\d\d%", result.output)
    assert "the run is in here: history.csv" in result.output


def test_train_without_matplotlib_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run("train", "digits", "--epochs", "1", "--hidden", "4")
    assert result.exit_code == 0
    assert "no loss curve was drawn: it needs matplotlib" in result.output
    assert "pip install 'chainrule[plots]'" in result.output


def test_options_reach_the_network() -> None:
    run(
        *("train", "digits", "--epochs", "1", "--hidden", "6", "--hidden", "5,4"),
        *("--activation", "tanh", "--optimizer", "sgd", "--learning-rate", "0.25"),
        *("--batch-size", "7", "--out", "here"),
    )
    model = cr.load_model("here/model.chainrule")
    dense = [layer for layer in model.layers if hasattr(layer, "units")]
    assert [layer.units for layer in dense] == [6, 5, 4, 10]
    assert dense[0].activation.__name__ == "tanh"
    assert float(model.optimizer.learning_rate) == 0.25


def test_evaluate_measures_a_folder_or_a_file() -> None:
    folder = trained()
    for place in (folder, folder / "model.chainrule"):
        result = run("evaluate", place)
        assert result.exit_code == 0
        assert "digits: 20 test images" in result.output
        assert re.search(r"^accuracy  \d\.\d{4}$", result.output, re.MULTILINE)
    assert run("evaluate", folder, "digits").output == result.output


def test_predict_writes_the_classes_of_rows() -> None:
    folder = trained()
    (_, _), (x, _) = perceptron.LOADERS["digits"]()
    np.save("x.npy", x)
    np.savetxt("x.csv", x.reshape(20, 64), delimiter=",")
    for name in ("x.npy", "x.csv"):
        result = run("predict", folder, name, "-o", f"{name}.out")
        assert (result.exit_code, result.output) == (
            0,
            f"20 predictions in {name}.out\n",
        )
    lines = Path("x.npy.out").read_text().splitlines()
    expected = cr.load_model(folder / "model.chainrule").predict(x, verbose=0)
    assert [int(line.split(",")[1]) for line in lines[1:]] == expected.argmax(
        axis=1
    ).tolist()
    assert Path("x.csv.out").read_text().splitlines()[0] == lines[0]


def test_summary_shows_the_layers() -> None:
    result = run("summary", trained())
    assert result.exit_code == 0
    assert "(Dense)" in result.output
    assert "1,210" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate", "nothing"), "there is no model here"),
        (("train", "digits", "--hidden", "ten"), "--hidden 128,64"),
        (("train", "digits", "--optimizer", "adamm"), "optimizer='adam'"),
        (("train", "digits", "--dropout", "1.5"), "0 <= rate < 1"),
    ],
)
def test_mistakes_are_printed_as_lessons(
    arguments: tuple[str, ...], message: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.output.startswith("error: ")
    assert message in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "fashion"),
        ("train",),
        ("train", "digits", "--epochs", "0"),
        ("train", "digits", "--task", "poetry"),
        ("unknown",),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_missing_input_is_a_usage_error() -> None:
    result = run("predict", trained(), "missing.npy")
    assert result.exit_code == 2
    assert "missing.npy" in result.output


def test_widths_of_hidden_layers() -> None:
    assert read_widths(["8,4", "2"]) == (8, 4, 2)
    with pytest.raises(ArgumentError, match="positive whole numbers"):
        read_widths(["8,-4"])


def environment() -> dict[str, str]:
    source = str(Path(cr.__file__).resolve().parent.parent)
    return {**os.environ, "PYTHONPATH": source, "COLUMNS": "80"}


def test_ctrl_c_ends_with_130_and_the_run_saved(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    command = [sys.executable, "-m", "chainrule.cli", "train", "digits"]
    arguments = ["--epochs", "100000", "--hidden", "8", "--out", "here"]
    with subprocess.Popen(
        command + arguments,
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("Epoch 2/"):
                    process.send_signal(signal.SIGINT)
                    break
            rest, _ = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == cli.INTERRUPTED, rest
    assert "Interrupted after" in rest
    assert "Traceback" not in rest
    assert (tmp_path / "here" / "model.chainrule").is_file()
    assert (tmp_path / "here" / "history.csv").is_file()


def test_the_demonstration_as_a_user_sees_it(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "chainrule.cli", "demo", "--out", "here"],
        cwd=tmp_path,
        env={**environment(), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - started < 60
    for part in ("1. Forward", "2. Loss", "3. Backward", "4. Update", "recognised:"):
        assert part in done.stdout
    found = re.search(r"([\d.]+)% of the test digits", done.stdout)
    assert found is not None
    assert float(found[1]) >= 97
    assert done.stderr == ""
    assert max(map(len, ESCAPES.sub("", done.stdout).splitlines())) <= 88


def test_a_run_goes_on_where_it_was_cut_short() -> None:
    arguments = ("train", "digits", "--hidden", "16", "--out")
    run(*arguments, "whole", "--epochs", "3")
    run(*arguments, "parts", "--epochs", "2")
    Path("parts/model.chainrule").unlink()
    refused = run(*arguments, "parts", "--epochs", "3")
    assert refused.exit_code == 1
    assert "--out parts --resume" in refused.output
    result = run(*arguments, "parts", "--epochs", "3", "--resume")
    assert "Epoch 3/3" in result.output
    assert "Epoch 2/3" not in result.output
    whole, parts = (Path(f"{name}/model.chainrule") for name in ("whole", "parts"))
    assert cr.load_model(whole).get_weights()[0].tobytes() == (
        cr.load_model(parts).get_weights()[0].tobytes()
    )
    record = json.loads(Path("parts/run.json").read_text())
    assert record["plan"]["epochs"] == 3
    assert record["versions"]["chainrule"] == cr.__version__
    again = run(*arguments, "parts", "--epochs", "3", "--batch-size", "8", "--resume")
    assert "batch_size: 32 then, 8 now" in again.output
