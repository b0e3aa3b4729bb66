"""`Dataset`: steps from a source to batches; nothing is read before it is needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from chainrule.data.reading import arranged, csv_pieces, parquet_pieces, read_ahead
from chainrule.errors import ArgumentError, DataError

Array = np.ndarray[Any, Any]


class Dataset:
    """Elements, made one after the other, as often as they are asked for.

    An element is an array, or a tuple or dict of arrays. The methods give new data
    sets that read from this one. What `batch` gives is what `fit` takes: `(x, y)`.

    Where rows are read many at a time (from arrays and from files), `batch`, `shuffle`,
    `map` of batches, `take` and `skip` work on whole pieces, and nothing is done row by
    row in Python.

    Args:
        source: gives an iterator over pieces, each a tree of arrays with rows in front,
            or over single elements.
        pieces: whether these are pieces of many rows.
        length: how many elements there are, where that is known.

    Example:
        >>> data = Dataset.from_tensor_slices((np.arange(5), np.arange(5) * 10))
        >>> [x.tolist() for x, y in data.batch(2)]
        [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        source: Callable[[], Iterator[Any]],
        pieces: bool = False,
        length: int | None = None,
    ) -> None:
        self._source = source
        self._pieces = pieces
        self._length = length

    # ---- where elements come from ----------------------------------------------------

    @staticmethod
    def from_tensor_slices(tensors: Any) -> Dataset:
        """The rows of arrays: an array, or a tuple or dict of arrays.

        Raises:
            DataError: when they differ in their number of rows.
        """
        tree = map_tree(np.asarray, tensors)
        rows = rows_of(tree)
        return Dataset(lambda: iter([tree]), True, rows)

    @staticmethod
    def from_generator(generator: Callable[[], Iterable[Any]]) -> Dataset:
        """What a function that makes generators gives; called anew for every pass.

        Raises:
            ArgumentError: for a generator itself, which could be passed over once only.
        """
        if not callable(generator):
            raise ArgumentError(
                "a generator can be passed over once; give the function that makes it",
                where="from_generator",
                got=type(generator).__name__,
                fix="Dataset.from_generator(make_rows), not make_rows()",
            )
        return Dataset(lambda: iter(generator()))

    @staticmethod
    def range(*bounds: int) -> Dataset:
        """Whole numbers, as `range` counts."""
        return Dataset.from_tensor_slices(np.arange(*bounds))

    @staticmethod
    def from_csv(
        path: Any,
        target: str | None = None,
        columns: Sequence[str] | None = None,
        header: bool | None = None,
        matrix: bool = True,
    ) -> Dataset:
        """The rows of a CSV file, read a few megabytes at a time; see `read_csv`."""

        def pieces() -> Iterator[Any]:
            wanted = with_target(columns, target)
            known = () if target is None else (target,)
            found = csv_pieces(path, wanted, header, known)
            return arranged(found, target, matrix, str(path))

        return Dataset(pieces, True)

    @staticmethod
    def from_parquet(
        path: Any,
        target: str | None = None,
        columns: Sequence[str] | None = None,
        matrix: bool = True,
    ) -> Dataset:
        """The rows of a Parquet file, read some at a time; see `read_parquet`."""

        def pieces() -> Iterator[Any]:
            found = parquet_pieces(path, with_target(columns, target))
            return arranged(found, target, matrix, str(path))

        return Dataset(pieces, True)

    # ---- steps -----------------------------------------------------------------------

    def map(self, function: Callable[..., Any]) -> Dataset:
        """`function` of every element; of a tuple its parts are the arguments.

        Behind `batch` it is given whole batches, which is much faster.

        Example:
            >>> [int(x) for x in Dataset.range(3).map(lambda x: x * 2)]
            [0, 2, 4]
        """

        def apply(element: Any) -> Any:
            if isinstance(element, tuple):
                return function(*element)
            return function(element)

        return Dataset(lambda: map(apply, iter(self)), False, self._length)

    def filter(self, predicate: Callable[..., Any]) -> Dataset:
        """The elements for which `predicate` holds."""

        def keeps(element: Any) -> bool:
            parts = element if isinstance(element, tuple) else (element,)
            return bool(predicate(*parts))

        return Dataset(lambda: filter(keeps, iter(self)))

    def batch(self, batch_size: int, drop_remainder: bool = False) -> Dataset:
        """Elements, `batch_size` at a time, stacked.

        Args:
            batch_size: how many; the last batch may hold fewer.
            drop_remainder: whether to leave that one out.
        """
        check_count("batch_size", batch_size, 1)
        length = self._length
        if length is not None:
            length = (
                length // batch_size if drop_remainder else -(-length // batch_size)
            )

        def batches() -> Iterator[Any]:
            return rebatch(self._as_pieces(batch_size), batch_size, drop_remainder)

        return Dataset(batches, False, length)

    def unbatch(self) -> Dataset:
        """The rows of every element, one by one."""
        return Dataset(lambda: iter(self), True)

    def shuffle(self, buffer_size: int, seed: int | None = None) -> Dataset:
        """Elements in random order, within what a buffer holds.

        Every pass has an order of its own; with a seed the same ones in every run. A
        buffer as large as the data shuffles it evenly.

        Args:
            buffer_size: how many elements are kept to choose from.
            seed: decides the orders.

        Example:
            >>> sorted(int(x) for x in Dataset.range(5).shuffle(3, seed=0))
            [0, 1, 2, 3, 4]
        """
        check_count("buffer_size", buffer_size, 1)
        passes = iter(range(1 << 62))
        entropy: Any = np.random.SeedSequence(seed).entropy

        def shuffled() -> Iterator[Any]:
            numbers = np.random.default_rng([entropy, next(passes)])
            if self._pieces:
                return shuffle_pieces(self._source(), buffer_size, numbers)
            return shuffle_elements(iter(self), buffer_size, numbers)

        return Dataset(shuffled, self._pieces, self._length)

    def take(self, count: int) -> Dataset:
        """The first `count` elements; -1 takes all."""
        return self._slice(0, None if count == -1 else check_count("count", count, 0))

    def skip(self, count: int) -> Dataset:
        """All but the first `count` elements; -1 skips all."""
        return self.take(0) if count == -1 else self._slice(count, None)

    def repeat(self, count: int | None = None) -> Dataset:
        """The elements over and over, `count` times or without end."""

        def again() -> Iterator[Any]:
            done = 0
            while count in (None, -1) or done < (count or 0):
                found = False
                for piece in self._source():
                    found = found or not self._pieces or rows_of(piece) > 0
                    yield piece
                if not found:
                    return
                done += 1

        endless = count in (None, -1) or self._length is None
        length = None if endless else (self._length or 0) * (count or 0)
        return Dataset(again, self._pieces, length)

    def cache(self) -> Dataset:
        """The elements kept in memory, once they have been read to the end."""
        kept: list[Any] = []
        complete = False

        def cached() -> Iterator[Any]:
            nonlocal complete
            if complete:
                yield from kept
                return
            fresh: list[Any] = []
            for piece in self._source():
                fresh.append(piece)
                yield piece
            kept[:], complete = fresh, True

        return Dataset(cached, self._pieces, self._length)

    def prefetch(self, buffer_size: int = 2) -> Dataset:
        """Read by a thread of its own, up to `buffer_size` elements ahead.

        An error of the source is raised where the element would have come.
        """
        size = 2 if buffer_size == -1 else check_count("buffer_size", buffer_size, 1)
        source = self._source
        return Dataset(lambda: read_ahead(source, size), self._pieces, self._length)

    # ---- reading ---------------------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        if not self._pieces:
            return self._source()
        return (
            pick(piece, row)
            for piece in self._source()
            for row in range(rows_of(piece))
        )

    def list(self) -> list[Any]:
        """All elements."""
        return list(self)

    def cardinality(self) -> int | None:
        """How many elements there are; None where nobody knows."""
        return self._length

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("the length of this data set is not known")
        return self._length

    def _slice(self, start: int, stop: int | None) -> Dataset:
        length = self._length
        if length is not None:
            length = max(0, min(length, length if stop is None else stop) - start)
        if not self._pieces:
            return Dataset(lambda: islice(iter(self), start, stop), False, length)
        return Dataset(lambda: slice_pieces(self._source(), start, stop), True, length)

    def _as_pieces(self, rows: int) -> Iterator[Any]:
        """Trees of arrays with several rows, whatever the source gives."""
        if self._pieces:
            yield from self._source()
            return
        elements = iter(self)
        while group := list(islice(elements, rows)):
            yield stack(group)


