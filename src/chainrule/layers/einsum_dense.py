"""Dense layers over several axes, in Einstein's notation."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from chainrule import activations, constraints, functional, initializers, regularizers
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.promotion import Tensor
from chainrule.ir.dtype import DTypeLike
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.layer import InputShape, Layer, LayerOptions

EQUATION = re.compile(
    r"(?P<left>\.\.\.)?(?P<inputs>[a-zA-Z]+)(?P<right>\.\.\.)?,(?P<kernel>[a-zA-Z]+)"
    r"->(?P<left2>\.\.\.)?(?P<outputs>[a-zA-Z]+)(?P<right2>\.\.\.)?"
)


@dataclass(frozen=True)
class Contraction:
    """An equation whose dots are spelt out, with the length of every letter.

    Attributes:
        inputs: the letters of the input.
        kernel: those of the kernel.
        outputs: those of the output.
        lengths: the length of each letter; None where it varies.
    """

    inputs: str
    kernel: str
    outputs: str
    lengths: dict[str, int | None]

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """The lengths of the letters of the kernel."""
        return tuple(self.lengths[letter] or 0 for letter in self.kernel)

    def bias_shape(self, axes: str) -> tuple[int, ...]:
        """The shape of a bias with these letters, which broadcasts to the output."""
        first = min(self.outputs.index(letter) for letter in axes)
        return tuple(
            (self.lengths[letter] or 0) if letter in axes else 1
            for letter in self.outputs[first:]
        )


class EinsumDense(Layer):
    """`activation(einsum(equation, inputs, kernel) + bias)`.

    With `"abc,cd->abd"` it is a `Dense` of d units; `"abc,cde->abde"` gives each unit
    an axis of its own, as the heads of attention. The equation may have dots on the
    left, or on the right, that stand for further axes: `"...x,xy->...y"`.

    Args:
        equation: of input and kernel, such as `"abc,cd->abd"`.
        output_shape: the lengths of the output without that of the samples and those of
            the dots; None for a length that is that of the input.
        activation: a name such as `relu`, or a function; none by default.
        bias_axes: the letters of the output that the bias has; None for no bias.
        kernel_initializer: of the kernel. Random ones count as inputs of a unit what is
            summed over.
        bias_initializer: of the bias.
        kernel_regularizer: a penalty on the kernel.
        bias_regularizer: a penalty on the bias.
        kernel_constraint: a limit of the kernel.
        bias_constraint: a limit of the bias.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when the equation cannot be read.
        ShapeError: when lengths contradict one another, or one is not known.

    Example:
        >>> layer = EinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="de")
        >>> layer(functional.zeros((32, 7, 5))).shape
        (32, 7, 2, 4)
        >>> [weight.shape for weight in layer.weights]
        [(5, 2, 4), (2, 4)]
    """

    def __init__(
        self,
        equation: str,
        output_shape: int | Sequence[int | None],
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.equation = equation.replace(" ", "")
        self.parsed = _parsed(self.name, self.equation, bias_axes)
        single = isinstance(output_shape, int)
        self.output_shape: tuple[int | None, ...] = (
            (output_shape,) if single else tuple(output_shape)  # type: ignore[assignment, arg-type]
        )
        self.activation = activations.get(activation)
        self.bias_axes = bias_axes
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: InputShape) -> None:
        """Make the kernel and the bias."""
        found = self._contraction(input_shape)
        self._refuse_unknown(found)
        self.kernel = self.add_weight(
            "kernel",
            found.kernel_shape,
            self._initializer(found),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        if self.bias_axes:
            self.bias = self.add_weight(
                "bias",
                found.bias_shape(self.bias_axes),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        known = {
            axis: found.lengths[letter]
            for axis, letter in enumerate(found.inputs)
            if letter in found.kernel
        }
        self.input_spec = InputSpec(
            ndim=len(input_shape), axes={k: n for k, n in known.items() if n}
        )

    def call(self, inputs: Tensor) -> Tensor:
        """The products, summed."""
        outputs = functional.einsum(self.equation, inputs, self.kernel.value)
        if self.bias_axes:
            outputs = outputs + self.bias.value
        result: Tensor = self.activation(outputs)
        return result

    def _contraction(self, input_shape: InputShape) -> Contraction:
        """The letters of the dots, and the length of every letter."""
        inputs, outputs = self.parsed["inputs"], self.parsed["outputs"]
        more = len(input_shape) - len(inputs)
        dots = bool(self.parsed["left"] or self.parsed["right"])
        if more < 0 or (more and not dots):
            raise ShapeError(
                "the input has another number of axes than the equation",
                where=self.name,
                got=f"{input_shape} for {self.equation!r}",
                expected=f"{len(inputs)} axes" + (" or more" if dots else ""),
            )
        free = [n for n in string.ascii_letters if n not in self.equation]
        extra = "".join(free[:more])
        left = bool(self.parsed["left"])
        inputs, outputs = (
            extra + letters if left else letters + extra
            for letters in (inputs, outputs)
        )
        lengths: dict[str, int | None] = dict(zip(inputs, input_shape, strict=True))
        asked = self._asked(input_shape, more, left)
        if len(asked) != len(outputs):
            raise ShapeError(
                "the output shape does not have the axes of the equation",
                where=self.name,
                got=f"output_shape={self.output_shape} for {self.equation!r}",
                expected=f"{len(outputs) - len(asked) + len(self.output_shape)} "
                "lengths, without that of the samples",
            )
        for letter, length in zip(outputs, asked, strict=True):
            before = lengths.get(letter)
            if None not in (before, length) and before != length:
                raise ShapeError(
                    "input and output shape contradict one another",
                    where=self.name,
                    got=f"{letter!r} of {self.equation!r} is {before} and {length}",
                )
            lengths[letter] = before if length is None else length
        return Contraction(inputs, self.parsed["kernel"], outputs, lengths)

    def _asked(
        self, input_shape: InputShape, more: int, left: bool
    ) -> tuple[int | None, ...]:
        """The shape of the output as far as it was told, samples and dots included."""
        told = self.output_shape
        if left and more:
            return (*input_shape[:more], *told)
        return (input_shape[0], *told, *(input_shape[-more:] if more else ()))

    def _refuse_unknown(self, found: Contraction) -> None:
        for letter in (*found.kernel, *(self.bias_axes or "")):
            if not found.lengths.get(letter):
                raise ShapeError(
                    "an axis of the weights must have a known length",
                    where=self.name,
                    got=f"{letter!r} of {self.equation!r}",
                    fix="name its length in output_shape, or in the input's shape",
                )

    def _initializer(self, found: Contraction) -> Any:
        """Random ones draw a matrix from what is summed over to what comes of it."""
        make = self.kernel_initializer
        if not isinstance(make, initializers.RandomInitializer):
            return make
        into = [letter for letter in found.kernel if letter in found.inputs]
        summed = [letter for letter in into if letter not in found.outputs] or into
        others = [letter for letter in found.kernel if letter not in summed]
        order = [*summed, *others]
        sides = [
            math.prod(found.lengths[letter] or 0 for letter in letters)
            for letters in (summed, others)
        ]

        def drawn(shape: Sequence[int], dtype: DTypeLike = "float32") -> Tensor:
            matrix = make(tuple(sides), dtype=dtype)
            sized = tuple(found.lengths[letter] or 0 for letter in order)
            places = tuple(order.index(letter) for letter in found.kernel)
            return functional.permute_dims(functional.reshape(matrix, sized), places)

        return drawn


def _parsed(where: str, equation: str, bias_axes: str | None) -> dict[str, Any]:
    """The parts of an equation."""
    found = EQUATION.fullmatch(equation)
    parts = found.groupdict() if found else {}
    sides = parts.get("left"), parts.get("right")
    if not found or sides != (parts["left2"], parts["right2"]) or all(sides):
        raise ArgumentError(
            "this is no equation of an input and a kernel",
            where=where,
            got=f"equation={equation!r}",
            expected="such as 'ab,bc->ac', '...b,bc->...c' or 'ab...,bc->ac...'",
        )
    letters = {name: set(parts[name]) for name in ("inputs", "kernel", "outputs")}
    alone = letters["kernel"] - letters["inputs"] - letters["outputs"]
    unmade = letters["outputs"] - letters["inputs"] - letters["kernel"]
    foreign = set(bias_axes or "") - letters["outputs"]
    for wrong, place in (
        (alone, "neither input nor output have"),
        (unmade, "neither input nor kernel have"),
        (foreign, "the bias has and the output has not"),
    ):
        if wrong:
            raise ArgumentError(
                f"the equation has a letter that {place}",
                where=where,
                got=f"{', '.join(sorted(wrong))} in {equation!r}, {bias_axes=}",
            )
    return parts
