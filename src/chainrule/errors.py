"""Errors that teach: what came, what was expected, where, and the line that fixes it.

Every error of the library derives from `ChainruleError` and from the built-in exception
that a Python programmer would catch (`ValueError`, `TypeError`, ...).
"""

from __future__ import annotations


class ChainruleError(Exception):
    """Base of every error raised by chainrule.

    Args:
        problem: one sentence that says what went wrong.
        where: the layer, operation, argument or file concerned.
        got: what came.
        expected: what was expected.
        fix: the corrected line of code, or the command to type.

    Example:
        >>> error = ShapeError("widths differ", where="dense", got=10, expected=784,
        ...                    fix="Dense(10, input_shape=(784,))")
        >>> print(error)
        dense: widths differ
          got:      10
          expected: 784
          fix:      Dense(10, input_shape=(784,))
    """

    def __init__(
        self,
        problem: str,
        *,
        where: str | None = None,
        got: object = None,
        expected: object = None,
        fix: str | None = None,
    ) -> None:
        self.problem = problem
        self.where = where
        self.got = got
        self.expected = expected
        self.fix = fix
        super().__init__(self._text())

    def _text(self) -> str:
        head = f"{self.where}: {self.problem}" if self.where else self.problem
        rows = [("got", self.got), ("expected", self.expected), ("fix", self.fix)]
        lines = [head]
        for label, content in rows:
            if content is not None:
                first, *rest = str(content).split("\n")
                lines.append(f"  {label + ':':<10}{first}")
                lines.extend((" " * 12 + line).rstrip() for line in rest)
        return "\n".join(lines)


class ShapeError(ChainruleError, ValueError):
    """Shapes do not fit together."""


class DTypeError(ChainruleError, TypeError):
    """An operation does not accept this dtype."""


class ArgumentError(ChainruleError, ValueError):
    """An argument has a value outside its allowed range."""


class OutOfBoundsError(ChainruleError, IndexError):
    """An index points outside its axis."""


class DataError(ChainruleError, ValueError):
    """Data cannot be trained on: empty, not finite, or labels that do not fit."""


class GradientError(ChainruleError, RuntimeError):
    """A gradient was asked for that does not exist."""


class TraceError(ChainruleError, RuntimeError):
    """A traced value was used where its number is needed, or outside its trace."""


class GraphError(ChainruleError, RuntimeError):
    """A graph breaks a rule of the intermediate representation."""


class FormatError(ChainruleError, ValueError):
    """A file is damaged or is not of the expected format."""


class DownloadError(ChainruleError, OSError):
    """A data set could not be fetched."""


class DependencyError(ChainruleError, ImportError):
    """An optional package that this needs is not installed."""


class RetraceWarning(UserWarning):
    """A compiled function is traced again and again."""


class CompileError(ChainruleError, RuntimeError):
    """Native code could not be made or loaded."""


class CacheWarning(UserWarning):
    """The cache of compiled code is damaged or not safe to use."""


class NonFiniteError(ChainruleError, RuntimeError):
    """Training made NaN or infinity."""


class NonFiniteWarning(UserWarning):
    """Training was ended because it made NaN or infinity."""


class ResumeError(ChainruleError, ValueError):
    """The checkpoints in a folder are not those of this run."""


class ResumeWarning(UserWarning):
    """A run is resumed otherwise than it should be, or may not be exact."""


class DamagedFileWarning(UserWarning):
    """A damaged file was left out."""
