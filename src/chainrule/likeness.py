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
        "_exclusions",  # none, or nothing is shared: they go by names
    }
)
# Nor does what weights were made by, nor what inputs are checked against: what differs
# in these, and fits the data, differs in the variables.
INCIDENTAL |= {"input_spec"} | {
    f"{name}_initializer"
    for name in (
        "kernel",
        "bias",
        "recurrent",
        "embeddings",
        "depthwise",
        "pointwise",
        "gamma",
        "beta",
        "moving_mean",
        "moving_variance",
        "alpha",
    )
}
IN_STATE = "_learning_rate"  # where it is a number


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
    found: list[Any] = []
    try:
        _write(value, variables or {}, found)
    except _Unlike:
        return None
    return tuple(found)


# Keys are flat, since nested tuples cost more than what is in them. What comes first
# says what follows, so that no two objects that differ have one key.
_END = object()  # behind the attributes of an object

Places = Mapping[int, int]
Key = list[Any]


def _write(value: Any, places: Places, key: Key) -> None:
    kind = type(value)
    if kind in PLAIN:
        key += (kind, value)  # 1, 1.0 and True are equal, and not alike
    elif kind in _WRITERS:
        _WRITERS[kind](value, places, key)
    elif kind.__module__.startswith(PACKAGE) and (
        isinstance(value, Configurable) or dataclasses.is_dataclass(value)
    ):
        _write_object(value, places, key)
    elif isinstance(value, np.generic):
        key += (kind, value.item())
    else:
        raise _Unlike


def _write_parts(value: Any, places: Places, key: Key) -> None:
    key += (type(value), len(value))
    for part in value:
        _write(part, places, key)


def _write_dict(value: Any, places: Places, key: Key) -> None:
    key += (dict, len(value))
    for name, part in value.items():
        _write(name, places, key)
        _write(part, places, key)


def _write_variable(value: Variable, places: Places, key: Key) -> None:
    kept = value.spec, value.trainable, value.sparse
    key += (Variable, places.get(id(value), -1), *kept)
    _write(value.regularizer, places, key)
    _write(value.constraint, places, key)


def _write_function(value: Any, _places: Places, key: Key) -> None:
    """A function of ours that has a name; one made inside another may depend on it."""
    if not (is_named(value) and value.__module__.startswith(PACKAGE)):
        raise _Unlike
    key.append(value)


def _write_object(value: Any, places: Places, key: Key) -> None:
    kind = type(value)
    # a method that somebody replaced makes it another class
    key += (kind, getattr(kind, "call", None))
    try:
        attributes = vars(value)
    except TypeError:
        raise _Unlike from None
    for name, part in attributes.items():
        own = type(part)
        if name in INCIDENTAL or (name == IN_STATE and own is float):
            continue
        if own in PLAIN:
            key += (name, own, part)
        else:
            key.append(name)
            _write(part, places, key)
    key.append(_END)


def _write_named(value: Any, _places: Places, key: Key) -> None:
    key += (type(value), value.name)


def _write_spec(value: Any, _places: Places, key: Key) -> None:
    key += (Spec, value)


_WRITERS: dict[type, Callable[[Any, Places, Key], None]] = {
    Variable: _write_variable,
    DType: _write_named,
    DTypePolicy: _write_named,  # which is not what it is called by chance
    Spec: _write_spec,
    list: _write_parts,
    tuple: _write_parts,
    dict: _write_dict,
    types.FunctionType: _write_function,
}
