"""Saving a model to one file, and making it again from there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chainrule import layers
from chainrule.configurable import custom_object_scope, serialize
from chainrule.errors import ArgumentError, ChainruleError, FormatError
from chainrule.ir import tree
from chainrule.ir.trace import constant
from chainrule.layers.layer import held, weights_from
from chainrule.training.data import Array
from chainrule.training.saving import Arrays, Contents, read_model, write_model
from chainrule.variable import Variable


def name_weights(model: Any) -> dict[str, Variable]:
    """The variables of a model by readable names, such as `dense_1/kernel`.

    The names depend on the structure alone, so that a model made again from its config
    has the same ones.

    Example:
        >>> from chainrule import Sequential
        >>> from chainrule.layers import Dense
        >>> model = Sequential([Dense(2, input_shape=(3,), name="out")])
        >>> sorted(name_weights(model))
        ['out/bias', 'out/kernel']
    """
    named: dict[str, Variable] = {}

    def walk(part: Any, prefix: str) -> None:
        for name, layer in _parts(part):
            walk(layer, f"{prefix}{name}/")
        taken = {id(variable) for variable in named.values()}
        for variable in part.weights:
            if id(variable) in taken:
                continue
            name, number = f"{prefix}{variable.name}", 1
            while name in named:
                number += 1
                name = f"{prefix}{variable.name}_{number}"
            named[name] = variable

    walk(model, "")
    return named


def _parts(part: Any) -> list[tuple[str, Any]]:
    """The layers directly inside, by name: in a row by theirs, else by attribute."""
    if hasattr(part, "named_layers"):
        named: list[tuple[str, Any]] = part.named_layers()
        return named
    found = []
    for attribute, value in vars(part).items():
        inside = [each for each in held(value) if isinstance(each, layers.Layer)]
        for number, layer in enumerate(inside):
            alone = layer is value
            found.append((attribute if alone else f"{attribute}_{number}", layer))
    return found


def save_model(
    model: Any, path: str | os.PathLike[str], overwrite: bool, include_optimizer: bool
) -> Path:
    """Write a model to one file; see `Model.save`."""
    shape = model._sample_shape()
    if not model.built or shape is None:
        raise ArgumentError(
            "the model has no weights yet",
            where=model.name,
            fix="tell the first layer input_shape=(...), or fit before saving",
        )
    if not overwrite and os.path.exists(path):
        raise ArgumentError(
            "the file exists already", where=str(path), fix="overwrite=True"
        )
    description = {"model": serialize(model), "input_shape": list(shape)}
    objective = model._objective
    if objective is not None:
        description["compile"] = objective.get_config()
    weights = {name: v.numpy() for name, v in name_weights(model).items()}
    optimizer = None
    state = model._optimizer_state() if include_optimizer else None
    if state is not None:
        leaves = [leaf.numpy() for leaf in tree.flatten(state)[0]]
        optimizer = dict(zip(_state_names(state), leaves, strict=True))
    return write_model(path, Contents(description, weights, optimizer))


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
        with custom_object_scope(dict(custom_objects or {})):
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
    shape = tuple(config["input_shape"])
    free: dict[tuple[int, ...], list[Array]] = {}
    for array in contents.weights.values():
        free.setdefault(array.shape, []).append(array)

    def take(wanted: tuple[int, ...], dtype: Any) -> Array:
        if not free.get(wanted):
            raise FormatError(
                "the file has no array for a weight of this shape", got=wanted
            )
        return free[wanted].pop().astype(dtype.numpy)

    with weights_from(take):
        model: Any = layers.deserialize(config["model"])
        if model._sample_shape() not in (None, shape):
            raise FormatError(
                "the shape of a sample is not that of the model",
                got=shape,
                expected=model._sample_shape(),
            )
        model._build_for_samples(shape)
    assign_weights(name_weights(model), contents.weights)
    return model


def assign_weights(named: Mapping[str, Variable], arrays: Arrays) -> None:
    """Give every variable its array.

    Raises:
        FormatError: when one is missing, left over, or of another shape or dtype.
    """
    missing, extra = sorted(set(named) - set(arrays)), sorted(set(arrays) - set(named))
    if missing or extra:
        raise FormatError(
            "the weights in the file are not those of the model",
            where="weights",
            got=f"beyond them: {extra}" if extra else None,
            expected=f"missing: {missing}" if missing else None,
        )
    for name, variable in named.items():
        array = arrays[name]
        if array.shape != variable.shape or array.dtype != variable.dtype.numpy:
            raise FormatError(
                "an array has another shape or dtype than the weight",
                where=name,
                got=f"{array.dtype}{list(array.shape)}",
                expected=variable.spec,
            )
        variable.assign(array)


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
