"""The weights of a model by readable names, in files of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import layers
from chainrule.errors import ArgumentError, FormatError
from chainrule.ir.dtype import as_array, bfloat16
from chainrule.layers.layer import held
from chainrule.models.foreign import (
    KERAS,
    LAYOUTS,
    TORCH,
    Mapped,
    Target,
    Translated,
    modules_of,
    translate,
    without_model,
)
from chainrule.models.keras_file import read_keras
from chainrule.training.saving import Arrays, read_weights, write_weights
from chainrule.variable import Variable

SHOWN = 8  # names in a message; a report has them all
HDF5 = (".h5", ".hdf5")
FROM_TORCH = "load_weights(path, layout='torch'), if they come from PyTorch"


@dataclass(frozen=True)
class WeightsReport:
    """What became of the arrays of a file. Its text says it in full.

    Attributes:
        loaded: names of weights that got their numbers.
        missing: weights of the model that the file does not have.
        unexpected: arrays of the file that the model does not have.
        mismatched: names of both, with the difference in shape or dtype.
        sources: what the arrays of weights are called in the file, where they have
            other names there.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: Mapping[str, str]
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every weight and every array found its partner."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        wrong = [f"{name} ({text})" for name, text in self.mismatched.items()]
        loaded = [
            f"{name} (from {self.sources[name]})" if name in self.sources else name
            for name in self.loaded
        ]
        groups = {
            "loaded": loaded,
            "missing in the file": self.missing,
            "unexpected in the file": self.unexpected,
            "of another shape or dtype": wrong,
        }
        lines = []
        for title, names in groups.items():
            lines.append(f"{title}: {len(names)}")
            lines += [f"  {name}" for name in names]
        return "\n".join(lines)


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
    """The layers directly inside, by name: in a model by theirs, else by attribute."""
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


def save_weights(model: Any, path: str | os.PathLike[str], overwrite: bool) -> Path:
    """Write the weights alone; see `Model.save_weights`."""
    if not model.built:
        raise ArgumentError(
            "the model has no weights yet",
            where=model.name,
            fix="tell the first layer input_shape=(...), or fit before saving",
        )
    if not overwrite and os.path.exists(path):
        raise ArgumentError(
            "the file exists already", where=str(path), fix="overwrite=True"
        )
    weights = {name: v.stored() for name, v in name_weights(model).items()}
    return write_weights(path, weights)


def load_weights(
    model: Any,
    source: str | os.PathLike[str] | Mapping[str, Any],
    strict: bool,
    layout: str | None = None,
    mapping: Mapped | None = None,
) -> WeightsReport:
    """Read weights by their names; see `Model.load_weights`."""
    if not model.built:
        raise ArgumentError(
            "the model has no weights yet that could be loaded",
            where=model.name,
            fix="tell the first layer input_shape=(...), or call the model once",
        )
    if layout not in (None, *LAYOUTS):
        raise ArgumentError(
            "there is no such layout of weights",
            where=model.name,
            got=f"layout={layout!r}",
            expected=f"None, {', '.join(map(repr, LAYOUTS))}",
        )
    where = "the arrays" if isinstance(source, Mapping) else str(source)
    named = name_weights(model)
    found = _read(model, named, source, layout, mapping)
    report = compare(named, found.arrays)
    other = {name: x for name, x in found.sources.items() if name != x}
    report = replace(report, sources=other)
    if strict and not report.complete:
        raise _incomplete(report, where, found.undecided)
    for name in report.loaded:
        named[name].assign(as_array(found.arrays[name], named[name].dtype))
    return report


def _read(
    model: Any,
    named: Mapping[str, Variable],
    source: str | os.PathLike[str] | Mapping[str, Any],
    layout: str | None,
    mapping: Mapped | None,
) -> Translated:
    """The arrays of a file by the names that they have in the model."""
    numbered = not isinstance(source, Mapping) and str(source).endswith(HDF5)
    if numbered and layout != TORCH:
        modules = read_keras(source)  # type: ignore[arg-type]
        return translate(targets_of(model, named, True), modules, KERAS, mapping)
    if isinstance(source, Mapping):
        arrays = {str(name): np.asarray(array) for name, array in source.items()}
    else:
        arrays = read_weights(source)
    if layout is None and mapping is None:
        return Translated(arrays, {})
    targets = targets_of(model, named, False)
    if layout == KERAS:
        arrays = without_model(arrays, [target.path for target in targets])
    return translate(targets, modules_of(arrays, layout), layout, mapping)


def targets_of(model: Any, named: Mapping[str, Variable], whole: bool) -> list[Target]:
    """The layers of a model that have weights, in order.

    Args:
        model: the model.
        named: its variables by name.
        whole: whether the layers inside a layer that is no model belong to it.
    """
    owners = dict(_owners(model, "", whole))
    held: dict[str, dict[str, Variable]] = {}
    for name, variable in named.items():
        path = name
        while path and path not in owners:
            path = path.rpartition("/")[0]
        held.setdefault(path, {})[name.removeprefix(f"{path}/")] = variable
    return [Target(path, owners.get(path, model), v) for path, v in held.items()]


def _owners(part: Any, prefix: str, whole: bool) -> Iterator[tuple[str, Any]]:
    for name, layer in _parts(part):
        yield f"{prefix}{name}", layer
        if not whole or hasattr(layer, "named_layers"):
            yield from _owners(layer, f"{prefix}{name}/", whole)


def compare(named: Mapping[str, Variable], arrays: Arrays) -> WeightsReport:
    """Which arrays fit which variables.

    Floating-point numbers of another width fit; they are converted.
    """
    both = [name for name in named if name in arrays]
    mismatched = {}
    for name in both:
        array, variable = arrays[name], named[name]
        floats = _is_float(array) and variable.dtype.is_float
        if array.shape != variable.shape or not (
            floats or array.dtype == variable.dtype.numpy
        ):
            found = f"{array.dtype}{list(array.shape)}"
            mismatched[name] = f"{found} in the file, {variable.spec} in the model"
    return WeightsReport(
        tuple(name for name in both if name not in mismatched),
        tuple(name for name in named if name not in arrays),
        tuple(name for name in arrays if name not in named),
        mismatched,
    )


def _is_float(array: np.ndarray[Any, Any]) -> bool:
    return array.dtype.kind == "f" or array.dtype == bfloat16.numpy


def _incomplete(
    report: WeightsReport, where: str, undecided: str | None
) -> FormatError:
    if undecided is not None:
        return FormatError(
            "it cannot be told by name, order and shape which layer is which",
            where=where,
            got=undecided,
            fix="mapping={'name in the file': 'name of the layer', ...}",
        )
    pieces = {
        "missing": report.missing,
        "unexpected": report.unexpected,
        "other": [f"{name}: {text}" for name, text in report.mismatched.items()],
    }
    got = "; ".join(
        f"{title}: {', '.join(list(names)[:SHOWN])}"
        + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        for title, names in pieces.items()
        if names
    )
    return FormatError(
        "the weights in the file are not those of the model",
        where=where,
        got=got,
        expected=f"the {len(report.loaded) + len(report.missing)} weights by name",
        fix=FROM_TORCH
        if any(name.endswith(".weight") for name in report.unexpected)
        else "load_weights(path, strict=False) takes what fits, and says what does not",
    )
