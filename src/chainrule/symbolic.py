"""The symbol that users hold while they draw a model: see `chainrule.Input`."""

from __future__ import annotations

from typing import Any, NoReturn

from chainrule.errors import TraceError
from chainrule.functional.recording import Symbol, use_symbol_class
from chainrule.operators import Operators


class SymbolicTensor(Operators, Symbol):
    """Stands for data to come in a model that is being drawn.

    Made by `chainrule.Input`, and by whatever is done with one: layers, operators,
    indexing, functions of chainrule. A length of its shape is None where it is not
    known, as that of the rows.

    Example:
        >>> import chainrule
        >>> x = chainrule.Input((4,), name="x")
        >>> (x[:, :2] * 2 + 1).shape
        (None, 2)
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """The name of what made it."""
        return self.call.name

    def _no_numbers(self, *arguments: Any, **options: Any) -> NoReturn:
        raise TraceError(
            "a symbol has no numbers: it stands for data to come",
            where=self.name,
            got=self,
            fix="model = chainrule.Model(inputs, outputs), then model(data); or use "
            "layers and functions of chainrule, which can be recorded",
        )

    __array__ = __bool__ = __int__ = __float__ = __index__ = __len__ = _no_numbers
    __iter__ = __contains__ = __setitem__ = numpy = item = tolist = _no_numbers

    def __repr__(self) -> str:
        return f"SymbolicTensor({self}, from {self.name!r})"


use_symbol_class(SymbolicTensor)
