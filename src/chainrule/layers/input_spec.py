"""What a layer demands of its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from chainrule.errors import ShapeError
from chainrule.functional.recording import Symbol
from chainrule.ir.spec import Spec


@dataclass(frozen=True)
class InputSpec:
    """The rank and the lengths that an input must have.

    Attributes:
        ndim: the number of axes, samples included; None for any.
        min_ndim: the least number of axes.
        axes: the length of some axes, counted from the end where negative.

    Example:
        >>> from chainrule.ir.dtype import float32
        >>> spec = InputSpec(min_ndim=2, axes={-1: 784})
        >>> spec.check("dense", Spec((32, 784), float32))
    """

    ndim: int | None = None
    min_ndim: int | None = None
    axes: Mapping[int, int] = field(default_factory=dict)

    def check(self, layer: str, spec: Spec | Symbol) -> None:
        """Refuse an input that does not fit.

        Raises:
            ShapeError: naming the layer, what came, and what fits.
        """
        enough = self.min_ndim is None or spec.ndim >= self.min_ndim
        if not enough or self.ndim not in (None, spec.ndim):
            raise ShapeError(
                "the input has the wrong number of axes",
                where=layer,
                got=f"{spec.ndim} axes: {spec}",
                expected=f"{self.ndim} axes"
                if self.ndim is not None
                else f"at least {self.min_ndim} axes, samples first",
                fix="add the axis of the samples: x[None]"
                if spec.ndim + 1 in (self.ndim, self.min_ndim)
                else None,
            )
        for axis, length in self.axes.items():
            if spec.shape[axis] not in (length, None):
                place = "last axis" if axis == -1 else f"axis {axis}"
                raise ShapeError(
                    f"the {place} of the input has another length than the layer was "
                    "built for",
                    where=layer,
                    got=f"{spec.shape[axis]}, in {spec}",
                    expected=length,
                    fix=f"make a new layer for inputs of length {spec.shape[axis]}, or "
                    f"give this one inputs of length {length}",
                )
