"""The record of an operation: everything that is known about it, in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import numpy as np

from chainrule.errors import GradientError, GraphError
from chainrule.ir.dtype import DType, as_array, as_dtype, float32, is_half, widen
from chainrule.ir.spec import Spec


class Trait(Enum):
    """A property of an operation on which passes and generic rules rely."""

    ELEMENTWISE = auto()  # output[i] depends on input[i] alone; inputs broadcast
    COMMUTATIVE = auto()  # the two inputs may change places
    MOVEMENT = auto()  # elements are moved, never computed with
    REDUCTION = auto()  # folds the axes in parameter `axes`
    CONTRACTION = auto()  # sums of products over common axes
    INDEXING = auto()  # addresses depend on data
    CREATION = auto()  # no array input determines the values
    CALL = auto()  # carries a graph in parameter `graph`
    LOOP = auto()  # runs the graph in parameter `graph` again and again
    BARRIER = auto()  # passes may not merge or move it


@dataclass(frozen=True)
class Sample:
    """Inputs on which an operation is tested: arrays, parameters, differentiability.

    Attributes:
        arrays: the positional inputs.
        params: the keyword parameters.
        smooth: whether central differences make sense at this point.
    """

    arrays: tuple[np.ndarray[Any, Any], ...]
    params: dict[str, Any] = field(default_factory=dict)
    smooth: bool = True


# vjp(needed, cotangents, outputs, inputs, params) -> one cotangent, or None, per input
# where needed says which inputs' cotangents are asked for, and an output that nobody
# kept is None
Vjp = Callable[
    [Sequence[bool], Sequence[Any], Sequence[Any], Sequence[Any], dict[str, Any]],
    Sequence[Any],
]
# batch(size, batched, inputs, params) -> outputs with the batch axis in front
Batch = Callable[[int, Sequence[bool], Sequence[Any], dict[str, Any]], Sequence[Any]]


@dataclass(frozen=True, eq=False)
class Primitive:
    """One operation of the closed set.

    Attributes:
        name: its name in graphs, in messages and in `PRIMITIVES`.
        spec: `spec(*input_specs, **params) -> Spec`; raises when inputs do not fit.
            Operations with several outputs return a tuple of specs.
        reference: `reference(*arrays, **params)`: its meaning, in NumPy.
        vjp: the backward rule, or None where `not_differentiable` says why.
        batch: the batching rule for `vmap`, or None where a trait gives it.
        traits: properties that passes rely on.
        dtypes: the dtypes that it computes with; conditions and indices aside.
        samples: makes the inputs that tests use.
        not_differentiable: the reason why there is no gradient.
        multiple: whether it has several outputs, as a tuple.
    """

    name: str
    spec: Callable[..., Spec | tuple[Spec, ...]]
    reference: Callable[..., Any]
    vjp: Vjp | None
    batch: Batch | None
    traits: frozenset[Trait]
    dtypes: tuple[DType, ...]
    samples: Callable[[], Iterable[Sample]]
    not_differentiable: str = ""
    multiple: bool = False

    def __post_init__(self) -> None:
        if (self.vjp is None) == (not self.not_differentiable):
            raise GraphError(
                "a primitive has a backward rule or a reason for having none",
                where=self.name,
            )
        if self.name in PRIMITIVES:
            raise GraphError("this name is taken by another primitive", where=self.name)
        PRIMITIVES[self.name] = self

    def compute(
        self, arrays: Sequence[np.ndarray[Any, Any]], params: dict[str, Any]
    ) -> Any:
        """The outputs for these arrays, as the reference gives them.

        With floats of 16 bits the reference works in float32, and what it gives is
        rounded once. Graphs inside an operation do so by themselves.
        """
        kind = params.get("dtype")
        made = isinstance(kind, DType) and kind.is_half
        if not (made or any(map(is_half, arrays))) or _CARRIES_GRAPH & self.traits:
            return self.reference(*arrays, **params)
        given = [Spec(array.shape, as_dtype(array.dtype)) for array in arrays]
        spec = self.spec(*given, **params)
        wide = {**params, "dtype": float32} if made else params
        results = self.reference(*map(widen, arrays), **wide)
        if not isinstance(spec, tuple):
            return as_array(results, spec.dtype)
        return tuple(as_array(r, s.dtype) for r, s in zip(results, spec, strict=True))

    def __repr__(self) -> str:
        return f"Primitive({self.name})"


PRIMITIVES: dict[str, Primitive] = {}
_CARRIES_GRAPH = frozenset({Trait.CALL, Trait.LOOP})


def per_input(*rules: Callable[..., Any] | None) -> Vjp:
    """A backward rule made of one function per input.

    Each is called as `rule(cotangent, output, *inputs, **params)`, only where its
    result is needed. `None` stands for an input that never has a gradient (an index).
    One rule alone serves every input.
    """

    def vjp(
        needed: Sequence[bool],
        cotangents: Sequence[Any],
        outputs: Sequence[Any],
        inputs: Sequence[Any],
        params: dict[str, Any],
    ) -> list[Any]:
        chosen = list(rules) if len(rules) == len(inputs) else [rules[0]] * len(inputs)
        return [
            rule(cotangents[0], outputs[0], *inputs, **params)
            if need and rule
            else None
            for need, rule in zip(needed, chosen, strict=True)
        ]

    return vjp


def check_differentiable(primitive: Primitive) -> Vjp:
    """The backward rule, or an error that says why there is none."""
    if primitive.vjp is None:
        raise GradientError(
            f"the gradient of '{primitive.name}' does not exist: "
            f"{primitive.not_differentiable}",
            where=primitive.name,
            fix="wrap its input in chainrule.stop_gradient(...)",
        )
    return primitive.vjp
