"""A linear model and boosted trees from scikit-learn, on the same rows and split."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.layers import TableEncoder
from chainrule.recipes.tabular_measures import measure
from chainrule.recipes.tabular_task import Target

Array = np.ndarray[Any, Any]

MOST_CODES = 255  # categories that scikit-learn's trees take as such
SOLVER_STEPS = 1000
FEW_ROWS = 20_000  # below, threads that wait for one another cost more than they give


@dataclass(frozen=True)
class Peer:
    """What another model reached.

    Attributes:
        name: what it is.
        measures: on the rows held out.
        seconds: that its training took.
    """

    name: str
    measures: dict[str, float]
    seconds: float


def has_sklearn() -> bool:
    """Whether scikit-learn is installed."""
    try:
        import sklearn  # noqa: F401, PLC0415 - an optional package
    except ImportError:
        return False
    return True


def compare(
    encoder: TableEncoder,
    rows: Array,
    target: Target,
    train: Array,
    test: Array,
    seed: int,
) -> Iterator[Peer]:
    """Fit each peer on the rows `train` and measure it on the rows `test`.

    Args:
        encoder: made `rows`, so every model starts from the same columns.
        rows: the encoded table.
        target: what is predicted, for all rows.
        train: the rows to learn from: all that are not held out.
        test: the rows held out.
        seed: of the trees.
    """
    makers = (_linear, _trees)
    for make in makers:
        name, model, x = make(encoder, rows, target.task, seed)
        started = time.perf_counter()
        with one_thread(len(train) < FEW_ROWS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a solver that stops early is good enough
            model.fit(x[train], target.y[train])
            outputs = _outputs(model, x[test], target)
        seconds = time.perf_counter() - started
        yield Peer(name, measure(target.rows(test), outputs), seconds)


def one_thread(wanted: bool) -> AbstractContextManager[Any]:
    """Within the block, where that is wanted, scikit-learn uses a single thread."""
    # the door of an optional package, which comes with scikit-learn
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    return threadpool_limits(1) if wanted else nullcontext()


def _outputs(model: Any, x: Any, target: Target) -> Array:
    """Amounts, or probabilities with a column for every class."""
    if target.task == "regression":
        return np.asarray(model.predict(x))
    found = np.zeros((x.shape[0], len(target.classes)))
    found[:, model.classes_] = model.predict_proba(x)
    return found


def _linear(
    encoder: TableEncoder, rows: Array, task: str, seed: int
) -> tuple[str, Any, Any]:
    """Logistic or ridge regression on scaled numbers and indicators."""
    # the door of an optional package
    from scipy import sparse  # noqa: PLC0415
    from sklearn import linear_model, preprocessing  # noqa: PLC0415

    first = encoder.numbers + encoder.flags
    x: Any = rows[:, :first].astype(np.float64)
    if rows.shape[1] > first:
        indicators = preprocessing.OneHotEncoder().fit_transform(rows[:, first:])
        x = sparse.hstack([sparse.csr_array(x), indicators]).tocsr()
    if task == "regression":
        return "linear regression", linear_model.Ridge(), x
    model = linear_model.LogisticRegression(max_iter=SOLVER_STEPS)
    return "logistic regression", model, x


def _trees(
    encoder: TableEncoder, rows: Array, task: str, seed: int
) -> tuple[str, Any, Any]:
    """Gradient-boosted trees; columns of few enough categories are taken as such."""
    # the door of an optional package
    from sklearn import ensemble  # noqa: PLC0415

    first = encoder.numbers + encoder.flags
    small = [first + i for i, n in enumerate(encoder.cardinalities) if n <= MOST_CODES]
    options = {"categorical_features": small or None, "random_state": seed}
    if task == "regression":
        model = ensemble.HistGradientBoostingRegressor(**options)
    else:
        model = ensemble.HistGradientBoostingClassifier(**options)
    return "gradient-boosted trees", model, rows
