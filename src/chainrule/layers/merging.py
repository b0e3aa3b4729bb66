"""Layers that make one tensor of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Unpack

from chainrule import functional
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import normalization
from chainrule.functional.masks import mask_of
from chainrule.functional.promotion import Tensor
from chainrule.ir.spec import normalize_axis
from chainrule.layers.layer import Layer, LayerOptions

Tensors = Sequence[Tensor]


class Merge(Layer):
    """Base of layers that are called with a list of tensors.

    The inputs broadcast; where one has fewer axes, they are added behind that of the
    samples, as in Keras.
    """

    supports_masking = True

    least = 1
    most: int | None = None

    def call(self, inputs: Any) -> Tensor:
        """The inputs merged into one.

        Raises:
            ArgumentError: when the input is no list, or has the wrong length.
            ShapeError: when the shapes do not fit.
        """
        tensors = self._checked(inputs)
        rank = max(tensor.ndim for tensor in tensors)
        return self._merge([_with_rank(tensor, rank) for tensor in tensors])

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """True where one input counts; None where one has no mask."""
        if previous_mask is None or any(mask is None for mask in previous_mask):
            return None
        return reduce(functional.logical_or, previous_mask)

    def _merge(self, tensors: Tensors) -> Tensor:
        raise NotImplementedError

    def _checked(self, inputs: Any) -> Tensors:
        listed = isinstance(inputs, (list, tuple))
        count = len(inputs) if listed else 1
        if not listed or count < self.least or (self.most and count > self.most):
            wanted = f"a list of {self.least}"
            raise ArgumentError(
                "the layer merges a list of inputs",
                where=self.name,
                got=f"{count} inputs" if listed else "one tensor",
                expected=wanted if self.most else f"{wanted} or more",
                fix=f"{type(self).__name__}()([a, b])",
            )
        rows = {tensor.shape[:1] for tensor in inputs}
        if len(rows) > 1:
            raise ShapeError(
                "the inputs have different numbers of samples",
                where=self.name,
                got=", ".join(str(tensor.shape) for tensor in inputs),
            )
        return list(inputs)


def _with_rank(tensor: Tensor, rank: int) -> Tensor:
    shape = tensor.shape
    ones = (1,) * (rank - tensor.ndim)
    return (
        functional.reshape(tensor, (*shape[:1], *ones, *shape[1:])) if ones else tensor
    )


class Add(Merge):
    """The sum of the inputs.

    Example:
        >>> a, b = functional.asarray([[1.0]]), functional.asarray([[2.0]])
        >>> Add()([a, b]).tolist()
        [[3.0]]
    """

    def _merge(self, tensors: Tensors) -> Tensor:
        return reduce(functional.add, tensors)


class Subtract(Merge):
    """The first of two inputs less the second.

    Example:
        >>> a, b = functional.asarray([[1.0]]), functional.asarray([[2.0]])
        >>> Subtract()([a, b]).tolist()
        [[-1.0]]
    """

    least = most = 2

    def _merge(self, tensors: Tensors) -> Tensor:
        return reduce(functional.subtract, tensors)


class Multiply(Merge):
    """The product of the inputs, element by element.

    Example:
        >>> a, b = functional.asarray([[3.0]]), functional.asarray([[2.0]])
        >>> Multiply()([a, b]).tolist()
        [[6.0]]
    """

    def _merge(self, tensors: Tensors) -> Tensor:
        return reduce(functional.multiply, tensors)


class Average(Merge):
    """The mean of the inputs, element by element.

    Example:
        >>> a, b = functional.asarray([[3.0]]), functional.asarray([[2.0]])
        >>> Average()([a, b]).tolist()
        [[2.5]]
    """

    def _merge(self, tensors: Tensors) -> Tensor:
        return reduce(functional.add, tensors) / len(tensors)


def _of_counting(function: Callable[[Any, Any], Any], tensors: Tensors) -> Tensor:
    """`function` of two after two; of steps that only one has, that one's."""
    total, counts = tensors[0], mask_of(tensors[0])
    for tensor in tensors[1:]:
        mask = mask_of(tensor)
        other = tensor if mask is None else _where(mask, tensor, total)
        total = total if counts is None else _where(counts, total, other)
        total = function(total, other)
        both = mask is not None and counts is not None
        counts = functional.logical_or(counts, mask) if both else None
    return total


def _where(mask: Tensor, tensor: Tensor, other: Tensor) -> Tensor:
    ones = (1,) * (tensor.ndim - mask.ndim)
    keep = functional.reshape(mask, (*mask.shape, *ones))
    return functional.where(keep, tensor, other)


class Maximum(Merge):
    """The largest of the inputs, element by element.

    Example:
        >>> a, b = functional.asarray([[3.0]]), functional.asarray([[2.0]])
        >>> Maximum()([a, b]).tolist()
        [[3.0]]
    """

    def _merge(self, tensors: Tensors) -> Tensor:
        return _of_counting(functional.maximum, tensors)


class Minimum(Merge):
    """The smallest of the inputs, element by element.

    Example:
        >>> a, b = functional.asarray([[3.0]]), functional.asarray([[2.0]])
        >>> Minimum()([a, b]).tolist()
        [[2.0]]
    """

    def _merge(self, tensors: Tensors) -> Tensor:
        return _of_counting(functional.minimum, tensors)


