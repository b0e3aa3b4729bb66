"""Models made again from their description, with new weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from chainrule import layers
from chainrule.configurable import custom_object_scope, serialize
from chainrule.errors import ArgumentError, FormatError
from chainrule.layers import InputLayer, Layer
from chainrule.models.model import Model


def model_from_json(
    json_string: str, custom_objects: Mapping[str, Any] | None = None
) -> Any:
    """The model that `Model.to_json` described, with new weights.

    Args:
        json_string: the description.
        custom_objects: classes and functions of your own, by the names in it.

    Raises:
        FormatError: when it is no such description.

    Example:
        >>> from chainrule import Sequential
        >>> from chainrule.layers import Dense
        >>> model = Sequential([Dense(2, input_shape=(3,))])
        >>> model_from_json(model.to_json()).count_params()
        8
    """
    try:
        described = json.loads(json_string)
    except (ValueError, TypeError, RecursionError) as error:
        raise FormatError(
            "this is no JSON", where="model_from_json", got=f"{error}"[:200]
        ) from None
    if not isinstance(described, dict) or "class_name" not in described:
        raise FormatError(
            "this describes no model",
            where="model_from_json",
            got=json_string[:80],
            expected="what model.to_json() gives",
        )
    with custom_object_scope(dict(custom_objects or {})):
        return layers.deserialize(described)


def clone_model(
    model: Any,
    input_tensors: Any = None,
    clone_function: Callable[[Layer], Layer] | None = None,
) -> Any:
    """An equal model with new weights.

    Args:
        model: a `Sequential` or a `Functional`, or a model that its config describes.
        input_tensors: symbols that take the place of the inputs.
        clone_function: makes the new layer for an old one; by its config by default.

    Returns:
        The new model; layers that stand several times are shared as in the old one.

    Raises:
        ArgumentError: where layers are to be replaced and there is no graph of them.

    Example:
        >>> from chainrule import Sequential
        >>> from chainrule.layers import Dense
        >>> model = Sequential([Dense(2, input_shape=(3,))])
        >>> clone = clone_model(model)
        >>> clone.get_config() == model.get_config(), clone.layers[0] is model.layers[0]
        (True, False)
    """
    if input_tensors is None and clone_function is None:
        return layers.deserialize(serialize(model))
    replace = clone_function or (lambda layer: layers.deserialize(serialize(layer)))
    if not isinstance(model, Model) or not hasattr(model, "rebuilt"):
        raise ArgumentError(
            "only models drawn of layers can be cloned layer by layer",
            where="clone_model",
            got=type(model).__name__,
            fix="clone_model(model)",
        )

    def made(layer: Layer) -> Layer:
        plain = isinstance(layer, InputLayer)
        return layers.deserialize(serialize(layer)) if plain else replace(layer)

    return model.rebuilt(made, input_tensors)
