"""Index expressions: where a loop nest reads and writes.

An index is a sum of loop variables times integers. Reshaping divides and takes
remainders, which are carried out exactly where the ranges of the variables allow it, so
that most movement operations leave no trace in the code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

_numbers = count()


@dataclass(frozen=True, eq=False)
class Axis:
    """A loop variable that runs from 0 to `extent - 1`."""

    extent: int
    number: int = field(default_factory=lambda: next(_numbers))


@dataclass(frozen=True)
class Quotient:
    """`index // divisor`, where it could not be simplified."""

    index: Index
    divisor: int


@dataclass(frozen=True)
class Remainder:
    """`index mod divisor`, where it could not be simplified."""

    index: Index
    divisor: int


@dataclass(frozen=True, eq=False)
class FromData:
    """An index that is read from data: a scalar expression, known to be in a range."""

    expression: Any
    extent: int
    number: int = field(default_factory=lambda: next(_numbers))


Atom: TypeAlias = "Axis | Quotient | Remainder | FromData"


@dataclass(frozen=True)
class Index:
    """`constant + sum of coefficient * atom`.

    Example:
        >>> row, column = Axis(3), Axis(4)
        >>> flat = of(row) * 4 + of(column)
        >>> flat // 4 == of(row), flat % 4 == of(column)
        (True, True)
    """

    terms: tuple[tuple[Atom, int], ...] = ()
    constant: int = 0

    def __add__(self, other: Index | int) -> Index:
        if isinstance(other, int):
            return Index(self.terms, self.constant + other)
        sums: dict[Atom, int] = dict(self.terms)
        for atom, coefficient in other.terms:
            sums[atom] = sums.get(atom, 0) + coefficient
        kept = ((atom, c) for atom, c in sums.items() if c)
        terms = sorted(kept, key=lambda term: _order(term[0]))
        return Index(tuple(terms), self.constant + other.constant)

    def __mul__(self, factor: int) -> Index:
        if not factor:
            return Index()
        terms = tuple((atom, c * factor) for atom, c in self.terms)
        return Index(terms, self.constant * factor)

    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest value."""
        low = high = self.constant
        for atom, coefficient in self.terms:
            least, most = atom_bounds(atom)
            ends = least * coefficient, most * coefficient
            low, high = low + min(ends), high + max(ends)
        return low, high

    def _split(self, divisor: int) -> tuple[Index, Index]:
        """`(q, r)` with `self = q * divisor + r`, as much as possible in q; r >= 0."""
        quotient = Index((), self.constant // divisor)
        rest = Index((), self.constant % divisor)
        for atom, coefficient in self.terms:
            whole = coefficient // divisor if coefficient % divisor == 0 else 0
            quotient = quotient + Index(((atom, whole),)) if whole else quotient
            if not whole:
                rest = rest + Index(((atom, coefficient),))
        # the code divides numbers without a sign
        below = min(rest.bounds()[0] // divisor, 0)
        return quotient + below, rest + -below * divisor

    def __floordiv__(self, divisor: int) -> Index:
        if divisor == 1:
            return self
        quotient, rest = self._split(divisor)
        low, high = rest.bounds()
        if low >= 0 and high < divisor:
            return quotient
        return quotient + Index(((Quotient(rest, divisor), 1),))

    def __mod__(self, divisor: int) -> Index:
        if divisor == 1:
            return Index()
        _, rest = self._split(divisor)
        low, high = rest.bounds()
        if low >= 0 and high < divisor:
            return rest
        return Index(((Remainder(rest, divisor), 1),))

    def coefficient(self, axis: Axis) -> int:
        """How far the index moves with one step of `axis`, taken alone."""
        return dict(self.terms).get(axis, 0)

    def axes(self) -> Iterator[Axis]:
        """Every loop variable that it depends on, also inside its atoms."""
        for atom, _ in self.terms:
            yield from atom_axes(atom)

    def is_affine_in(self, axis: Axis) -> bool:
        """Whether `axis` occurs as a plain term only."""
        return not any(
            axis in atom_axes(atom) for atom, _ in self.terms if atom is not axis
        )

    def substitute(self, mapping: Mapping[Any, Index]) -> Index:
        """The index with loop variables replaced, and with numbers read from data."""
        result = Index((), self.constant)
        for atom, coefficient in self.terms:
            result = result + _substitute(atom, mapping) * coefficient
        return result


def _order(atom: Atom) -> tuple[Any, ...]:
    """A fixed order of atoms: equal sums are equal, and equal kernels have one text."""
    if isinstance(atom, Axis):
        return 0, atom.number
    if isinstance(atom, FromData):
        return 1, atom.number
    kind = 2 if isinstance(atom, Quotient) else 3
    terms = tuple((_order(inner), c) for inner, c in atom.index.terms)
    return kind, atom.divisor, atom.index.constant, terms


def of(axis: Axis) -> Index:
    """The index that is `axis` itself; 0 where the axis has one position."""
    return Index(((axis, 1),)) if axis.extent != 1 else Index()


def atom_bounds(atom: Atom) -> tuple[int, int]:
    """The smallest and the largest value of an atom."""
    if isinstance(atom, (Axis, FromData)):
        return 0, max(atom.extent - 1, 0)
    if isinstance(atom, Remainder):
        return 0, atom.divisor - 1
    low, high = atom.index.bounds()
    return low // atom.divisor, high // atom.divisor


def atom_axes(atom: Atom) -> tuple[Axis, ...]:
    """The loop variables that an atom depends on."""
    if isinstance(atom, Axis):
        return (atom,)
    if isinstance(atom, FromData):
        found: tuple[Axis, ...] = atom.expression.axes
        return found
    return tuple(atom.index.axes())


def _substitute(atom: Atom, mapping: Mapping[Any, Index]) -> Index:
    if isinstance(atom, Axis):
        return mapping.get(atom, of(atom))
    if isinstance(atom, FromData):
        return mapping.get(atom, Index(((atom, 1),)))
    inner = atom.index.substitute(mapping)
    return inner // atom.divisor if isinstance(atom, Quotient) else inner % atom.divisor


def flatten_index(indices: tuple[Index, ...], shape: tuple[int, ...]) -> Index:
    """The row-major position of `indices` in an array of `shape`."""
    flat = Index()
    for index, extent in zip(indices, shape, strict=True):
        flat = flat * extent + index
    return flat


def unflatten_index(flat: Index, shape: tuple[int, ...]) -> tuple[Index, ...]:
    """The indices in an array of `shape` of the row-major position `flat`."""
    if 0 in shape:  # nothing is ever read
        return (Index(),) * len(shape)
    indices: list[Index] = []
    for position, extent in enumerate(reversed(shape)):
        last = position == len(shape) - 1
        indices.append(flat if last else flat % extent)
        flat = flat if last else flat // extent
    return tuple(
        Index() if n == 1 else i for i, n in zip(indices[::-1], shape, strict=True)
    )


def dot(indices: tuple[Index, ...], strides: tuple[int, ...]) -> Index:
    """The sum of indices times strides.

    Example:
        >>> row = Index(((Axis(5), 1),), 3)
        >>> dot((row // 4, row % 4), (4, 1)) == row
        True
    """
    total = Index()
    for index, stride in zip(indices, strides, strict=True):
        total = total + index * stride
    return _joined(total)


def _joined(index: Index) -> Index:
    """The index with quotients and remainders put together again where both count.

    `c * d * (i // d) + c * (i mod d) = c * i`: what reshapes to and fro have cut.
    """
    found = dict(index.terms)
    for atom, coefficient in index.terms:
        if not isinstance(atom, Remainder):
            continue
        whole = Quotient(atom.index, atom.divisor)
        if found.get(whole) == coefficient * atom.divisor:
            rest = ((a, c) for a, c in index.terms if a not in (atom, whole))
            kept = Index(tuple(rest), index.constant)
            return _joined(kept + atom.index * coefficient)
    return index
