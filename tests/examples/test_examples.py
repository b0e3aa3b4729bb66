from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import chainrule
from chainrule.settings import SETTINGS

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
needs_mnist = pytest.mark.skipif(
    SETTINGS.data is None, reason="CHAINRULE_DATA names no folder with the real MNIST"
)


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    source = str(Path(chainrule.__file__).resolve().parent.parent)
    return subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "article.py",
        "article_corrected.py",
        "autodiff_tour.py",
        "custom_train_step.py",
        "features.py",
        "four_phases.py",
        "functional.py",
        "multi_output.py",
        "mnist_max_norm.py",
        "resume.py",
    }


@needs_mnist
def test_the_printed_network_is_refused_once_with_all_three_corrections() -> None:
    assert_refused(run("article.py"))


def test_it_is_refused_as_well_where_mnist_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path))
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    # nobody listens there, so that nothing is fetched
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    done = run("article.py")
    assert "stand in" in done.stdout
    assert_refused(done)


def assert_refused(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 1
    assert "Epoch" not in done.stdout
    told = done.stderr[done.stderr.index("chainrule.errors.DataError") :]
    assert told.count("3 mistakes") == 1
    for line in (
        "the layer takes 10 inputs, the data has 784",
        "one output for 10 classes",
        "binary cross-entropy needs labels from 0 to 1",
    ):
        assert told.count(line) == 1
    corrected = told[told.index("corrected:") :]
    for line in (
        "Dense(10, activation='relu', input_shape=(784,))",
        "Dense(10, activation='softmax')",
        "loss='sparse_categorical_crossentropy'",
    ):
        assert line in corrected


@needs_mnist
def test_the_corrected_network_learns() -> None:
    done = run("article_corrected.py", "--epochs", "2", "--rows", "3000")
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("Test accuracy: ")
    assert float(last.split()[-1]) > 0.8


def test_the_four_phases() -> None:
    pytest.importorskip("sklearn")
    done = run("four_phases.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("3. Backward") == 2
    by_hand, by_backpropagation = (
        done.stdout.split(label)[1].split("]]")[0]
        for label in ("by hand:", "by backpropagation:")
    )
    assert by_hand == by_backpropagation


def test_the_tour_of_derivatives() -> None:
    done = run("autodiff_tour.py")
    assert done.returncode == 0, done.stderr
    assert "gradient  [396.0, 200.0]" in done.stdout
    assert "slope of the line through the points: 2.0" in done.stdout
    assert "straight-through: [3.0, 3.0]" in done.stdout


def test_a_killed_run_ends_in_the_same_bits() -> None:
    done = run("resume.py", "--rows", "10000")
    assert done.returncode == 0, done.stderr
    assert "exit code -9" in done.stdout or sys.platform == "win32"
    assert "equal to the last bit: True" in done.stdout


def test_a_graph_with_shared_layers_learns() -> None:
    pytest.importorskip("sklearn")
    done = run("functional.py", "4")
    assert done.returncode == 0, done.stderr
    same, digit = re.findall(r"([\d.]+)% right", done.stdout)
    assert float(same) > 75
    assert float(digit) > 75


def test_a_network_with_two_outputs_learns() -> None:
    pytest.importorskip("sklearn")
    done = run("multi_output.py", "4")
    assert done.returncode == 0, done.stderr
    measured = dict(re.findall(r"(\w+): ([\d.]+)\n", done.stdout))
    assert float(measured["digit_accuracy"]) > 0.75
    assert float(measured["ink_mae"]) < 0.15


def test_a_training_step_of_ones_own() -> None:
    done = run("custom_train_step.py", "500", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 3
    assert "accuracy" in lines[-1]
    assert "disagreement" in lines[-1]


def test_dropout_and_max_norm_learn() -> None:
    small = "--data", "digits", "--units", "128", "--epochs", "60"
    done = run("mnist_max_norm.py", *small, "--batch-size", "32")
    assert done.returncode == 0, done.stderr
    error = float(done.stdout.split("test error:")[1].strip().rstrip("%"))
    assert error < 8


@needs_mnist
def test_what_was_learnt_serves_other_digits() -> None:
    done = run("features.py", "1", "5")
    assert done.returncode == 0, done.stderr
    labels, *shares = re.findall(r"([\d.]+)", done.stdout.splitlines()[-1])
    assert labels == "5"
    frozen, going_on, scratch = (float(share) for share in shares[::2])
    assert min(frozen, going_on, scratch) > 50