# ---- trees of arrays -----------------------------------------------------------------


def map_tree(function: Callable[[Any], Any], tree: Any) -> Any:
    """`function` of every array in tuples and dicts.

    Example:
        >>> map_tree(len, ([1, 2], {"a": "xyz"}))
        (2, {'a': 3})
    """
    if isinstance(tree, tuple):
        return tuple(map_tree(function, part) for part in tree)
    if isinstance(tree, Mapping):
        return {key: map_tree(function, part) for key, part in tree.items()}
    return function(tree)


def leaves(tree: Any) -> Iterator[Any]:
    """The arrays in tuples and dicts."""
    if isinstance(tree, tuple):
        for part in tree:
            yield from leaves(part)
    elif isinstance(tree, Mapping):
        for part in tree.values():
            yield from leaves(part)
    else:
        yield tree


def rows_of(tree: Any) -> int:
    """How many rows the arrays of a tree have.

    Raises:
        DataError: when they differ, or one has none.
    """
    shapes = [np.shape(leaf) for leaf in leaves(tree)]
    counts = {shape[0] if shape else None for shape in shapes}
    if len(counts) != 1 or None in counts:
        raise DataError(
            "arrays of one data set have the same number of rows",
            where="Dataset",
            got=", ".join(map(str, shapes)) or "no arrays",
        )
    found: int = counts.pop()  # type: ignore[assignment]
    return found


