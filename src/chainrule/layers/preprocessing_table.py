"""Raw tables at the front of a model: columns of any kind to numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Unpack

import numpy as np

from chainrule import functional
from chainrule.data.columns import (
    Columns,
    absent_in,
    find_date_form,
    to_numbers,
    to_text,
)
from chainrule.data.tables import Table, read_table
from chainrule.errors import ArgumentError, DataError
from chainrule.functional.promotion import Tensor
from chainrule.layers.host import HostLayer
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.layer import InputShape, Layer, LayerOptions
from chainrule.layers.table_columns import (
    FIRST_CODE,
    KINDS,
    CategoryColumn,
    Column,
    DateColumn,
    Encoded,
    NumberColumn,
    column_config,
    column_from,
)

Array = np.ndarray[Any, Any]


class TableEncoder(HostLayer):
    """Rows of a table as rows of numbers: what a table's model begins with.

    Takes a dict of columns, a DataFrame, an Arrow table, rows of cells, or the path of
    a CSV or Parquet file. Columns go by their names, in any order; others are ignored.
    The output is float32 `(rows, numbers + flags + codes)`:

    - numbers, missing ones replaced by the median, scaled to mean 0 and standard
      deviation 1; skewed columns by the quantiles of a normal distribution;
    - flags, 1 where a number was missing, for columns where some were;
    - codes of categories: 0 missing, 1 one not seen before, 2, 3, ... those known.

    Dates become days elapsed and month, day, weekday and hour. `TableFeatures` goes
    behind it.

    Args:
        columns: how each column is encoded, as `adapt` found out; see
            `chainrule.layers.table_columns`.
        target: what the model predicts, for reports: name, task, classes.
        missing: texts that stand for a missing value, beyond the usual ones.
        **options: see `LayerOptions`.

    Raises:
        DataError: when a column is missing, or what it is given is no table.

    Example:
        >>> encoder = TableEncoder()
        >>> encoder.adapt({"age": [20, 30, None], "job": ["cook", "nurse", "cook"]})
        >>> encoder({"job": ["cook", "pilot"], "age": [30, None]}).tolist()
        [[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]]
    """

    def __init__(
        self,
        columns: Sequence[Mapping[str, Any]] = (),
        target: Mapping[str, Any] | None = None,
        missing: Sequence[str] = (),
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.columns = [dict(config) for config in columns]
        self.target = None if target is None else dict(target)
        self.missing = list(missing)
        self._learnt: list[Column] = [column_from(config) for config in self.columns]

    def adapt(self, data: Any, kinds: Mapping[str, str] | None = None) -> None:
        """Learn how to encode the columns of this table.

        Args:
            data: a table, as for a call.
            kinds: `number`, `category` or `date` by column; columns not named are left
                out. By default every column is used, as what it looks like.

        Raises:
            ArgumentError: for another kind, or a column that is not there.
        """
        columns = read_table(data, missing=self.missing).columns
        if kinds is None:
            kinds = {name: kind_of(values) for name, values in columns.items()}
        learnt = []
        for name, kind in kinds.items():
            if kind not in KINDS or name not in columns:
                raise ArgumentError(
                    "a column is not there, or is to be of no kind that there is",
                    where=self.name,
                    got=f"{name!r}: {kind!r}",
                    expected=f"{', '.join(KINDS)} for one of {', '.join(columns)}",
                )
            learnt.append(learn_column(name, kind, columns[name]))
        self._learnt = learnt
        self.columns = [column_config(column) for column in learnt]

    @property
    def names(self) -> list[str]:
        """The columns that it reads."""
        return [column.name for column in self._learnt]

    @property
    def cardinalities(self) -> list[int]:
        """How many codes each column of categories has."""
        return [c.cardinality for c in self._learnt if isinstance(c, CategoryColumn)]

    @property
    def numbers(self) -> int:
        """How many numbers the output begins with."""
        return len(list(self._number_columns()))

    @property
    def flags(self) -> int:
        """How many flags follow them."""
        return sum(column.flag for column in self._number_columns())

    def call(self, inputs: Any) -> Array:
        """The table as numbers."""
        columns = self._read(inputs)
        rows = len(next(iter(columns.values()))) if columns else 0
        encoded = Encoded()
        for column in self._learnt:
            encoded.add(column, columns[column.name])
        return encoded.matrix(rows)

    def compute_output_shape(self, input_shape: Any) -> InputShape:
        """One row of numbers, flags and codes for each row."""
        return (None, self.numbers + self.flags + len(self.cardinalities))

    def read(self, data: Any) -> Table:
        """A table with the names that the columns have for this layer.

        Where the table that it learnt from had no headings, columns go by their places;
        that of the target may be left out.
        """
        table = read_table(data, missing=self.missing, known=self.names)
        target = self.target or {}
        names = target.get("row_names")
        if names is None or (
            set(self.names) <= set(table.names) and len(names) == len(table.names)
        ):
            return table
        without = [name for name in names if name != target["name"]]
        if len(table.names) == len(without) and not table.header:
            table.columns = dict(zip(without, table.columns.values(), strict=True))
        return table

    def _read(self, inputs: Any) -> Columns:
        table = self.read(inputs)
        absent = [name for name in self.names if name not in table.columns]
        if absent:
            raise DataError(
                f"the table lacks {len(absent)} of the columns that the model reads",
                where=table.source,
                got=f"columns {', '.join(table.names[:20])}",
                expected=f"also {', '.join(absent[:20])}",
                fix="give all columns; cells may be empty, order does not matter",
            )
        return table.columns

    def _number_columns(self) -> Iterator[NumberColumn]:
        for column in self._learnt:
            if isinstance(column, NumberColumn):
                yield column
            elif isinstance(column, DateColumn):
                yield from column.parts


def kind_of(values: Array) -> str:
    """What a column looks like: `number`, `category` or `date`.

    Example:
        >>> kind_of(np.array([1.5, 2.0])), kind_of(np.array(["a", None], object))
        ('number', 'category')
    """
    if values.dtype.kind == "M":
        return "date"
    if values.dtype.kind in "iuf":
        return "number"
    return "category"


def learn_column(name: str, kind: str, values: Array) -> Column:
    """How to encode a column of this kind."""
    if kind == "category":
        return CategoryColumn.learn(name, values)
    if kind == "number":
        return NumberColumn.learn(name, to_numbers(values))
    form = "iso"
    if values.dtype.kind == "O":
        texts = to_text(values)
        form = find_date_form(list(dict.fromkeys(texts[~absent_in(texts)]))) or form
    return DateColumn.learn(name, values, form)


class TableFeatures(Layer):
    """What a `TableEncoder` gives, spread out for a network; compiled.

    Numbers are handed on, and where they have `edges` also cut into bins: feature t of
    a number x is `clip((x - edge[t]) / (edge[t + 1] - edge[t]), 0, 1)`, so that a
    dense layer behind it makes piecewise linear functions of every number. (Gorishniy,
    Rubachev, Babenko, "On embeddings for numerical features in tabular deep learning",
    NeurIPS 2022.) Categories become indicators, or where there are many, rows of a
    table that is learnt.

    Args:
        numbers: how many numbers a row begins with.
        flags: how many flags follow.
        cardinalities: how many codes each column of categories has.
        edges: of the bins of each number, ascending; none leaves the numbers alone.
        most_indicators: columns with more codes than this one get a table.
        **options: see `LayerOptions`.

    Example:
        >>> features = TableFeatures(1, cardinalities=[4], edges=[[0.0, 1.0, 3.0]])
        >>> features([[2.0, 3.0]]).tolist()
        [[2.0, 1.0, 0.5, 0.0, 0.0, 1.0]]
    """

    full = True

    def __init__(
        self,
        numbers: int,
        flags: int = 0,
        cardinalities: Sequence[int] = (),
        edges: Sequence[Sequence[float]] = (),
        most_indicators: int = 32,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.numbers = numbers
        self.flags = flags
        self.cardinalities = list(cardinalities)
        self.edges = [list(each) for each in edges]
        self.most_indicators = most_indicators

    def build(self, input_shape: InputShape) -> None:
        """Make a table for every column of many categories."""
        width = self.numbers + self.flags + len(self.cardinalities)
        self.input_spec = InputSpec(ndim=2, axes={-1: width})
        self.tables = [
            self.add_weight(
                f"table_{place}", (codes, embedding_width(codes)), "random_uniform"
            )
            for place, codes in enumerate(self.cardinalities)
            if codes > self.most_indicators
        ]

    def call(self, inputs: Tensor) -> Tensor:
        """Numbers, bins, flags, indicators and rows of tables, side by side."""
        first = self.numbers + self.flags
        parts = [inputs[:, :first]] if first else []
        parts += self._bins(inputs)
        parts += self._categories(inputs)
        return functional.concat(parts, axis=1)

    def _bins(self, inputs: Tensor) -> Iterator[Tensor]:
        places = [i for i, each in enumerate(self.edges) for _ in each[1:]]
        if not places:
            return
        low = np.array([a for each in self.edges for a in each[:-1]], np.float32)
        high = np.array([b for each in self.edges for b in each[1:]], np.float32)
        spread = functional.take(inputs, np.array(places), axis=1)
        yield functional.clip((spread - low) * (1 / (high - low)), 0.0, 1.0)

    def _categories(self, inputs: Tensor) -> Iterator[Tensor]:
        first = self.numbers + self.flags
        small: list[int] = []
        codes: list[int] = []
        for place, count in enumerate(self.cardinalities):
            if count <= self.most_indicators:
                known = range(FIRST_CODE - 1, count)
                small += [first + place] * len(known)
                codes += known
        if small:
            spread = functional.take(inputs, np.array(small), axis=1)
            indicators = spread == np.array(codes, np.float32)
            yield functional.astype(indicators, self.dtype)
        tables = iter(self.tables)
        for place, count in enumerate(self.cardinalities):
            if count > self.most_indicators:
                rows = functional.astype(inputs[:, first + place], "int32")
                yield functional.take(next(tables).value, rows, axis=0)


def embedding_width(codes: int) -> int:
    """How wide the table of a column with so many categories is.

    Example:
        >>> embedding_width(40), embedding_width(1000)
        (13, 50)
    """
    return min(50, round(1.6 * codes**0.56))


def bin_edges(values: Array, most: int) -> list[float]:
    """Edges of bins that hold equally many of these values, as far as they differ.

    Example:
        >>> bin_edges(np.array([0.0, 0.0, 1.0, 2.0, 3.0]), 2)
        [0.0, 1.0, 3.0]
    """
    shares = np.linspace(0, 1, most + 1)
    found = np.unique(np.quantile(values, shares, method="nearest").astype(np.float32))
    return found.tolist() if len(found) > 1 else []
