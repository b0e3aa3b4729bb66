"""The few shapes that records of operations share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import DTypeError
from chainrule.ir.dtype import DType
from chainrule.ir.primitive import Primitive, Sample, Trait, Vjp
from chainrule.ir.spec import Spec, broadcast_shapes
from chainrule.ir.trace import bind

Array = np.ndarray[Any, Any]
Samples = Callable[[], Iterable[Sample]]


class Operation:
    """A primitive as a function: `add(x, y)` applies the record `add.primitive`."""

    def __init__(self, primitive: Primitive, doc: str = "") -> None:
        self.primitive = primitive
        self.__doc__ = doc

    def __call__(self, *inputs: Any, **params: Any) -> Any:
        """Apply the operation to values or numbers, with its parameters."""
        return bind(self.primitive, *inputs, **params)

    def __repr__(self) -> str:
        return f"<operation {self.primitive.name}>"


def operation(
    name: str,
    *,
    spec: Callable[..., Spec | tuple[Spec, ...]],
    reference: Callable[..., Any],
    samples: Samples,
    dtypes: Sequence[DType],
    vjp: Vjp | None = None,
    not_differentiable: str = "",
    batch: Any = None,
    traits: Iterable[Trait] = (),
    multiple: bool = False,
    doc: str = "",
) -> Operation:
    """Register a primitive and return the function that applies it.

    The arguments are the fields of `Primitive`; `doc` says what the operation gives,
    and is the docstring of the reference where that has one of its own.
    """
    primitive = Primitive(
        name=name,
        spec=spec,
        reference=reference,
        vjp=vjp,
        batch=batch,
        traits=frozenset(traits),
        dtypes=tuple(dtypes),
        samples=samples,
        not_differentiable=not_differentiable,
        multiple=multiple,
    )
    # the docstring of one of NumPy's own functions speaks of other arguments
    own = "" if isinstance(reference, np.ufunc) else reference.__doc__ or ""
    return Operation(primitive, doc or own)


def check_dtype(name: str, dtype: DType, allowed: Sequence[DType]) -> None:
    """Refuse a dtype that the operation `name` does not have."""
    if dtype not in allowed:
        raise DTypeError(
            f"'{name}' is not defined for {dtype}",
            where=name,
            got=dtype,
            expected=", ".join(d.name for d in allowed),
            fix="cast first: chainrule.astype(x, 'float32')",
        )


def same_dtype(name: str, specs: Sequence[Spec]) -> DType:
    """The dtype that all inputs have in common."""
    first = specs[0].dtype
    if any(spec.dtype is not first for spec in specs):
        raise DTypeError(
            "inputs of a primitive must have one dtype",
            where=name,
            got=", ".join(str(spec) for spec in specs),
            expected=f"every input {first}",
            fix="use the function of the same name in chainrule, which promotes",
        )
    return first


def elementwise_spec(
    name: str, dtypes: Sequence[DType], result: DType | None = None
) -> Callable[..., Spec]:
    """The spec rule of an elementwise operation; `result` replaces the dtype."""

    def spec(*specs: Spec) -> Spec:
        dtype = same_dtype(name, specs)
        check_dtype(name, dtype, dtypes)
        shape = specs[0].shape
        if any(other.shape != shape for other in specs):
            shape = broadcast_shapes(*[s.shape for s in specs], where=name)
        return Spec(shape, result or dtype)

    return spec


_GENERATOR_SEED = 20


def reals(low: float, high: float, *, smooth: bool = True) -> Samples:
    """Samples of a function of one real argument from the interval [low, high]."""

    def samples() -> Iterable[Sample]:
        random = np.random.default_rng(_GENERATOR_SEED)
        for shape in ((3, 5), (), (0, 4), (17,), (2, 1, 33)):
            yield Sample((random.uniform(low, high, shape),), smooth=smooth)

    return samples


_PAIRS = (((3, 5), (3, 5)), ((), (4,)), ((3, 1), (1, 5)), ((0, 4), (4,)), ((2, 17), ()))


def real_pairs(
    first: tuple[float, float], second: tuple[float, float], *, smooth: bool = True
) -> Samples:
    """Samples of a function of two real arguments, from these two intervals."""

    def samples() -> Iterable[Sample]:
        random = np.random.default_rng(_GENERATOR_SEED)
        for a, b in _PAIRS:
            arrays = random.uniform(*first, a), random.uniform(*second, b)
            yield Sample(arrays, smooth=smooth)

    return samples


def integers(low: int, high: int, count: int) -> Samples:
    """Samples of a function of `count` int64 arguments from [low, high)."""

    def samples() -> Iterable[Sample]:
        random = np.random.default_rng(_GENERATOR_SEED)
        for shapes in _PAIRS:
            arrays = [random.integers(low, high, shape) for shape in shapes[:count]]
            yield Sample(tuple(np.asarray(a) for a in arrays), smooth=False)

    return samples


def booleans(count: int) -> Samples:
    """Samples of a function of `count` booleans."""

    def samples() -> Iterable[Sample]:
        random = np.random.default_rng(_GENERATOR_SEED)
        for shapes in _PAIRS:
            arrays = [np.asarray(random.random(s) < 0.5) for s in shapes[:count]]
            yield Sample(tuple(arrays), smooth=False)

    return samples
