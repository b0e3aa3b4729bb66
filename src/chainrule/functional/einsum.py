"""Einstein's summation, as a chain of contractions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from chainrule import ops
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.linear_algebra import diagonal
from chainrule.functional.manipulation import moveaxis, squeeze
from chainrule.functional.promotion import ArrayLike, Tensor, promoted

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def einsum(equation: str, /, *operands: ArrayLike) -> Tensor:
    """Sums of products by index letters: `einsum("ij,jk->ik", a, b)` is `a @ b`.

    Letters that the result lacks are summed over; a letter twice in one operand takes
    its diagonal; `...` stands for further axes, which broadcast. Operands are
    contracted from the left to the right.

    Raises:
        ArgumentError: when the equation does not fit the operands.

    Example:
        >>> einsum("ij,ij->i", [[1, 2], [3, 4]], [[1, 1], [1, 1]]).tolist()
        [3, 7]
    """
    values = promoted(*operands)
    terms, result = _parse(equation, values)
    parts = [_single(v, term) for v, term in zip(values, terms, strict=True)]
    needed = [set(result).union(*terms[i + 1 :]) for i in range(len(terms))]
    (value, letters), *rest = parts
    value, letters = _summed(value, letters, needed[0])
    for (other, term), keep in zip(rest, needed[1:], strict=True):
        value, letters = _pair(value, letters, other, term, keep)
    order = tuple(letters.index(letter) for letter in result)
    return ops.permute_dims(value, axes=order)


def _parse(equation: str, values: Sequence[Tensor]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, with the ellipsis spelt out."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(values):
        raise ArgumentError(
            "the equation does not have a term for each operand",
            where="einsum",
            got=f"{len(values)} operands for {equation!r}",
        )
    free = [letter for letter in _LETTERS if letter not in text]
    counts = [
        v.spec.ndim - len(term) + 3 if "..." in term else 0
        for term, v in zip(terms, values, strict=True)
    ]
    wide = "".join(free[: max(counts, default=0)])
    terms = [
        term.replace("...", wide[len(wide) - count :] if count else "")
        for term, count in zip(terms, counts, strict=True)
    ]
    if not arrow:
        every = "".join(terms)
        once = sorted(letter for letter in set(every) if every.count(letter) == 1)
        right = wide + "".join(letter for letter in once if letter not in wide)
    result = right.replace("...", wide)
    _check(equation, terms, result, values)
    return terms, result


def _check(
    equation: str, terms: Sequence[str], result: str, values: Sequence[Tensor]
) -> None:
    for term, value in zip(terms, values, strict=True):
        if len(term) != value.spec.ndim or not set(term) <= set(_LETTERS):
            raise ArgumentError(
                "a term must have a letter for each axis of its operand",
                where="einsum",
                got=f"{term!r} in {equation!r} for {value.spec}",
            )
    if len(set(result)) != len(result) or not set(result) <= set("".join(terms)):
        raise ArgumentError(
            "the result has each of its letters once, and only letters of the operands",
            where="einsum",
            got=equation,
        )
    lengths: dict[str, int] = {}
    for term, value in zip(terms, values, strict=True):
        for letter, length in zip(term, value.spec.shape, strict=True):
            known = lengths.setdefault(letter, length)
            if known == 1:
                lengths[letter] = length
            elif length not in (1, known):
                raise ShapeError(
                    f"axis '{letter}' has two lengths: {known} and {length}",
                    where="einsum",
                    got=f"{equation!r} of {', '.join(str(v.spec) for v in values)}",
                )


def _single(value: Tensor, term: str) -> tuple[Tensor, str]:
    """One operand with repeated letters reduced to their diagonal."""
    for letter in dict.fromkeys(term):
        while term.count(letter) > 1:
            first = term.index(letter)
            second = term.index(letter, first + 1)
            value = diagonal(moveaxis(value, (first, second), (-2, -1)))
            rest = [c for i, c in enumerate(term) if i not in (first, second)]
            term = "".join(rest) + letter
    return value, term


def _summed(value: Tensor, term: str, keep: set[str]) -> tuple[Tensor, str]:
    """`value` summed over the axes whose letters nobody needs any more."""
    axes = tuple(i for i, letter in enumerate(term) if letter not in keep)
    if axes:
        value = ops.reduce_sum(value, axes=axes)
    return value, "".join(letter for letter in term if letter in keep)


def _pair(
    a: Tensor, left: str, b: Tensor, right: str, keep: set[str]
) -> tuple[Tensor, str]:
    """The contraction of two operands; letters in `keep` stay."""
    a, left = _summed(a, left, keep | set(right))
    b, right = _summed(b, right, keep | set(left))
    (a, left), (b, right) = _stretched(a, left, b, right)
    common = [letter for letter in left if letter in right]
    batch = [letter for letter in common if letter in keep]
    inner = [letter for letter in common if letter not in keep]
    sums, pairs = (
        (tuple(map(left.index, part)), tuple(map(right.index, part)))
        for part in (inner, batch)
    )
    result = ops.contract(a, b, sums=sums, batch=pairs)
    rows = [letter for letter in left if letter not in common]
    columns = [letter for letter in right if letter not in common]
    return result, reduce(str.__add__, [*batch, *rows, *columns], "")


def _stretched(
    a: Tensor, left: str, b: Tensor, right: str
) -> tuple[tuple[Tensor, str], tuple[Tensor, str]]:
    """Both without axes of length 1 that the other has longer: these broadcast."""
    lengths = dict(zip(left, a.spec.shape, strict=True))
    others = dict(zip(right, b.spec.shape, strict=True))
    return (
        _without(a, left, {c for c in left if lengths[c] == 1 != others.get(c, 1)}),
        _without(b, right, {c for c in right if others[c] == 1 != lengths.get(c, 1)}),
    )


def _without(value: Tensor, term: str, dropped: set[str]) -> tuple[Tensor, str]:
    if not dropped:
        return value, term
    axes = tuple(i for i, letter in enumerate(term) if letter in dropped)
    return squeeze(value, axes), "".join(c for c in term if c not in dropped)
