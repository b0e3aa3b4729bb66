"""Saving a model to one file, and making it again from there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import layers
from chainrule.configurable import custom_object_scope, serialize
from chainrule.errors import ArgumentError, ChainruleError, FormatError
from chainrule.functional.recording import PLACEHOLDERS
from chainrule.ir import tree
from chainrule.ir.dtype import as_array, as_dtype
from chainrule.ir.spec import Spec
from chainrule.ir.trace import constant
from chainrule.layers.drawing import tree_of_shapes
from chainrule.layers.layer import weights_from
from chainrule.models.weights import compare, name_weights
from chainrule.training.data import Array
from chainrule.training.saving import (
    WEIGHTS,
    Arrays,
    Contents,
    read_model,
    write_model,
)
from chainrule.variable import Variable


def save_model(
    model: Any, path: str | os.PathLike[str], overwrite: bool, include_optimizer: bool
) -> Path:
    """Write a model to one file; see `Model.save`."""
    if not model.built or (model.inputs is None and model._seen_inputs is None):
        raise ArgumentError(
            "the model has no weights yet",
            where=model.name,
            fix="tell the first layer input_shape=(...), or fit before saving",
        )
    if not overwrite and os.path.exists(path):
        raise ArgumentError(
            "the file exists already", where=str(path), fix="overwrite=True"
        )
    description = {"model": serialize(model), **_describe_inputs(model)}
    if model.notes:
        description["notes"] = _checked_notes(model)
    objective = model._objective
    if objective is not None:
        description["compile"] = objective.get_config()
    weights = {name: v.stored() for name, v in name_weights(model).items()}
    optimizer = None
    state = model._optimizer_state() if include_optimizer else None
    if state is not None:
        leaves = [np.array(leaf.data) for leaf in tree.flatten(state)[0]]
        optimizer = dict(zip(_state_names(state), leaves, strict=True))
    return write_model(path, Contents(description, weights, optimizer))


def _checked_notes(model: Any) -> dict[str, Any]:
    """The notes, which JSON must give back as they are."""
    try:
        same = json.loads(json.dumps(model.notes, allow_nan=False)) == model.notes
    except (TypeError, ValueError):
        same = False
    if not same:
        raise ArgumentError(
            "notes hold what JSON has: texts, finite numbers, lists, dicts by text",
            where=f"{model.name}.notes",
            got=repr(model.notes)[:200],
        )
    found: dict[str, Any] = model.notes
    return found


def _describe_inputs(model: Any) -> dict[str, Any]:
    """What the weights were made for, in terms of JSON."""
    if model.inputs is not None:
        return {"input_shape": _plain(model._sample_shape())}
    specs, structure = model._seen_inputs
    shapes = tree.unflatten(structure, [spec.shape[1:] for spec in specs])
    names = tree.unflatten(structure, [spec.dtype.name for spec in specs])
    return {"input_shape": _plain(shapes), "input_dtype": _plain(names)}


def _plain(part: Any) -> Any:
    """A tree of shapes or names in terms of JSON."""
    if isinstance(part, Mapping):
        return {str(key): _plain(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_plain(value) for value in part]
    return part


def _make_weights(model: Any, shape: Any, description: Mapping[str, Any]) -> None:
    """The weights of a model that makes them when it sees its inputs."""
    if "input_dtype" not in description:
        model._build_for_samples(shape)
        return
    names, structure = tree.flatten(description["input_dtype"])
    shapes = _leaves(shape)
    pairs = zip(shapes, names, strict=True)
    specs = [Spec((PLACEHOLDERS[0], *shape), as_dtype(name)) for shape, name in pairs]
    model._see(*specs, structure=structure)


def _leaves(shapes: Any) -> list[Any]:
    """The shapes in a tree of shapes."""
    if isinstance(shapes, tuple):
        return [shapes]
    parts = shapes.values() if isinstance(shapes, Mapping) else shapes
    return [shape for part in parts for shape in _leaves(part)]


def _state_names(state: Any) -> list[str]:
    return tree.leaf_names(state, "optimizer")


def load_model(
    path: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
) -> Any:
    """The model that `Model.save` wrote. Nothing in the file is run.

    Args:
        path: the file.
        custom_objects: classes and functions of your own, by the names in the file.
        compile: whether to compile it as it was, with its optimizer's state.

    Raises:
        FormatError: when the file is damaged or does not fit together.
        ArgumentError: when it names a class that is not known.

    Example:
        >>> import tempfile
        >>> from chainrule import Sequential
        >>> from chainrule.layers import Dense
        >>> model = Sequential([Dense(2, input_shape=(2,))])
        >>> path = model.save(f"{tempfile.mkdtemp()}/model.chainrule")
        >>> bool((load_model(path).predict([[1, 2]]) == model.predict([[1, 2]])).all())
        True
    """
    contents = read_model(path)
    try:
        objects = custom_object_scope(dict(custom_objects or {}))
        with objects, np.errstate(all="ignore"):  # a number may be any
            model = _make_model(contents)
            if compile:
                _compile(model, contents)
    except ChainruleError as error:
        raise FormatError(
            f"the file does not describe a model: {error.problem}",
            where=f"{path}" + (f": {error.where}" if error.where else ""),
            got=error.got,
            expected=error.expected,
            fix=error.fix,
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise FormatError(
            "the file does not describe a model", where=str(path), got=repr(error)[:200]
        ) from None
    return model


def _make_model(contents: Contents) -> Any:
    """The model with the weights of the file; none is drawn, none made larger."""
    config = contents.description
    shape = tree_of_shapes(config["input_shape"])
    free: dict[tuple[int, ...], list[Array]] = {}
    for array in contents.weights.values():
        free.setdefault(array.shape, []).append(array)

    def take(wanted: tuple[int, ...], dtype: Any) -> Array:
        if not free.get(wanted):
            raise FormatError(
                "the file has no array for a weight of this shape", got=wanted
            )
        return as_array(free[wanted].pop(), dtype)

    with weights_from(take):
        model: Any = layers.deserialize(config["model"])
        known = model._sample_shape()
        if known is not None and tree_of_shapes(known) != shape:
            raise FormatError(
                "the shape of a sample is not that of the model",
                got=shape,
                expected=known,
            )
        _make_weights(model, shape, config)
    _assign(name_weights(model), contents.weights)
    model.notes = _notes(config.get("notes", {}))
    return model


def _notes(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise FormatError("notes are an object", got=repr(found)[:100])
    return found


def _assign(named: Mapping[str, Variable], arrays: Arrays) -> None:
    """Give every variable its array, of the very shape and dtype."""
    report = compare(named, arrays)
    wrong = [n for n in report.loaded if arrays[n].dtype != named[n].dtype.numpy]
    if wrong or not report.complete:
        raise FormatError(
            "the weights in the file are not those of the model",
            where=WEIGHTS,
            got=f"other dtypes: {', '.join(wrong)}"[:400] if wrong else f"{report}",
        )
    for name, variable in named.items():
        variable.assign(arrays[name])


def _compile(model: Any, contents: Contents) -> None:
    config = contents.description.get("compile")
    if config is None:
        return
    model.compile(**config)
    if contents.optimizer is None:
        return
    state = model.optimizer.init([v.value for v in model.trainable_weights])
    leaves, structure = tree.flatten(state)
    names = _state_names(state)
    if sorted(names) != sorted(contents.optimizer):
        raise FormatError(
            "the state in the file is not that of the optimizer",
            where="optimizer",
            got=f"{sorted(contents.optimizer)}"[:200],
            expected=f"{sorted(names)}"[:200],
        )
    for name, leaf in zip(names, leaves, strict=True):
        array = contents.optimizer[name]
        if array.shape != leaf.spec.shape or array.dtype != leaf.spec.dtype.numpy:
            raise FormatError(
                "a part of the optimizer's state has another shape or dtype",
                where=name,
                got=f"{array.dtype}{list(array.shape)}",
                expected=leaf.spec,
            )
    values = [constant(contents.optimizer[name].copy()) for name in names]
    model._resume(tree.unflatten(structure, values))
