"""Mistakes found before the first step: gathered, then told at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chainrule.errors import DataError


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong, told like an error.

    Attributes:
        problem: one sentence.
        where: the layer or argument concerned.
        got: what came.
        expected: what was expected.
        fix: the corrected lines of code; a function where later mistakes may change
            the same lines.
    """

    problem: str
    where: str
    got: str | None = None
    expected: str | None = None
    fix: str | Callable[[], str] | None = None

    @property
    def corrected(self) -> str | None:
        """The corrected lines."""
        return (self.fix() if callable(self.fix) else self.fix) or None

    def error(self) -> DataError:
        """The mistake as an error of its own."""
        return DataError(
            self.problem,
            where=self.where,
            got=self.got,
            expected=self.expected,
            fix=self.corrected,
        )


def raise_mistakes(mistakes: Sequence[Mistake], task: str = "fit") -> None:
    """Raise one error that names every mistake and ends with the corrected lines.

    Raises:
        DataError: when there are any.

    Example:
        >>> raise_mistakes([])
        >>> narrow = Mistake("too narrow", "dense", fix="Dense(3)")
        >>> raise_mistakes([narrow, Mistake("empty", "x")])
        Traceback (most recent call last):
        chainrule.errors.DataError: fit: stopped before the first step by 2 mistakes
        <BLANKLINE>
        1. dense: too narrow
             fix:      Dense(3)
        <BLANKLINE>
        2. x: empty
        <BLANKLINE>
        corrected:
            Dense(3)
    """
    if not mistakes:
        return
    if len(mistakes) == 1:
        raise mistakes[0].error()
    parts = [f"stopped before the first step by {len(mistakes)} mistakes"]
    for number, mistake in enumerate(mistakes, 1):
        head, *rest = str(mistake.error()).split("\n")
        parts.append("\n".join([f"{number}. {head}", *(f"   {line}" for line in rest)]))
    fixes = dict.fromkeys(filter(None, (mistake.corrected for mistake in mistakes)))
    lines = [f"    {line}" for fix in fixes for line in fix.split("\n")]
    if lines:
        parts.append("\n".join(["corrected:", *lines]))
    raise DataError("\n\n".join(parts), where=task)
