"""Models that compute their steps themselves, and how their steps are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.ir import tree
from chainrule.ir.trace import constant
from chainrule.models.prepare import Examples
from chainrule.optimizers.base import Optimizer
from chainrule.training.own_step import Outline, OwnMeasures, Together, outline_step
from chainrule.training.step import Parts

SHARED_BY_BOTH = ("compute_loss", "compute_metrics")
REPLACEABLE = ("train_step", "test_step", "predict_step", *SHARED_BY_BOTH)
FEW_ROWS = 32


@dataclass(frozen=True)
class Own:
    """The steps that a model computes itself; None for those that it does not.

    Attributes:
        train: `train_step`.
        test: `test_step`.
        predict: `predict_step`.
    """

    train: Callable[[Any], Any] | None = None
    test: Callable[[Any], Any] | None = None
    predict: Callable[[Any], Any] | None = None

    @classmethod
    def of(cls, model: Any, base: type) -> Own:
        """The steps of a model that are not those of `base`."""

        kind = type(model)
        same = [getattr(kind, name) is getattr(base, name) for name in REPLACEABLE]
        if all(same):
            return _NONE
        train, test, predict, *by_both = same
        return cls(
            None if train and all(by_both) else model.train_step,
            None if test and all(by_both) else model.test_step,
            None if predict else model.predict_step,
        )


_NONE = Own()


def own_optimizers(model: Any) -> list[Any]:
    """The optimizer of `compile`, and those that are attributes of the model."""
    found = [model.optimizer]
    found += [each for each in vars(model).values() if isinstance(each, Optimizer)]
    return [each for each in found if each is not None]


def own_parts(model: Any, own: Own, basis: Parts, data: Examples) -> Parts:
    """The parts of a train step that the model computes itself.

    Raises:
        ArgumentError: when it trains nothing.
    """
    assert own.train is not None
    outline = _outline(model, own.train, data)
    if not outline.applied:
        raise ArgumentError(
            "train_step applies no optimizer",
            where=model.name,
            fix="self.optimizer.apply(gradients, self.trainable_variables)",
        )
    measures: Any = OwnMeasures(model.metrics, outline.logs)
    return replace(
        basis,
        trainable=model.trainable_weights,
        frozen=model.non_trainable_weights,
        targets=measures,
        optimizer=Together(outline.applied),
    )


def own_test_parts(model: Any, own: Own, basis: Parts, data: Examples) -> Parts:
    """The parts of a test step that the model computes itself."""
    assert own.test is not None
    measures: Any = OwnMeasures(model.metrics, _outline(model, own.test, data).logs)
    return replace(basis, targets=measures, optimizer=None)


def _outline(model: Any, run: Callable[[Any], Any], data: Examples) -> Outline:
    def few(array: Any) -> Any:
        part = array[:FEW_ROWS]
        return constant(part.astype(np.float32) if part.dtype.kind == "f" else part)

    batch = tree.tree_map(few, data.tree)
    metrics, optimizers = model.metrics, own_optimizers(model)
    return outline_step(run, batch, lambda: model.weights, metrics, optimizers)
