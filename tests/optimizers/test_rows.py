"""Updates of those rows of a table that a batch used, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import functional, optimizers
from chainrule.autodiff.rows import RowGradient
from chainrule.errors import ArgumentError
from chainrule.ir import tree
from chainrule.optimizers.rows import merge
from chainrule.variable import Variable
from tests.tolerances import assert_close

Array = np.ndarray[Any, Any]
ROWS, WIDTH = 9, 3
# repeated ids, all the same, no id twice, more ids than rows, negative ones, none
BATCHES = [
    [4, 1, 4, 4, 0],
    [7, 7, 7],
    [8, 2, 5],
    [*range(9), *range(9), 3],
    [-1, 8, -9],
    [],
]


def gradient(number: int, ids: list[int]) -> RowGradient:
    random = np.random.default_rng(number)
    values = random.normal(size=(len(ids), WIDTH)).astype("float32")
    indices = functional.asarray(np.array(ids, np.int64))
    return RowGradient(indices, functional.asarray(values), (ROWS, WIDTH))


def table() -> Array:
    return np.random.default_rng(9).normal(size=(ROWS, WIDTH)).astype("float32")


def numbers(state: Any) -> list[Array]:
    return [np.array(leaf.data) for leaf in tree.flatten(state)[0]]


ABLE: dict[str, Callable[[], Any]] = {
    "sgd": lambda: optimizers.SGD(0.1),
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9),
    "nesterov": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: optimizers.Adam(0.1),
    "amsgrad": lambda: optimizers.Adam(0.1, amsgrad=True),
    "adamw": lambda: optimizers.AdamW(0.1, weight_decay=0.3),
    "adagrad": lambda: optimizers.Adagrad(0.1),
    "adadelta": lambda: optimizers.Adadelta(0.5),
    "adamax": lambda: optimizers.Adamax(0.1),
    "nadam": lambda: optimizers.Nadam(0.1),
    "rmsprop": lambda: optimizers.RMSprop(0.1),
    "centered": lambda: optimizers.RMSprop(0.1, centered=True, momentum=0.5),
    "ftrl": lambda: optimizers.Ftrl(0.1, l1_regularization_strength=0.01),
    "lion": lambda: optimizers.Lion(0.1),
    "muon": lambda: optimizers.Muon(0.1),
    "schedule": lambda: optimizers.Adam(
        optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    ),
    "clipvalue": lambda: optimizers.Adam(0.1, clipvalue=0.2),
}


def test_every_optimizer_moves_rows_or_refuses() -> None:
    made = {type(make()).__name__ for make in ABLE.values()}
    others = {"Lamb", "Adafactor", "LBFGS", "LossScaleOptimizer"}
    names = {kind.__name__ for kind in optimizers.base.REGISTRY.entries.values()}
    assert made | others == names


def variable() -> Variable:
    made = Variable(table(), name="embeddings")
    made.path = "model/embedding/embeddings"
    made.sparse = True
    return made


@pytest.mark.parametrize("name", ABLE)
def test_rows_are_moved_as_if_they_were_a_parameter_of_their_own(name: str) -> None:
    """Every row, by the formula of its optimizer, in those steps that used it."""
    optimizer = ABLE[name]()
    optimizer.build([variable()])
    params = [functional.asarray(table())]
    state = optimizer.init(params)
    for number, ids in enumerate(BATCHES):
        given = gradient(number, ids)
        new, after = optimizer.update([given], state, params)
        used = sorted({i % ROWS for i in ids})

        def part(leaf: Any, used: list[int] = used) -> Any:
            whole = leaf.shape == (ROWS, WIDTH)
            return functional.asarray(np.array(leaf.data)[used]) if whole else leaf

        rows = functional.asarray(given.dense().numpy()[used])
        wanted, slots = optimizer.update(
            [rows], tree.tree_map(part, state), [part(params[0])]
        )
        assert_close(new[0].numpy()[used], wanted[0].numpy())
        rest = [i for i in range(ROWS) if i not in used]
        np.testing.assert_array_equal(new[0].numpy()[rest], params[0].numpy()[rest])
        columns = zip(*map(numbers, (after, state, slots)), strict=True)
        for now, before, alone in columns:
            whole = now.shape == (ROWS, WIDTH)
            assert_close(now[used] if whole else now, alone)
            if whole:
                np.testing.assert_array_equal(now[rest], before[rest])
        params, state = new, after


def same_by_rows_and_whole(make: Callable[[], Any]) -> None:
    """Whether gradients by rows lead to the table and the state of whole ones."""
    results = []
    for by_rows in (True, False):
        optimizer = make()
        params = [functional.asarray(table())]
        state = optimizer.init(params)
        for number, ids in enumerate(BATCHES):
            given: Any = gradient(number, ids)
            given = given if by_rows else given.dense()
            params, state = optimizer.update([given], state, params)
        results.append([params[0].numpy(), *numbers(state)])
    for rows, whole in zip(*results, strict=True):
        np.testing.assert_array_equal(rows, whole)


@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_without_moving_means_it_is_the_update_of_the_whole_table(name: str) -> None:
    same_by_rows_and_whole(ABLE[name])


def test_adam_by_hand() -> None:
    optimizer = optimizers.Adam(0.1, 0.8, 0.9, 1e-3)
    w, m, v = (
        table().astype("float64"),
        np.zeros((ROWS, WIDTH)),
        np.zeros((ROWS, WIDTH)),
    )
    params = [functional.asarray(table())]
    state = optimizer.init(params)
    for t, ids in enumerate(BATCHES, 1):
        given = gradient(t, ids)
        params, state = optimizer.update([given], state, params)
        g = np.zeros((ROWS, WIDTH))
        np.add.at(g, ids, given.values.numpy())
        used = sorted({i % ROWS for i in ids})
        m[used] = 0.8 * m[used] + 0.2 * g[used]
        v[used] = 0.9 * v[used] + 0.1 * g[used] ** 2
        rate = 0.1 * np.sqrt(1 - 0.9**t) / (1 - 0.8**t)
        w[used] -= rate * m[used] / (np.sqrt(v[used]) + 1e-3)
        assert_close(params[0].numpy(), w.astype("float32"))


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
def test_norms_are_those_of_the_whole_gradient(clip: str) -> None:
    other = functional.asarray([0.3, -0.4])
    given = gradient(0, [4, 1, 4])
    results = []
    for each in (given, given.dense()):
        optimizer = optimizers.SGD(1.0, **{clip: 0.5})
        params = [functional.asarray(table()), other]
        results.append(optimizer.update([each, other], optimizer.init(params), params))
    (by_rows, _), (whole, _) = results
    for found, wanted in zip(by_rows, whole, strict=True):
        assert_close(found.numpy(), wanted.numpy())
    assert np.abs(by_rows[0].numpy() - table()).max() > 0.01


def test_an_average_is_of_all_rows() -> None:
    optimizer = optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    params = [functional.asarray(table())]
    state = optimizer.init(params)
    average = None
    for number, ids in enumerate(BATCHES):
        params, state = optimizer.update([gradient(number, ids)], state, params)
        now = params[0].numpy()
        average = now if average is None else 0.5 * average + 0.5 * now
    assert_close(state["average"][0].numpy(), average)


def test_gradients_that_are_collected_move_all_rows() -> None:
    same_by_rows_and_whole(lambda: optimizers.Adam(0.1, gradient_accumulation_steps=2))


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_step_that_overflows_moves_no_row(bad: float) -> None:
    optimizer = optimizers.LossScaleOptimizer(optimizers.Adam(0.1), 8.0)
    optimizer.build([variable()])
    params = [functional.asarray(table())]
    state = optimizer.init(params)
    first = optimizer.scale_loss(gradient(0, [4, 1, 4]), state)
    assert isinstance(first, RowGradient)
    params, state = optimizer.update([first], state, params)
    plain = optimizers.Adam(0.1)
    before = [functional.asarray(table())]
    wanted, _ = plain.update([gradient(0, [4, 1, 4])], plain.init(before), before)
    assert_close(params[0].numpy(), wanted[0].numpy())
    worse = gradient(1, [4, 1])
    values = worse.values.numpy().copy()
    values[1, 1] = bad
    worse = worse.map(lambda _: functional.asarray(values))
    new, after = optimizer.update([worse], state, params)
    np.testing.assert_array_equal(new[0].numpy(), params[0].numpy())
    for now, old in zip(numbers(after["slots"]), numbers(state["slots"]), strict=True):
        np.testing.assert_array_equal(now, old)
    assert after["loss_scale"].item() == 4.0


REFUSING: dict[str, Callable[[], Any]] = {
    "lamb": optimizers.Lamb,
    "adafactor": optimizers.Adafactor,
    "lbfgs": optimizers.LBFGS,
    "muon": lambda: optimizers.Muon(exclude_embeddings=False),
    "scaled": lambda: optimizers.LossScaleOptimizer("lamb"),
}


@pytest.mark.parametrize("name", REFUSING)
def test_those_that_need_all_rows_say_so(name: str) -> None:
    with pytest.raises(ArgumentError, match="cannot move only those") as caught:
        REFUSING[name]().build([variable()])
    text = str(caught.value)
    assert "SGD" in text
    assert "Adam" in text
    assert "Lamb," not in text
    assert "sparse=False" in text
    assert "model/embedding/embeddings" in text


@pytest.mark.parametrize("name", ["adam", "nadam"])
def test_variables_are_moved_in_place(name: str) -> None:
    optimizer, held = ABLE[name](), variable()
    optimizer.apply_gradients([(gradient(0, [4, 1, 4]), held)])
    moved = np.any(held.numpy() != table(), axis=1)
    assert np.flatnonzero(moved).tolist() == [1, 4]
    assert optimizer.iterations == 1


def test_merged_rows() -> None:
    for ids in BATCHES:
        given = gradient(0, ids)
        rows, sums = merge(given)
        count = len({i % ROWS for i in ids})
        places = rows.places.numpy()
        assert places.tolist() == [
            *sorted({i % ROWS for i in ids}),
            *[ROWS] * (min(ROWS, len(ids)) - count),
        ]
        whole = np.zeros((ROWS + 1, WIDTH), np.float32)
        whole[places] = sums.numpy()
        np.testing.assert_array_equal(whole[:ROWS], given.dense().numpy())
        assert not sums.numpy()[count:].any()
