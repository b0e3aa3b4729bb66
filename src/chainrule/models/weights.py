"""The weights of a model by readable names, in files of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainrule import layers
from chainrule.errors import ArgumentError, FormatError
from chainrule.layers.layer import held
from chainrule.training.saving import Arrays, read_weights, write_weights
from chainrule.variable import Variable

SHOWN = 8  # names in a message; a report has them all


@dataclass(frozen=True)
class WeightsReport:
    """What became of the arrays of a file. Its text says it in full.

    Attributes:
        loaded: names of weights that got their numbers.
        missing: weights of the model that the file does not have.
        unexpected: arrays of the file that the model does not have.
        mismatched: names of both, with the difference in shape or dtype.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: Mapping[str, str]

    @property
    def complete(self) -> bool:
        """Whether every weight and every array found its partner."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        wrong = [f"{name} ({text})" for name, text in self.mismatched.items()]
        groups = {
            "loaded": self.loaded,
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
    weights = {name: v.numpy() for name, v in name_weights(model).items()}
    return write_weights(path, weights)


def load_weights(
    model: Any, path: str | os.PathLike[str], strict: bool
) -> WeightsReport:
    """Read weights by their names; see `Model.load_weights`."""
    if not model.built:
        raise ArgumentError(
            "the model has no weights yet that could be loaded",
            where=model.name,
            fix="tell the first layer input_shape=(...), or call the model once",
        )
    named, arrays = name_weights(model), read_weights(path)
    report = compare(named, arrays)
    if strict and not report.complete:
        raise _incomplete(report, str(path))
    for name in report.loaded:
        named[name].assign(arrays[name].astype(named[name].dtype.numpy))
    return report


def compare(named: Mapping[str, Variable], arrays: Arrays) -> WeightsReport:
    """Which arrays fit which variables.

    Floating-point numbers of another width fit; they are converted.
    """
    both = [name for name in named if name in arrays]
    mismatched = {}
    for name in both:
        array, variable = arrays[name], named[name]
        floats = array.dtype.kind == "f" and variable.dtype.is_float
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


def _incomplete(report: WeightsReport, where: str) -> FormatError:
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
        fix="load_weights(path, strict=False) takes what fits, and says what does not",
    )
