"""The door to the learning-rate finder."""

from __future__ import annotations

from typing import Any

from chainrule.errors import ArgumentError
from chainrule.functional import random
from chainrule.models import fitting
from chainrule.models.intake import Given, Selection
from chainrule.models.prepare import Preparation
from chainrule.training.rates import RateCurve, sweep


def find_learning_rate(
    model: Any,
    x: Any,
    y: Any = None,
    batch_size: int = 32,
    *,
    sample_weight: Any = None,
    class_weight: Any = None,
    lowest: float = 1e-7,
    highest: float = 10.0,
    steps: int = 200,
    seed: int = 0,
) -> RateCurve:
    """Try learning rates in one short run, and suggest one.

    From step to step the rate rises from `lowest` to `highest`, each time by the same
    factor; the run ends early where the loss leaves all bounds. The model, its
    optimizer and the random numbers of what follows stay as they are, to the bit: the
    run works on copies. Smith, "Cyclical learning rates for training neural networks",
    WACV 2017.

    Args:
        model: a compiled model.
        x: inputs, as for `fit`.
        y: targets.
        batch_size: rows of a step; take that of the training to come.
        sample_weight: as for `fit`.
        class_weight: as for `fit`.
        lowest: the first rate.
        highest: the last rate.
        steps: how many rates are tried.
        seed: decides the order of the rows, and dropout.

    Returns:
        Rates and losses, with a `suggestion`, its `reason`, and `plot(path)`.

    Raises:
        ArgumentError: for rates out of order, and for an optimizer that searches for
            its steps itself.
        DataError: as for `fit`.

    Example:
        >>> import numpy as np, chainrule
        >>> x = np.random.default_rng(0).normal(size=(256, 4))
        >>> model = chainrule.Sequential([chainrule.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> curve = chainrule.find_learning_rate(model, x, x.sum(axis=1, keepdims=True))
        >>> 0.001 < curve.suggestion < 1.0
        True
    """
    objective = model._compiled("find_learning_rate")
    if not 0 < lowest < highest:
        raise ArgumentError(
            "rates rise from the lowest to the highest",
            where="find_learning_rate",
            got=f"{lowest=}, {highest=}",
            expected="0 < lowest < highest",
        )
    if objective.optimizer.full_batch:
        raise ArgumentError(
            f"{type(objective.optimizer).__name__} searches for its steps itself",
            where="find_learning_rate",
        )
    order_key, build_key = random.split(random.key(seed), 2)
    preparation = Preparation(model._preparable(objective, build_key), "fit")
    preparation.check_whole("batch_size", batch_size, 1)
    preparation.check_whole("steps", steps, 10)
    examples = fitting.read(preparation, Given(x, y, sample_weight, class_weight))
    runtime = fitting.train_runtime(model, objective, examples)
    source = Selection(examples, examples.rows).source(batch_size, steps, order_key)
    return sweep(
        runtime.parts, source, build_key, (lowest, highest), objective.settings.backend
    )
