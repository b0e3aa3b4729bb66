"""What a layer demands of its input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chainrule.errors import ArgumentError, DTypeError, ShapeError
from chainrule.functional.recording import Symbol
from chainrule.ir.dtype import DTypeLike, as_dtype
from chainrule.ir.spec import Spec
from chainrule.ir.value import Value


@dataclass(frozen=True)
class InputSpec:
    """The rank and the lengths that an input must have.

    Attributes:
        dtype: of its numbers; None for any.
        shape: the length of every axis, samples first; None for any length.
        ndim: the number of axes, samples included; None for any.
        max_ndim: the largest number of axes.
        min_ndim: the least number of axes.
        axes: the length of some axes, counted from the end where negative.

    Example:
        >>> from chainrule.ir.dtype import float32
        >>> spec = InputSpec(min_ndim=2, axes={-1: 784})
        >>> spec.check("dense", Spec((32, 784), float32))
    """

    dtype: DTypeLike | None = None
    shape: Sequence[int | None] | None = None
    ndim: int | None = None
    max_ndim: int | None = None
    min_ndim: int | None = None
    axes: Mapping[int, int] = field(default_factory=dict)

    def check(self, layer: str, spec: Spec | Symbol) -> None:
        """Refuse an input that does not fit.

        Raises:
            ShapeError: naming the layer, what came, and what fits.
            DTypeError: when the numbers are of another dtype.
        """
        ndim = self.ndim if self.shape is None else len(self.shape)
        enough = self.min_ndim is None or spec.ndim >= self.min_ndim
        few = self.max_ndim is None or spec.ndim <= self.max_ndim
        if not (enough and few) or ndim not in (None, spec.ndim):
            raise ShapeError(
                "the input has the wrong number of axes",
                where=layer,
                got=f"{spec.ndim} axes: {spec}",
                expected=self._wanted(ndim),
                fix="add the axis of the samples: x[None]"
                if spec.ndim + 1 in (ndim, self.min_ndim)
                else None,
            )
        if self.dtype is not None and spec.dtype is not as_dtype(self.dtype):
            raise DTypeError(
                "the input has numbers of another dtype",
                where=layer,
                got=spec,
                expected=as_dtype(self.dtype).name,
            )
        for axis, length in {**dict(enumerate(self.shape or ())), **self.axes}.items():
            _check_length(layer, spec, axis, length)

    def _wanted(self, ndim: int | None) -> str:
        if ndim is not None:
            return f"{ndim} axes"
        limits = []
        if self.min_ndim is not None:
            limits.append(f"at least {self.min_ndim}")
        if self.max_ndim is not None:
            limits.append(f"at most {self.max_ndim}")
        return f"{' and '.join(limits)} axes, samples first"


def _check_length(
    layer: str, spec: Spec | Symbol, axis: int, length: int | None
) -> None:
    if length is None or spec.shape[axis] in (length, None):
        return
    place = "last axis" if axis == -1 else f"axis {axis}"
    raise ShapeError(
        f"the {place} of the input has another length than the layer was built for",
        where=layer,
        got=f"{spec.shape[axis]}, in {spec}",
        expected=length,
        fix=f"make a new layer for inputs of length {spec.shape[axis]}, or "
        f"give this one inputs of length {length}",
    )


def check_inputs(layer: str, demanded: Any, inputs: Any) -> None:
    """Hold inputs against an `InputSpec`, or several against a list or dict of them.

    Raises:
        ArgumentError: when there are more or fewer inputs than demanded.
        ShapeError: see `InputSpec.check`.

    Example:
        >>> from chainrule import functional
        >>> both = [InputSpec(ndim=2), InputSpec(shape=(None, 3))]
        >>> check_inputs("mine", both, [functional.ones((4, n)) for n in (1, 3)])
    """
    if isinstance(demanded, InputSpec):
        if isinstance(inputs, (Value, Symbol)):
            demanded.check(layer, inputs.spec if isinstance(inputs, Value) else inputs)
        return
    if demanded is None:
        return
    named = isinstance(demanded, Mapping)
    keys = list(demanded) if named else list(range(len(demanded)))
    fits = isinstance(inputs, Mapping if named else (list, tuple))
    if not fits or len(inputs) != len(keys) or (named and set(inputs) != set(keys)):
        raise ArgumentError(
            "the layer takes several inputs",
            where=layer,
            got=f"{len(inputs)} inputs" if fits else "one input",
            expected=f"a {'dict' if named else 'list'} of {len(keys)}"
            + (f": {', '.join(map(str, keys))}" if named else ""),
        )
    for key in keys:
        check_inputs(layer, demanded[key], inputs[key])