def stack(elements: Sequence[Any]) -> Any:
    """Elements of one structure as a tree of arrays, with an axis for the elements."""
    first = elements[0]
    if isinstance(first, tuple):
        return tuple(stack(parts) for parts in zip(*elements, strict=True))
    if isinstance(first, Mapping):
        return {key: stack([each[key] for each in elements]) for key in first}
    return np.stack([np.asarray(each) for each in elements])


def concatenate(trees: Sequence[Any]) -> Any:
    """Trees of one structure, one behind the other along the rows."""
    first = trees[0]
    if len(trees) == 1:
        return first
    if isinstance(first, tuple):
        return tuple(concatenate(parts) for parts in zip(*trees, strict=True))
    if isinstance(first, Mapping):
        return {key: concatenate([each[key] for each in trees]) for key in first}
    return np.concatenate(trees)


def pick(tree: Any, index: Any) -> Any:
    """Some rows of every array."""
    return map_tree(lambda array: array[index], tree)


# ---- pieces of many rows -------------------------------------------------------------


def rebatch(
    pieces: Iterable[Any], batch_size: int, drop_remainder: bool
) -> Iterator[Any]:
    """Pieces of any length as batches of one length."""
    waiting: deque[Any] = deque()
    held = 0
    for piece in pieces:
        waiting.append(piece)
        held += rows_of(piece)
        if held < batch_size:
            continue
        joined = concatenate(list(waiting))
        for start in range(0, held - batch_size + 1, batch_size):
            yield pick(joined, slice(start, start + batch_size))
        rest = held % batch_size
        waiting.clear()
        if rest:
            waiting.append(pick(joined, slice(held - rest, held)))
        held = rest
    if held and not drop_remainder:
        yield concatenate(list(waiting))


def slice_pieces(pieces: Iterable[Any], start: int, stop: int | None) -> Iterator[Any]:
    """The rows from `start` up to `stop`."""
    done = 0
    for piece in pieces:
        if stop is not None and done >= stop:
            return
        rows = rows_of(piece)
        first = max(start - done, 0)
        last = rows if stop is None else min(rows, stop - done)
        if first < last:
            yield (
                piece if (first, last) == (0, rows) else pick(piece, slice(first, last))
            )
        done += rows