class Concatenate(Merge):
    """The inputs, one behind the other along an axis.

    Args:
        axis: the axis whose lengths may differ; not that of the samples.
        **options: see `LayerOptions`.

    Raises:
        ShapeError: when another axis differs in length.

    Example:
        >>> a, b = functional.ones((5, 2)), functional.ones((5, 3))
        >>> Concatenate()([a, b]).shape
        (5, 5)
    """

    def __init__(self, axis: int = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis = int(axis)

    def call(self, inputs: Any) -> Tensor:
        """The inputs as one."""
        tensors = self._checked(inputs)
        shapes = [tensor.shape for tensor in tensors]
        axis = normalize_axis(self.axis, tensors[0].ndim, self.name)
        if axis == 0 or len({(*s[:axis], None, *s[axis + 1 :]) for s in shapes}) > 1:
            raise ShapeError(
                "the inputs may differ in the length of one axis, and that is not the "
                "axis of the samples",
                where=self.name,
                got=f"{', '.join(map(str, shapes))}, axis={self.axis}",
                expected="equal shapes but for this axis",
            )
        return functional.concat(tensors, axis=axis)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Of features, true where one input counts; of steps, those of each in turn.

        An input without a mask counts everywhere.
        """
        if previous_mask is None or inputs[0].ndim < 3:
            return None
        masks = [
            functional.ones(tensor.shape[:2], dtype="bool") if mask is None else mask
            for tensor, mask in zip(inputs, previous_mask, strict=True)
        ]
        if normalize_axis(self.axis, inputs[0].ndim, self.name) == 1:
            return functional.concat(masks, axis=1)
        return reduce(functional.logical_or, masks)


class Dot(Merge):
    """The products of the samples of two inputs, summed over an axis of each.

    `(rows, n)` and `(rows, n)` become `(rows, 1)`; `(rows, a, n)` and `(rows, b, n)`
    over the last axes `(rows, a, b)`.

    Args:
        axes: the axis of both, or one for each.
        normalize: whether to divide by the norms along these axes first; the result is
            the cosine of the angle.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when `axes` is neither an axis nor two.
        ShapeError: when the axes differ in length, or are that of the samples.

    Example:
        >>> a, b = functional.asarray([[1.0, 2.0]]), functional.asarray([[3.0, 4.0]])
        >>> Dot(axes=1)([a, b]).tolist()
        [[11.0]]
    """

    least = most = 2

    def __init__(
        self,
        axes: int | Sequence[int],
        normalize: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        pair = [axes] * 2 if isinstance(axes, int) else list(axes)
        if len(pair) != 2 or not all(isinstance(axis, int) for axis in pair):
            raise ArgumentError(
                "there is one axis for each of the two inputs",
                where=self.name,
                got=f"axes={axes!r}",
                expected="such as 1 or [1, 2]",
            )
        self.axes = axes if isinstance(axes, int) else pair
        self.normalize = normalize

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """None: the steps are summed over, or become another axis."""
        return None

    def call(self, inputs: Any) -> Tensor:
        """The sums of the products."""
        pair = [self.axes] * 2 if isinstance(self.axes, int) else self.axes
        moved = []
        for tensor, given in zip(self._checked(inputs), pair, strict=True):
            axis = normalize_axis(given, tensor.ndim, self.name)
            self._check_axis(tensor, axis)
            if self.normalize:
                tensor = normalization.unit(tensor, (axis,))
            moved.append(functional.moveaxis(tensor, axis, -1))
        return self._product(*moved)

    def _check_axis(self, tensor: Tensor, axis: int) -> None:
        if axis == 0:
            raise ShapeError(
                "products are summed within samples",
                where=self.name,
                got=f"axes={self.axes} for an input of shape {tensor.shape}",
                expected="another axis than that of the samples",
            )

    def _product(self, first: Tensor, second: Tensor) -> Tensor:
        length = first.shape[-1]
        if second.shape[-1] != length:
            raise ShapeError(
                "the axes that are summed over differ in length",
                where=self.name,
                got=f"{length} and {second.shape[-1]}, for axes={self.axes}",
            )
        rows, kept = first.shape[0], (*first.shape[1:-1], *second.shape[1:-1])
        flat = [
            functional.reshape(x, (rows, _size(x.shape[1:-1]), length))
            for x in (first, second)
        ]
        products = functional.matmul(flat[0], functional.matrix_transpose(flat[1]))
        return functional.reshape(products, (rows, *(kept or (1,))))


def _size(shape: Sequence[int]) -> int:
    return reduce(lambda total, n: total * n, shape, 1)


def _function(kind: Callable[..., Merge], name: str) -> Callable[..., Tensor]:
    def merged(inputs: Tensors, **options: Any) -> Tensor:
        result: Tensor = kind(**options)(inputs)
        return result

    merged.__name__ = merged.__qualname__ = name
    merged.__doc__ = f"`{kind.__name__}(**options)(inputs)`."
    return merged


add = _function(Add, "add")
subtract = _function(Subtract, "subtract")
multiply = _function(Multiply, "multiply")
average = _function(Average, "average")
maximum = _function(Maximum, "maximum")
minimum = _function(Minimum, "minimum")


def concatenate(inputs: Tensors, axis: int = -1, **options: Any) -> Tensor:
    """`Concatenate(axis, **options)(inputs)`."""
    result: Tensor = Concatenate(axis, **options)(inputs)
    return result


def dot(inputs: Tensors, axes: int | Sequence[int] = -1, **options: Any) -> Tensor:
    """`Dot(axes, **options)(inputs)`."""
    result: Tensor = Dot(axes, **options)(inputs)
    return result
