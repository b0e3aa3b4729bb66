"""Data as a model takes it: arrays at once, or batches of a stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from chainrule.errors import DataError
from chainrule.ir import tree
from chainrule.models.prepare import Examples, Outputs, Preparation, out_of_list
from chainrule.training.data import Array
from chainrule.training.mistakes import Mistake
from chainrule.training.source import ArraySource, Source
from chainrule.training.streams import Stream, StreamSource, unpack
from chainrule.training.targets import by_output, spread
from chainrule.training.weights import weigh_classes


@dataclass(frozen=True)
class Given:
    """The data that a method was called with; see `Model.fit`."""

    x: Any
    y: Any = None
    sample_weight: Any = None
    class_weight: Any = None
    validation_data: Any = None
    validation_split: Any = 0.0

    @property
    def training(self) -> tuple[Any, Any, Any, Any]:
        """What is trained on."""
        return self.x, self.y, self.sample_weight, self.class_weight


class Feed(Protocol):
    """Something that batches come from.

    Attributes:
        examples: samples that look like all of them.
        once: whether it gives every batch only once.
    """

    @property
    def once(self) -> bool:
        """Whether it gives every batch only once."""

    @property
    def examples(self) -> Examples:
        """Samples that look like all of them."""

    @property
    def description(self) -> Any:
        """What tells it from other data, as far as that can be told."""

    def source(
        self, batch_size: int | None, steps: int | None = None, key: Any = None
    ) -> Source:
        """Batches of this size, in the order that `key` decides."""

    def first(self, batches: int, batch_size: int) -> Feed:
        """The first batches only."""


@dataclass(frozen=True)
class Selection:
    """Samples in memory, and the rows of them to use.

    Attributes:
        examples: the samples.
        rows: how many there are, or the numbers of those to use.
        once: it can be passed over again and again.
    """

    examples: Examples
    rows: int | Array
    once: bool = False

    @property
    def description(self) -> Any:
        """The samples and their rows."""
        return {"data": self.examples.tree, "rows": self.rows}

    def source(
        self, batch_size: int | None, steps: int | None = None, key: Any = None
    ) -> Source:
        """The batches of these samples."""
        assert batch_size is not None
        return ArraySource(self.examples.tree, self.rows, batch_size, key, steps)

    def first(self, batches: int, batch_size: int) -> Selection:
        """The first rows only."""
        count = batches * batch_size
        if isinstance(self.rows, int):
            return replace(self, rows=min(self.rows, count))
        return replace(self, rows=self.rows[:count])


@dataclass(frozen=True)
class Streamed:
    """Batches of a stream.

    Attributes:
        examples: the first batch.
        stream: what gives them.
        convert: makes arrays of a batch, given its number.
    """

    examples: Examples
    stream: Stream
    convert: Callable[[Any, int], Any]

    @property
    def once(self) -> bool:
        """Whether it is an iterator."""
        return self.stream.once

    @property
    def description(self) -> Any:
        """What a sample looks like: batches need not be the same in another process."""
        specs = [
            f"{leaf.dtype}{list(leaf.shape[1:])}"
            for leaf in tree.flatten(self.examples.tree)[0]
        ]
        return {"stream": specs}

    def source(
        self, batch_size: int | None, steps: int | None = None, key: Any = None
    ) -> Source:
        """The batches of the stream, as they come."""
        self.stream.shuffle(key)
        return StreamSource(self.stream, self.convert, steps)

    def first(self, batches: int, batch_size: int) -> Streamed:
        """The first batches, kept in memory."""
        kept = []
        for batch in self.stream.batches(0):
            kept.append(batch)
            if len(kept) == batches:
                break
        return replace(self, stream=Stream(kept, batch_size))


def open_stream(
    preparation: Preparation, given: Given, batch_size: int, suffix: str = ""
) -> Streamed | None:
    """A stream whose first batch was held against the model; None where it is wrong."""
    name = f"x{suffix}"
    for argument in ("y", "sample_weight"):
        if getattr(given, argument) is not None:
            preparation.mistakes.append(
                Mistake(
                    f"the batches of a stream have their {argument} with them",
                    f"{argument}{suffix}",
                    got=f"{name} is a {type(given.x).__name__}",
                    expected="batches (x, y) or (x, y, sample_weight)",
                )
            )
    if isinstance(given.class_weight, str):
        preparation.mistakes.append(
            Mistake(
                "classes of a stream cannot be counted in advance",
                "class_weight",
                got=repr(given.class_weight),
                fix="class_weight={0: 1.0, 1: 5.0}",
            )
        )
    if preparation.mistakes:
        return None
    several = preparation.model.several is True
    stream = Stream(given.x, batch_size)
    batch = stream.first()
    if batch is None:
        preparation.mistakes.append(Mistake("there is no data", name, got="no batch"))
        return None
    parts = unpack(batch, several and preparation.model.objective is None)
    examples = preparation.read(*parts, given.class_weight, suffix)
    if examples is None:
        return None
    outputs = preparation.model.outputs()
    enter, free = preparation.model.enter, preparation.model.free_axes()
    convert = Converter(examples, outputs, enter, given.class_weight, several, free)
    return Streamed(examples, stream, convert)


class Converter:
    """Makes arrays of the batches of a stream, all of them like the first.

    Args:
        first: the first batch, checked.
        outputs: what the model returns.
        enter: what its host layers make of raw inputs.
        class_weight: a weight by the number of the class, or None.
        several: whether the model takes several inputs.
        free: the axes along which batches may differ in length.
    """

    def __init__(
        self,
        first: Examples,
        outputs: Outputs | None,
        enter: Callable[[Any], Any],
        class_weight: Any,
        several: bool,
        free: frozenset[int] = frozenset(),
    ) -> None:
        self.first = first
        self.names = ("output_0",) if outputs is None else outputs.names
        self.enter = enter
        self.class_weight = class_weight
        self.several = several and first.y is None
        self.free = free

    def __call__(self, batch: Any, number: int) -> Any:
        """The arrays of a batch.

        Raises:
            DataError: when it does not look like the first, or is not finite.
        """
        x, y, weight = unpack(batch, self.several)
        where = f"batch {number}"
        found = {"x": self._like(self.enter(x), self.first.x, f"x of {where}")}
        if self.first.y is not None:
            found["y"] = self._targets(y, f"y of {where}")
        if self.first.sample_weight is not None:
            found["sample_weight"] = self._weights(found.get("y"), weight, where)
        rows = {len(leaf) for leaf in tree.flatten(found)[0]}
        if len(rows) > 1:
            raise DataError(
                "all data must have the same number of rows",
                where=where,
                got=", ".join(map(str, sorted(rows))),
            )
        return found

    def _targets(self, y: Any, where: str) -> Any:
        if not isinstance(self.first.y, list):
            named = isinstance(y, Mapping)
            part = by_output(y, self.names, "y")[0] if named else y
            return self._like(part, self.first.y, where)
        parts = by_output(y, self.names, "y")
        return [
            None if model is None else self._like(part, model, where)
            for part, model in zip(parts, self.first.y, strict=True)
        ]

    def _weights(self, y: Any, weight: Any, where: str) -> Any:
        if self.class_weight is None:
            return self._like(weight, self.first.sample_weight, f"weights of {where}")
        single = not isinstance(y, list)
        tables = [self.class_weight]
        if not single:
            tables = by_output(self.class_weight, self.names, "class_weight")
        found = [
            self._weighed(part, given, table)
            for part, given, table in zip(
                [y] if single else y, spread(weight, self.names), tables, strict=True
            )
        ]
        return found[0] if single else found

    def _weighed(self, y: Any, given: Any, table: Any) -> Any:
        if y is None or table is None:
            return given
        weights, _ = weigh_classes(y, table)
        if weights is None or given is None:
            return weights
        given = np.asarray(given)
        return given * weights.reshape(len(weights), *(1,) * (given.ndim - 1))

    def _like(self, data: Any, model: Any, where: str) -> Any:
        """`data` as arrays of the shapes and dtypes of `model`."""
        leaves, structure = tree.flatten(model)
        if isinstance(model, np.ndarray):
            data = out_of_list(data, model.shape[1:])
        parts = tree.leaves_like(_listed(data, structure), structure)
        pairs = zip(parts, leaves, strict=True)
        fitted = [_fit(a, like, where, self.free) for a, like in pairs]
        return tree.unflatten(structure, fitted)


def _listed(data: Any, structure: tree.Structure) -> Any:
    """Several arrays in the container that is expected."""
    return list(data) if structure.kind is list and isinstance(data, tuple) else data


def _fit(data: Any, like: Array, where: str, free: frozenset[int]) -> Array:
    """An array of the shape and dtype of `like`, which is finite.

    Its length may be another along the axes that are free.
    """
    array = np.asarray(data)
    shape: tuple[int, ...] = (len(array) if array.ndim else 0, *like.shape[1:])
    if array.ndim == like.ndim:
        lengths = enumerate(zip(array.shape, shape, strict=True))
        shape = tuple(own if axis in free else n for axis, (own, n) in lengths)
    if (
        array.shape != shape
        and array.size == math.prod(shape)
        and 1 in shape + array.shape
    ):
        array = array.reshape(shape)
    kinds = array.dtype.kind, like.dtype.kind
    alike = kinds[0] == kinds[1] or (kinds[0] in "biu" and kinds[1] in "fiu")
    if array.shape != shape or not (alike or kinds == ("f", "i")):
        raise DataError(
            "all batches of a stream must look like the first",
            where=where,
            got=f"{array.dtype}{list(array.shape)}",
            expected=f"{like.dtype}{['any', *like.shape[1:]]}",
            fix="Input((None, ...)) as the first layer takes sequences of any length"
            if array.ndim == like.ndim > 1
            else None,
        )
    with np.errstate(all="ignore"):
        doubtful = array.dtype.kind == "f" and not math.isfinite(array.sum())
    if doubtful and not np.isfinite(array).all():
        raise DataError("the values must be finite everywhere", where=where)
    return array.astype(like.dtype, copy=False)