def shuffle_pieces(
    pieces: Iterable[Any], buffer_size: int, numbers: np.random.Generator
) -> Iterator[Any]:
    """Rows in random order within a buffer, many at a time.

    The buffer is filled to `buffer_size` rows beyond what a piece brings; half of it is
    drawn and given on, until nothing is left.
    """
    buffer: list[Any] = []
    held = 0
    for piece in pieces:
        buffer.append(piece)
        held += rows_of(piece)
        if held > buffer_size:
            joined = concatenate(buffer)
            order = numbers.permutation(held)
            given = held - buffer_size // 2
            yield pick(joined, order[:given])
            buffer, held = [pick(joined, order[given:])], held - given
    if held:
        yield pick(concatenate(buffer), numbers.permutation(held))


def shuffle_elements(
    elements: Iterable[Any], buffer_size: int, numbers: np.random.Generator
) -> Iterator[Any]:
    """Elements in random order within a buffer."""
    buffer: list[Any] = []
    for element in elements:
        if len(buffer) < buffer_size:
            buffer.append(element)
            continue
        place = int(numbers.integers(buffer_size))
        yield buffer[place]
        buffer[place] = element
    for place in numbers.permutation(len(buffer)).tolist():
        yield buffer[place]


def check_count(name: str, value: Any, least: int) -> int:
    """A whole number from `least` on.

    Raises:
        ArgumentError: otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        value = None
    if value is None or value < least:
        raise ArgumentError(
            f"{name} must be a whole number from {least} on", where=name, got=value
        )
    return int(value)


def with_target(
    columns: Sequence[str] | None, target: str | None
) -> Sequence[str] | None:
    """The columns to read, the target among them."""
    if columns is None or target is None:
        return columns
    return [*columns, target]


def read_csv(
    path: Any,
    target: str | None = None,
    batch_size: int = 32,
    columns: Sequence[str] | None = None,
    header: bool | None = None,
    matrix: bool = True,
) -> Dataset:
    """Batches of the rows of a CSV file, for `fit`, in bounded memory.

    Separator, decimal sign, encoding and headings are found out. Cells without a value
    are NaN, or None in columns of text.

    Args:
        path: the file; `.gz`, `.bz2` and `.xz` are unpacked while reading.
        target: the column that is `y`; without one, batches are `x` alone.
        batch_size: rows of a batch.
        columns: those that make `x`; all others by default.
        header: whether the first row holds headings; None finds out.
        matrix: whether `x` is a float32 array `(rows, columns)`; otherwise a dict of
            columns, which may hold text.

    Raises:
        DataError: at the first batch, when the file cannot be read.
        DependencyError: when pyarrow is not installed.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "t.csv"
        >>> _ = path.write_text("a,b,y\\n1,2,0\\n3,4,1\\n")
        >>> [(x.tolist(), y.tolist()) for x, y in read_csv(path, "y")]
        [([[1.0, 2.0], [3.0, 4.0]], [0.0, 1.0])]
    """
    rows = Dataset.from_csv(path, target, columns, header, matrix)
    return rows.batch(batch_size)


def read_parquet(
    path: Any,
    target: str | None = None,
    batch_size: int = 32,
    columns: Sequence[str] | None = None,
    matrix: bool = True,
) -> Dataset:
    """Batches of the rows of a Parquet file, for `fit`, in bounded memory.

    Args:
        path: the file.
        target: the column that is `y`; without one, batches are `x` alone.
        batch_size: rows of a batch.
        columns: those that make `x`; all others by default.
        matrix: whether `x` is a float32 array `(rows, columns)`; otherwise a dict of
            columns, which may hold text.

    Raises:
        DataError: at the first batch, when the file cannot be read.
        DependencyError: when pyarrow is not installed.
    """
    return Dataset.from_parquet(path, target, columns, matrix).batch(batch_size)
