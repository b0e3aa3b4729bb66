"""Layers that are called with several tensors, each with a name of its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

from chainrule.errors import ArgumentError
from chainrule.functional.recording import has_symbol
from chainrule.layers.layer import Layer, as_tensors


class SeveralInputs(Layer):
    """Base of layers whose `call` takes further tensors behind the first.

    All of them can be given by name, are cast to the dtype of the layer, and have their
    shapes handed to `build`, one argument for each.

    Attributes:
        tensors: the names of these arguments of `call`, in order.

    Example:
        >>> class Mixed(SeveralInputs):
        ...     tensors = ("first", "second")
        ...     def build(self, first_shape, second_shape):
        ...         self.share = self.add_weight("share", second_shape[-1:], "ones")
        ...     def call(self, first, second):
        ...         return first + self.share.value * second
        >>> Mixed()([[1.0, 2.0]], second=[[3.0, 4.0]]).tolist()
        [[4.0, 6.0]]
    """

    tensors: tuple[str, ...] = ()

    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Build at the first call, check the input, and compute.

        Args:
            *args: what `call` takes, in order.
            training: see `Layer`.
            **kwargs: what `call` takes, by name.

        Raises:
            ArgumentError: without the first of the tensors.
        """
        given = _by_name(type(self).call, self, args, kwargs)
        training = given.pop("training", training)
        for name in self.tensors:
            if given.get(name) is not None and not has_symbol((given[name],)):
                given[name] = self._convert(as_tensors(given[name]))
        first = given.pop(self.tensors[0], None)
        if first is None:
            raise ArgumentError(
                f"the layer needs {self.tensors[0]}",
                where=self.name,
                got=", ".join(given) or "nothing",
                fix=f"layer({', '.join(self.tensors)})",
            )
        others = [given.get(name) for name in self.tensors[1:]]
        shapes = [None if other is None else other.shape for other in others]
        if not self.built:
            self.build_for(first.shape, *shapes)
        given = {name: value for name, value in given.items() if value is not None}
        return super().__call__(first, training=training, **given)


def _by_name(
    call: Callable[..., Any], layer: Layer, args: tuple[Any, ...], kwargs: Any
) -> dict[str, Any]:
    """Arguments of a call by their names."""
    bound = _signature(call).bind_partial(layer, *args, **kwargs)
    return dict(list(bound.arguments.items())[1:])


@cache
def _signature(call: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(call)
