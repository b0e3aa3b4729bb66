"""A writer: texts of all kinds, what it learns, its run and its commands."""

from __future__ import annotations

import gzip
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from chainrule.cli import app
from chainrule.errors import ArgumentError, DataError
from chainrule.generation import TextGenerator
from chainrule.models import load_model
from chainrule.recipes import language_data as data
from chainrule.recipes.language import Measures, Plan, choose_pace, learn
from chainrule.text import Tokenizer, kept_tokenizer

LINE = "the cat sat on the mat and the dog lay by the log\n"
SMALL: Any = {
    "width": 32,
    "layers": 1,
    "heads": 2,
    "context": 16,
    "learning_rate": 1e-2,
}


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "cats.txt"
    path.write_text(LINE * 60, "utf-8")
    return path


@pytest.fixture(scope="module")
def run(book: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run of the command."""
    folder = tmp_path_factory.mktemp("run") / "cats"
    line = ["train", str(book), "--task", "generate", "--iterations", "120"]
    line += ["--context", "16", "--layers", "1", "--heads", "2", "--width", "32"]
    line += ["--learning-rate", "0.01", "--out", str(folder)]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output
    (folder / "shown.txt").write_text(result.output, "utf-8")
    return folder


# ---- texts ---------------------------------------------------------------------------


def test_a_text_is_cut_at_its_end(book: Path) -> None:
    corpus = data.read_corpus(str(book))
    assert corpus.name == "cats"
    assert corpus.tokenizer.kind == "characters"
    assert corpus.train.dtype == np.uint8
    text = book.read_text("utf-8")
    whole = np.concatenate([corpus.train, corpus.validation])
    assert corpus.tokenizer.decode(whole) == text
    assert sum(corpus.characters) == len(text)
    assert len(corpus.validation) == pytest.approx(len(text) / 10, abs=len(LINE))


def test_several_files_folders_and_packed_ones(tmp_path: Path) -> None:
    parts = {"b10.txt": "zehn ", "b2.txt": "zwei ", "a.md": "erst "}
    for name, text in parts.items():
        (tmp_path / name).write_text(text * 30, "utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden.txt").write_text("no")
    with gzip.open(tmp_path / "c.txt.gz", "wt", encoding="utf-8") as file:
        file.write("пакет " * 30)
    names = [path.name for path in data.find_files(str(tmp_path))]
    assert names == ["a.md", "b2.txt", "b10.txt", "c.txt.gz"]
    corpus = data.read_corpus(str(tmp_path))
    found = corpus.tokenizer.decode(np.concatenate([corpus.train, corpus.validation]))
    assert found.replace("\n", "") == "erst " * 30 + "zwei " * 30 + "zehn " * 30 + (
        "пакет " * 30
    )
    two = f"{tmp_path / 'a.md'}, {tmp_path / 'b2.txt'}"
    assert len(data.find_files(two)) == 2
    with pytest.raises(DataError, match="no such file"):
        data.find_files(str(tmp_path / "none.txt"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no text"):
        data.find_files(str(tmp_path / "empty"))


@pytest.mark.parametrize("text", ["", "  \n ", "short"])
def test_too_little_text_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(text)
    with pytest.raises(DataError, match="text to learn from"):
        data.read_corpus(str(path))


def test_tokens_are_chosen_by_the_text(tmp_path: Path) -> None:
    assert data.choose_kind("a" * data.LARGE) == "byte_pair"
    assert data.choose_kind("".join(map(chr, range(0x4E00, 0x5300)))) == "byte_pair"
    path = tmp_path / "text.txt"
    path.write_text("日本語の文章、naïve 🙂\r\nline\n" * 50, "utf-8")
    plain = path.read_text("utf-8").replace("\r\n", "\n")
    for kind, size in (("characters", None), ("bpe", 300), ("byte_pair", 300)):
        corpus = data.read_corpus(str(path), kind, size)
        whole = np.concatenate([corpus.train, corpus.validation])
        assert corpus.tokenizer.decode(whole) == plain
        assert whole.max() < corpus.tokenizer.vocabulary_size
    few = data.read_corpus(str(path), "characters", 10)
    assert few.tokenizer.vocabulary_size == 10
    with pytest.raises(ArgumentError, match="no such tokenizer"):
        data.read_corpus(str(path), "words")


def test_long_lines_and_no_lines_are_cut_in_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(data, "PIECE", 100)
    for text in ("x" * 1000, LINE * 30, "\n" * 500, "ab\n" * 3):
        found = list(data.pieces(text))
        assert "".join(found) == text
        assert all(len(piece) <= 1200 for piece in found)
    tokenizer = Tokenizer.train([LINE], "characters")
    assert tokenizer.decode(data.encode(tokenizer, LINE * 30)) == LINE * 30


def test_windows_are_views_and_cover_the_text() -> None:
    tokens = np.arange(100, dtype=np.uint8)
    x, y = data.all_windows(tokens, 8)
    assert np.shares_memory(x, tokens)
    assert (len(x), x[5].tolist()) == (92, list(range(5, 13)))
    assert (y == x + 1).all()
    x, y = data.some_windows(tokens, 8, 100)
    assert x.ravel().tolist() == list(range(96))
    assert (y == x + 1).all()
    x, _ = data.some_windows(tokens, 8, 24)
    assert (x[0, 0], x[-1, 0], len(x)) == (0, 88, 3)


def test_the_context_fits_the_text(book: Path) -> None:
    corpus = data.read_corpus(str(book))
    most = len(corpus.validation) - 1
    assert data.choose_context(corpus, None) == 64
    assert data.choose_context(corpus, most) == most
    with pytest.raises(ArgumentError, match="too short for this context"):
        data.choose_context(corpus, most + 1)


def test_the_shortest_text_is_learnt_from(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("ab" * 20)
    corpus = data.read_corpus(str(path))
    outcome = learn(corpus, Plan(iterations=3, width=8, layers=1, heads=1), tmp_path)
    assert math.isfinite(outcome.measures.loss)


# ---- training ------------------------------------------------------------------------


def test_the_pace_measures_four_times_at_least() -> None:
    assert [choose_pace(n, 10).epochs for n in (1, 3, 4, 200, 2000)] == [1, 3, 4, 4, 8]
    assert choose_pace(201, 10).iterations >= 201
    assert choose_pace(None, 1000).iterations == 2000
    assert choose_pace(None, 10**9).iterations == 20_000
    with pytest.raises(ArgumentError, match="takes steps"):
        choose_pace(0, 10)


def test_measures_count_bits_by_characters() -> None:
    measures = Measures(math.log(2) * 4, tokens=100, characters=200)
    assert measures.bits_per_character == pytest.approx(2)
    assert measures.perplexity == pytest.approx(16)


def test_the_command_learns_and_leaves_a_run(run: Path) -> None:
    figures = json.loads((run / "run.json").read_text("utf-8"))
    assert figures["held_out"]["loss"] < 0.8
    assert figures["iterations"] == 120
    assert figures["plan"]["seed"] == 0
    shown = (run / "shown.txt").read_text("utf-8")
    assert "bits a character" in shown
    assert "step 120 of 120" in shown
    model = load_model(run / "model.chainrule")
    assert kept_tokenizer(model).decode(kept_tokenizer(model).encode("the")) == "the"
    report = (run / "report.md").read_text("utf-8")
    assert "Written at temperature 0.8" in report
    assert not (run / "best.safetensors").exists()


def test_equal_runs_have_equal_weights_and_one_resumes(
    book: Path, tmp_path: Path
) -> None:
    corpus = data.read_corpus(str(book))
    plan = Plan(iterations=8, seed=3, **SMALL)
    whole = learn(corpus, plan, tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("step 4 "):
            raise Stop

    with pytest.raises(Stop):
        learn(corpus, plan, tmp_path / "cut", stop)
    resumed = learn(corpus, plan, tmp_path / "cut")
    for a, b in zip(
        whole.network.get_weights(), resumed.network.get_weights(), strict=True
    ):
        assert (a == b).all()
    assert resumed.measures == whole.measures


# ---- writing -------------------------------------------------------------------------


def invoke(*line: Any) -> Any:
    return CliRunner().invoke(app, ["generate", *map(str, line)])


def test_generate_continues_a_prompt(run: Path) -> None:
    options = ["--prompt", "the cat ", "--max-tokens", 60, "--temperature", 0.3]
    first = invoke(run, *options, "--seed", 1)
    assert first.exit_code == 0, first.output
    assert first.output.startswith("the cat ")
    assert "the" in first.output[8:]
    assert invoke(run, *options, "--seed", 1).output == first.output
    assert invoke(run, *options, "--temperature", 1, "--seed", 2).output != first.output
    writer = TextGenerator(load_model(run / "model.chainrule"))
    text = writer.generate("the cat ", 60, temperature=0.3, seed=1)
    assert first.output == f"the cat {text}\n"


def test_generate_without_a_model_takes_the_newest_run(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nothing = CliRunner().invoke(app, ["generate"])
    assert nothing.exit_code == 1
    assert "there is no run here" in nothing.output
    for number, name in enumerate(("new", "old")):
        shutil.copytree(run, tmp_path / "runs" / name)
        when = 2_000_000_000 - number
        os.utime(tmp_path / "runs" / name / "model.chainrule", (when, when))
    line = ["generate", "--prompt", "the cat ", "--max-tokens", "20", "--seed", "1"]
    made = CliRunner().invoke(app, line)
    assert made.exit_code == 0
    assert made.stderr == f"{Path('runs', 'new')}:\n"
    assert made.stdout.startswith("the cat ")


def test_generate_takes_all_options(run: Path) -> None:
    line = [run, "--prompt", "the ", "--max-tokens", 20, "--seed", 0]
    for options in (
        ["--top-k", 3],
        ["--top-p", 0.5],
        ["--repetition-penalty", 1.3],
        ["--temperature", 0],
    ):
        result = invoke(*line, *options)
        assert result.exit_code == 0, result.output
        assert result.output.startswith("the ")
    samples = invoke(*line, "--samples", 3)
    assert [n for n in (1, 2, 3) if f"--- {n}\n" in samples.output] == [1, 2, 3]
    stopped = invoke(*line, "--temperature", 0, "--stop", "the")
    assert "the" not in stopped.output[4:]
    empty = invoke(run, "--max-tokens", 20, "--seed", 0)
    assert empty.exit_code == 0
    assert len(empty.output) > 10


def test_beams_find_the_likeliest_text(run: Path) -> None:
    line = [run, "--prompt", "the c", "--max-tokens", 10]
    found = invoke(*line, "--beams", 3)
    assert found.exit_code == 0, found.output
    assert found.output.startswith("the cat sat on")
    assert invoke(*line, "--beams", 3, "--samples", 2).output.count("the c") >= 2
    assert invoke(*line, "--beams", 2, "--samples", 3).exit_code == 1
    assert invoke(*line, "--beams", 2, "--temperature", 1).exit_code == 1
    assert invoke(run, "--beams", 2, "--max-tokens", 99).exit_code == 1


def test_characters_that_are_not_known_are_left_out_and_named(run: Path) -> None:
    line = [sys.executable, "-m", "chainrule.cli", "generate", str(run)]
    line += ["--prompt", "the ©at", "--max-tokens", "5", "--seed", "0"]
    found = subprocess.run(line, capture_output=True, text=True, check=True)
    assert found.stdout.startswith("the at")
    assert "left out" in found.stderr
    assert r"'\xa9'" in found.stderr


def test_what_cannot_be_is_told(run: Path, book: Path) -> None:
    result = invoke(run, "--temperature", -1)
    assert result.exit_code == 1
    assert "this is no temperature" in result.output
    runner = CliRunner()
    predicted = runner.invoke(app, ["predict", str(run), "the cat"])
    assert predicted.exit_code == 1
    assert "chainrule generate" in predicted.output
    measured = runner.invoke(app, ["evaluate", str(run), str(book)])
    assert measured.exit_code == 0, measured.output
    assert "bits a character" in measured.output
    assert runner.invoke(app, ["evaluate", str(run)]).exit_code == 1
    other = runner.invoke(app, ["train", str(book), "--task", "write"])
    assert other.exit_code != 0
