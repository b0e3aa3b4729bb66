"""Single batches: what `train_on_batch`, `test_on_batch` and `predict_on_batch` do."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.functional import random
from chainrule.ir.trace import constant
from chainrule.models.fitting import joined, predict_runtime, read, train_runtime
from chainrule.models.intake import Given
from chainrule.models.prepare import Examples, Preparation
from chainrule.models.runtime import Runtime
from chainrule.training.step import read_metrics


def train(model: Any, given: Given) -> dict[str, Any]:
    """Take a step; see `Model.train_on_batch`."""
    runtime, examples = _prepare(model, given, "train_on_batch")
    store = runtime.store
    state = store.training(random.next_key(), constant(np.array(0, np.int64)))
    loop = runtime.train
    loop.begin(state, examples.tree)
    try:
        loop.run(np.arange(examples.rows), examples.rows)
        after = loop.state()
    finally:
        loop.begin((), ())
    store.keep(after)
    return read_metrics(store.parts, after["metrics"])


def test(model: Any, given: Given) -> dict[str, Any]:
    """Measure a batch; see `Model.test_on_batch`."""
    runtime, examples = _prepare(model, given, "test_on_batch")
    loop = runtime.test
    loop.begin(runtime.test_store.testing(), examples.tree)
    try:
        loop.run(np.arange(examples.rows), examples.rows)
        metrics = loop.read("metrics")
    finally:
        loop.begin((), ())
    return read_metrics(runtime.test_store.parts, metrics)


def predict(model: Any, x: Any) -> Any:
    """The outputs for a batch; see `Model.predict_on_batch`."""
    preparation = Preparation(model._preparable(None), "predict_on_batch")
    examples = read(preparation, Given(x))
    runtime = predict_runtime(model)
    loop = runtime.predict
    loop.begin({"variables": runtime.store.testing()["variables"]}, examples.tree)
    try:
        return joined([loop.run(np.arange(examples.rows), examples.rows)])
    finally:
        loop.begin((), ())


def _prepare(model: Any, given: Given, task: str) -> tuple[Runtime, Examples]:
    objective = model._compiled(task)
    examples = read(Preparation(model._preparable(objective), task), given)
    return train_runtime(model, objective, examples), examples
