"""`scan` against the same loop written out, within every transformation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import functional as f
from chainrule.errors import ArgumentError, ShapeError
from tests.tolerances import assert_close

RANDOM = np.random.default_rng(4)
W = RANDOM.normal(size=(4, 4)) / 3
XS = RANDOM.normal(size=(6, 3, 4))
H = RANDOM.normal(size=(3, 4))


def tensors(*arrays: Any) -> list[Any]:
    return [chainrule.asarray(np.asarray(a, np.float64)) for a in arrays]


def cell(w: Any, h: Any, x: Any) -> Any:
    return f.tanh(f.matmul(h, w) + x)


def scanned(w: Any, h: Any, xs: Any, reverse: bool = False, keep: bool = True) -> Any:
    """A loss of the last state and of all results; the steps take `w` from outside."""

    def step(h: Any, x: Any) -> Any:
        after = cell(w, h, x)
        return after, {"half": after / 2, "from": h}

    last, ys = chainrule.scan(step, h, xs, reverse=reverse, keep=keep)
    return f.sum(last**2) + f.sum(ys["half"] ** 3) + f.sum(ys["from"] * ys["half"])


def written_out(w: Any, h: Any, xs: Any, reverse: bool = False) -> Any:
    total = 0.0
    order = range(xs.shape[0])
    for t in reversed(order) if reverse else order:
        after = cell(w, h, xs[t])
        total = total + f.sum((after / 2) ** 3) + f.sum(h * after / 2)
        h = after
    return total + f.sum(h**2)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("backend", ["interpret", "native"])
def test_values_and_gradients_are_those_of_the_loop_written_out(
    backend: str, reverse: bool, keep: bool
) -> None:
    given = tensors(W, H, XS)
    for argument in range(3):

        def of(function: Any, argument: int = argument, **how: Any) -> Any:
            def alone(v: Any) -> Any:
                args = [v if i == argument else x for i, x in enumerate(given)]
                return function(*args, reverse=reverse, **how)

            return alone

        compiled = chainrule.jit(
            chainrule.value_and_grad(of(scanned, keep=keep)), backend=backend
        )
        value, gradient = compiled(given[argument])
        right, expected = chainrule.value_and_grad(of(written_out))(given[argument])
        assert_close(value.numpy(), right.numpy())
        assert_close(gradient.numpy(), expected.numpy())


@pytest.mark.parametrize("backend", ["interpret", "native"])
def test_gradients_of_gradients(backend: str) -> None:
    w, h, xs = tensors(W, H, XS)

    def sharpness(function: Any) -> Any:
        gradient = chainrule.grad(lambda w: function(w, h, xs))
        return chainrule.grad(lambda w: f.sum(gradient(w) ** 2))

    found = chainrule.jit(sharpness(scanned), backend=backend)(w)
    assert_close(found.numpy(), sharpness(written_out)(w).numpy())


def test_batches_of_loops() -> None:
    (xs,) = tensors(RANDOM.normal(size=(5, 6, 3, 4)))
    w, h = tensors(W, H)
    together = chainrule.vmap(lambda xs: chainrule.grad(scanned)(w, h, xs))(xs)
    for one, x in zip(together, xs, strict=True):
        expected = chainrule.grad(written_out)(w, h, x)
        assert_close(one.numpy(), expected.numpy())


def test_loops_within_loops() -> None:
    (xs,) = tensors(RANDOM.normal(size=(3, 4, 2)))

    def inner(total: Any, x: Any) -> Any:
        return f.sin(total) + x, total

    def outer(total: Any, rows: Any) -> Any:
        last, seen = chainrule.scan(inner, total, rows)
        return last, f.sum(seen, axis=0)

    def loss(xs: Any) -> Any:
        last, seen = chainrule.scan(outer, f.zeros(2, dtype="float64"), xs)
        return f.sum(last) + f.sum(seen**2)

    def plain(xs: Any) -> Any:
        total, sums = f.zeros(2, dtype="float64"), []
        for rows in xs:
            seen = []
            for x in rows:
                seen.append(total)
                total = f.sin(total) + x
            sums.append(sum(seen[1:], seen[0]))
        return f.sum(total) + sum((f.sum(s**2) for s in sums), 0.0)

    expected = chainrule.grad(plain)(xs).numpy()
    for backend in ("interpret", "native"):
        gradient = chainrule.jit(chainrule.grad(loss), backend=backend)(xs)
        assert_close(gradient.numpy(), expected)


@pytest.mark.parametrize("backend", ["interpret", "native"])
@pytest.mark.parametrize("length", [0, 1])
def test_short_loops(length: int, backend: str) -> None:
    w, h, xs = tensors(W, H, XS[:length])
    compiled = chainrule.jit(chainrule.value_and_grad(scanned), backend=backend)
    value, gradient = compiled(w, h, xs)
    expected = chainrule.value_and_grad(written_out)(w, h, xs)
    assert_close(value.numpy(), np.asarray(expected[0].numpy()))
    assert gradient.shape == (4, 4)
    assert_close(gradient.numpy(), expected[1].numpy())


@pytest.mark.parametrize("backend", ["interpret", "native"])
def test_whole_numbers_are_carried_and_have_no_gradient(backend: str) -> None:
    def powers(x: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            count, value = carry
            return (count + 1, value * x), count

        start = (f.asarray(0, dtype="int32"), f.asarray(1.0))
        (count, value), counts = chainrule.scan(step, start, length=5)
        return value, (count, counts)

    run = chainrule.jit(chainrule.value_and_grad(powers, has_aux=True), backend=backend)
    (value, (count, counts)), gradient = run(chainrule.asarray(2.0))
    assert (value.item(), count.item(), gradient.item()) == (32.0, 5, 80.0)
    assert counts.numpy().tolist() == [0, 1, 2, 3, 4]


def test_the_step_is_traced_once_however_long_the_loop() -> None:
    calls = []

    def step(total: Any, x: Any) -> Any:
        calls.append(None)
        return total + x, None

    total, nothing = chainrule.scan(step, 0.0, f.ones(1000))
    assert (total.item(), nothing, len(calls)) == (1000.0, None, 1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: chainrule.scan(lambda c, x: (c, x), 0.0), "xs, or a length"),
        (
            lambda: chainrule.scan(lambda c, x: (c, x), 0.0, [f.ones(3), f.ones(4)]),
            "one length",
        ),
        (
            lambda: chainrule.scan(lambda c, x: (c, x), 0.0, f.ones(3), length=4),
            "one length",
        ),
        (
            lambda: chainrule.scan(lambda c, x: (f.ones(2), x), 0.0, f.ones(3)),
            "must stay what it is",
        ),
        (
            lambda: chainrule.scan(lambda c, x: ((c, c), x), 0.0, f.ones(3)),
            "must stay what it is",
        ),
    ],
)
def test_loops_that_do_not_fit_are_refused(call: Any, words: str) -> None:
    with pytest.raises(ShapeError, match=words):
        call()


def test_the_function_returns_two() -> None:
    with pytest.raises(ArgumentError, match="return carry, None"):
        chainrule.scan(lambda c, x: c, 0.0, f.ones(3))
