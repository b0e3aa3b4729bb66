"""Whether two objects compute the same, so that what was traced for one serves both."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np

from chainrule.configurable import Configurable, is_named
from chainrule.ir.dtype import DType
from chainrule.ir.spec import Spec
from chainrule.precision import DTypePolicy
from chainrule.variable import Variable

PACKAGE = __name__.partition(".")[0] + "."
PLAIN = frozenset((bool, int, float, str, bytes, type(None), type(Ellipsis)))
# Attributes that decide nothing about what an object computes.
INCIDENTAL = frozenset(
    {
        "name",
        # of layers: how a model was drawn, and what the last eager call left behind
        "_calls",
        "_added_losses",
        "_weights",
        # of models: symbols, and what belongs to a run
        "inputs",
        "outputs",
        "_symbols",
        "history",
        "stop_training",
        "_objective",
        "_runtime",
        "_predictor",
        "_answers",
        "_loaded_state",
        "_targets",
        "_last_losses",
        "_loss_trackers",
        "_seen_shape",
        "_seen_outputs",
        "_seen_inputs",
        # of metrics and optimizers: what they remember between eager calls
        "_state",
        "state",
        "_variables",
    }
)


class _Unlike(Exception):
    """Something that may compute anything."""


def likeness(value: Any, variables: Mapping[int, int] | None = None) -> Hashable | None:
    """A key that is equal for objects that compute the same; None where nobody knows.

    Only objects of chainrule's own classes have one: a class or function of the user
    may depend on anything. Names do not count, nor do the numbers in variables.

    Args:
        value: a layer, a model, a loss, a metric, an optimizer, or a tree of them.
        variables: the place of each variable, by its `id`.

    Example:
        >>> from chainrule.layers import Dense
        >>> first, second = (likeness(Dense(3, "relu")) for _ in range(2))
        >>> first == second, first == likeness(Dense(3, "tanh"))
        (True, False)
        >>> likeness(Dense(3, lambda x: 2 * x)) is None
        True
    """
    try:
        return _key(value, variables or {})
    except _Unlike:
        return None


def _key(value: Any, places: Mapping[int, int]) -> Hashable:
    kind = type(value)
    if kind in PLAIN:
        return kind, value  # 1, 1.0 and True are equal, and not alike
    if kind in _KEYS:
        return _KEYS[kind](value, places)
    own = kind.__module__.startswith(PACKAGE) and hasattr(value, "__dict__")
    if own and (isinstance(value, Configurable) or dataclasses.is_dataclass(value)):
        return _object_key(value, places)
    if isinstance(value, np.generic):
        return kind, value.item()
    raise _Unlike


def _parts_key(value: Any, places: Mapping[int, int]) -> Hashable:
    return type(value), *[_key(part, places) for part in value]


def _dict_key(value: Any, places: Mapping[int, int]) -> Hashable:
    pairs = [(_key(name, places), _key(x, places)) for name, x in value.items()]
    return dict, *pairs


def _variable_key(value: Variable, places: Mapping[int, int]) -> Hashable:
    return (
        Variable,
        places.get(id(value), -1),
        value.spec,
        value.trainable,
        _key(value.regularizer, places),
        _key(value.constraint, places),
    )


def _function_key(value: Any, _places: Mapping[int, int]) -> Hashable:
    """A function of ours that has a name; one made inside another may depend on it."""
    if is_named(value) and value.__module__.startswith(PACKAGE):
        return value
    raise _Unlike


def _object_key(value: Any, places: Mapping[int, int]) -> Hashable:
    pairs = [
        (name, _key(part, places))
        for name, part in vars(value).items()
        if name not in INCIDENTAL
    ]
    kind = type(value)
    # a method that somebody replaced makes it another class
    return kind, getattr(kind, "call", None), *pairs


def _named_key(value: Any, _places: Mapping[int, int]) -> Hashable:
    return type(value), value.name


def _spec_key(value: Any, _places: Mapping[int, int]) -> Hashable:
    return Spec, value


_KEYS: dict[type, Callable[[Any, Mapping[int, int]], Hashable]] = {
    Variable: _variable_key,
    DType: _named_key,
    DTypePolicy: _named_key,  # which is not what it is called by chance
    Spec: _spec_key,
    list: _parts_key,
    tuple: _parts_key,
    dict: _dict_key,
    types.FunctionType: _function_key,
}
