"""What decides the numbers of a run: what is compared before one is resumed."""

from __future__ import annotations

from typing import Any

from chainrule.configurable import serialize
from chainrule.errors import ArgumentError
from chainrule.training.resume_fingerprint import Facts, describe_data, flatten_config


def describe_run(model: Any, objective: Any, data: Any) -> Facts:
    """Model, loss, metrics, optimizer and data of a run, as flat facts.

    Args:
        model: the model, built.
        objective: what it was compiled with.
        data: a tree of arrays and numbers.
    """
    facts = flatten_config(_described(model), "model")
    for name, part in objective.given.items():
        facts |= flatten_config(_described(part), name)
    facts |= flatten_config(_described(objective.optimizer), "optimizer")
    # a number that callbacks may have changed since the run began
    rate = facts.pop("optimizer.config.learning_rate", None)
    weights = [f"{w.dtype.name}{list(w.shape)}" for w in model.weights]
    return {
        **facts,
        "learning_rate": rate,
        **flatten_config(weights, "weights"),
        **describe_data(data),
    }


def _described(part: Any) -> Any:
    """A config, or a name where there is none."""
    if isinstance(part, (list, tuple)):
        return [_described(one) for one in part]
    if isinstance(part, dict):
        return {str(name): _described(one) for name, one in part.items()}
    try:
        return serialize(part)
    except ArgumentError:
        kind = part if hasattr(part, "__qualname__") else type(part)
        return f"{kind.__module__}.{kind.__qualname__}"
