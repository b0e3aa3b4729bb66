"""L-BFGS: its path, its line search, its end; against SciPy's and scikit-learn's."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from chainrule import Sequential, functional, layers, optimizers
from chainrule.autodiff import value_and_grad
from chainrule.errors import ArgumentError
from chainrule.jit import jit
from chainrule.optimizers import LBFGS
from tests.tolerances import assert_compiled

SEARCHES = ("strong_wolfe", "backtracking")
every_search = pytest.mark.parametrize("search", SEARCHES)


def bananas(w: Any) -> Any:
    """Two of Rosenbrock's valleys."""
    return functional.sum(100 * (w[1] - w[0] ** 2) ** 2 + (1 - w[0]) ** 2)


def start(dtype: str = "float64") -> Any:
    return functional.asarray([[-1.2, 0.3], [1.0, -2.0]], dtype=dtype)


def descend(optimizer: LBFGS, steps: int, w: Any = None, compiled: bool = True) -> Any:
    """The best point after so many looks, and the state."""

    def step(state: Any, w: Any) -> Any:
        value, slope = value_and_grad(bananas)(w)
        (w,), state = optimizer.update([slope], state, [w], value)
        return state, w

    run = jit(step) if compiled else step
    w = start() if w is None else w
    state = optimizer.init([w])
    for _ in range(steps):
        state, w = run(state, w)
    return optimizer.finalize([w], state)[0], state


@every_search
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_valley_is_followed_to_its_end(search: str, dtype: str) -> None:
    best, state = descend(LBFGS(line_search=search), 150, start(dtype))
    np.testing.assert_allclose(best.numpy(), 1.0, atol=2e-3)
    assert best.numpy().dtype == dtype
    if dtype == "float64":
        assert state["slots"]["done"].item()
        again, _ = descend(LBFGS(line_search=search), 170, start(dtype))
        np.testing.assert_array_equal(best.numpy(), again.numpy())


@every_search
def test_compiled_agrees_with_eager(search: str) -> None:
    best, _ = descend(LBFGS(history_size=3, line_search=search), 12)
    eager, _ = descend(LBFGS(history_size=3, line_search=search), 12, compiled=False)
    assert_compiled(best.numpy(), eager.numpy())


def test_the_base_never_rises() -> None:
    optimizer, values = LBFGS(), []
    for steps in (1, 5, 10, 20, 40):
        best, _ = descend(optimizer, steps)
        values.append(bananas(best).item())
    assert values == sorted(values, reverse=True)
    assert values[0] > 2 * values[-1]


def test_it_is_as_fast_as_scipy() -> None:
    optimize = pytest.importorskip("scipy.optimize")

    def both(flat: Any) -> Any:
        value, slope = value_and_grad(bananas)(functional.asarray(flat.reshape(2, 2)))
        return value.item(), slope.numpy().reshape(-1)

    found = optimize.minimize(
        both, start().numpy().reshape(-1), jac=True, method="L-BFGS-B"
    )
    best, _ = descend(LBFGS(), 2 * found.nfev)
    assert bananas(best).item() <= max(found.fun, 1e-9)


def test_weights_changed_by_others_begin_a_new_search() -> None:
    optimizer = LBFGS()
    best, state = descend(optimizer, 150)
    elsewhere = functional.asarray([[3.0, 3.0], [-1.0, 2.0]], dtype="float64")
    for w in (elsewhere, best):
        value, slope = value_and_grad(bananas)(w)
        _, after = optimizer.update([slope], state, [w], value)
        np.testing.assert_array_equal(after["slots"]["base"][0].numpy(), w.numpy())


def test_what_cannot_work_is_refused() -> None:
    w = start()
    with pytest.raises(ArgumentError, match="needs to know the loss"):
        LBFGS().update([w], LBFGS().init([w]), [w])
    with pytest.raises(ArgumentError, match="line_search"):
        LBFGS(line_search="golden")
    with pytest.raises(ArgumentError, match="history_size"):
        LBFGS(history_size=0)


def regression() -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 5)).astype("float32")
    return x, np.tanh(x @ random.normal(size=(5, 1))) + 0.05 * x[:, :1] ** 2


def test_fit_refuses_batches_that_are_not_whole() -> None:
    x, y = regression()
    model = Sequential([layers.Dense(1)])
    model.compile("lbfgs", "mse")
    with pytest.raises(ArgumentError, match=r"batch_size=len\(x\)"):
        model.fit(x, y, verbose=0)


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed"
)
def test_a_regression_ends_where_that_of_scikit_learn_does() -> None:
    from sklearn.neural_network import MLPRegressor  # noqa: PLC0415 - optional

    x, y = regression()
    theirs = MLPRegressor(
        hidden_layer_sizes=(8,),
        activation="tanh",
        solver="lbfgs",
        alpha=0.0,
        max_iter=150,
        max_fun=200,
        tol=1e-12,
    )
    losses = []
    for seed in range(3):
        theirs.set_params(random_state=seed)
        theirs.fit(x.astype("float64"), y[:, 0])
        model = Sequential([layers.Dense(8, "tanh"), layers.Dense(1)])
        model.compile(optimizers.LBFGS(), "mse")
        model.fit(x, y, batch_size=200, epochs=200, verbose=0, seed=seed)
        ours = model.evaluate(x, y, verbose=0)
        assert model.optimizer.state["slots"]["search"]["value"].item() == (
            pytest.approx(ours, rel=1e-3)
        )
        losses.append((ours, 2 * theirs.loss_))
    ours, expected = np.median(losses, axis=0)
    assert ours <= 1.25 * expected
