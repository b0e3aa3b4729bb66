"""GPT: its size, its first weights, and what it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.applications import GPT
from chainrule.errors import ArgumentError


def test_the_size_is_that_of_its_parts() -> None:
    for tied in (True, False):
        model = GPT(50, 20, layers=3, heads=2, width=16, tie_weights=tied)
        block = 4 * (16 * 16 + 16) + 2 * 16 * 64 + 64 + 16 + 4 * 16
        words = 50 * 16 * (1 if tied else 2)
        assert model.count_params() == words + 20 * 16 + 3 * block + 2 * 16


def test_first_weights_are_those_of_the_paper() -> None:
    cr.set_seed(0)
    model = GPT(200, 64, layers=8, width=128)
    spreads = {v.path: float(v.numpy().std()) for v in model.trainable_variables}
    for path, spread in spreads.items():
        if path.endswith(("kernel", "embeddings")):
            back = "attention_output" in path or "feedforward_output" in path
            assert spread == pytest.approx(0.02 / (4 if back else 1), rel=0.06), path
    x = np.random.default_rng(0).integers(0, 200, (4, 65))
    logits = model.predict(x[:, :-1], verbose=0)
    loss = cr.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert float(loss(x[:, 1:], logits)) == pytest.approx(np.log(200), abs=0.1)


def test_a_token_sees_none_behind_it() -> None:
    model = GPT(9, 8, layers=2, heads=2, width=8)
    x = np.arange(8)[None]
    before = model.predict(x, verbose=0)
    x[0, 5] = 8
    after = model.predict(x, verbose=0)
    assert (before[:, :5] == after[:, :5]).all()
    assert (before[:, 5:] != after[:, 5:]).any()


def test_it_learns_and_comes_back_from_a_file(tmp_path: Path) -> None:
    cr.set_seed(0)
    text = np.tile(np.arange(10), 40)
    x = np.lib.stride_tricks.sliding_window_view(text, 13)
    model = GPT(10, 12, layers=1, heads=2, width=32, dropout=0.1)
    loss: Any = cr.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(cr.optimizers.Adam(1e-2), loss)
    found = model.fit(x[:, :-1], x[:, 1:], epochs=4, seed=0, verbose=0)
    assert found.history["loss"][-1] < 0.2
    tokens = cr.generation.generate(model, [3, 4], 20, temperature=0)
    assert tokens == [n % 10 for n in range(5, 25)]
    again = cr.load_model(model.save(tmp_path / "gpt.chainrule"))
    assert cr.generation.generate(again, [3, 4], 20, temperature=0) == tokens


def test_numbers_that_make_no_sense_are_refused() -> None:
    for options in ({"layers": 0}, {"heads": 0}, {"width": -1}, {"dropout": 1.5}):
        with pytest.raises(ArgumentError):
            GPT(10, 8, **options)
