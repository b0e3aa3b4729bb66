"""Cells: what a recurrent layer does in one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from chainrule import activations, constraints, functional, initializers, regularizers
from chainrule.functional.promotion import Tensor
from chainrule.layers.core import known_width
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.layer import InputShape, LayerOptions, check_positive
from chainrule.layers.regularization import RandomLayer, check_rate

States = Sequence[Tensor]


@dataclass(frozen=True)
class Fixed:
    """What is the same in every step.

    Attributes:
        masks: what drops parts of the state: none, one for all gates, or one for each.
        bias: what is added to the products with the state, where there is such a thing.
    """

    masks: list[Tensor]
    bias: Tensor | None = None


class Cell(RandomLayer):
    """Base of the cells of the library; its arguments are those of `SimpleRNNCell`.

    What depends on the inputs alone is computed for all steps at once (`prepare`), and
    what depends on the state step by step (`advance`). The first of the states is the
    output.

    Attributes:
        state_size: the width of the state, or a list of several.
        output_size: the width of the output.
    """

    gates = 1
    implementation = 2

    def __init__(
        self,
        units: int,
        activation: Any,
        use_bias: bool,
        kernel_initializer: Any,
        recurrent_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        recurrent_regularizer: Any,
        bias_regularizer: Any,
        kernel_constraint: Any,
        recurrent_constraint: Any,
        bias_constraint: Any,
        dropout: float,
        recurrent_dropout: float,
        seed: int | None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, **options)
        self.units = check_positive(self.name, "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout = check_rate(self.name, dropout)
        self.recurrent_dropout = check_rate(self.name, recurrent_dropout)
        self.state_size: int | list[int] = self.units
        self.output_size = self.units

    def build(self, input_shape: InputShape) -> None:
        """Make the kernels and the bias."""
        width = self.units * self.gates
        self.kernel = self.add_weight(
            "kernel",
            (known_width(self.name, input_shape), width),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            "recurrent_kernel",
            (self.units, width),
            self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                "bias",
                self._bias_shape(),
                self._first_bias,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(axes={-1: self.kernel.shape[0]})

    def get_initial_state(self, batch_size: int) -> list[Tensor]:
        """States of zeros, for so many samples."""
        sizes = [self.state_size] if isinstance(self.state_size, int) else []
        sizes = sizes or list(self.state_size)  # type: ignore[arg-type]
        dtype = self.compute_dtype
        return [functional.zeros((batch_size, n), dtype=dtype) for n in sizes]

    def call(  # type: ignore[override]
        self, inputs: Tensor, states: Any, training: bool = False
    ) -> tuple[Tensor, Any]:
        """One step.

        Args:
            inputs: `(samples, features)`.
            states: a list of tensors `(samples, units)`, or the tensor where it is one.
            training: whether dropout acts.

        Returns:
            The output, and the new states in the form of the old.
        """
        listed = isinstance(states, (list, tuple))
        projected, fixed = self.prepare(inputs, training)
        new = self.advance(projected, states if listed else [states], fixed)
        return new[0], list(new) if listed else new[0]

    def prepare(self, inputs: Tensor, training: bool) -> tuple[Tensor, Fixed]:
        """What steps need that does not depend on the state.

        Args:
            inputs: `(..., samples, features)`: one step, or all of them.
            training: whether dropout acts.

        Returns:
            The weighted inputs of the gates, and what is the same in every step.
        """
        several = self.implementation == 1 or bool(self.recurrent_dropout)
        count = self.gates if several else 1
        kernel = self.kernel.value
        masks = self._drop(self.dropout, inputs.shape[-2:], count, training)
        weighted = _product(inputs, kernel, masks)
        if self.use_bias:
            weighted = weighted + self._input_bias()
        state = (inputs.shape[-2], self.units)
        dropped = self._drop(self.recurrent_dropout, state, count, training)
        return weighted, Fixed(dropped, self._state_bias())

    def advance(self, x: Tensor, states: States, fixed: Fixed) -> States:
        """The next states.

        Args:
            x: the weighted inputs of this step, `(samples, gates * units)`.
            states: those before it.
            fixed: see `prepare`.
        """
        raise NotImplementedError

    def _recurrent(self, state: Tensor, masks: list[Tensor]) -> Tensor:
        """What the state adds to the gates."""
        return _product(state, self.recurrent_kernel.value, masks)

    def _input_bias(self) -> Tensor:
        return self.bias.value

    def _state_bias(self) -> Tensor | None:
        return None

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.units * self.gates,)

    def _first_bias(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        return self.bias_initializer(shape, dtype=dtype)

    def _drop(
        self, rate: float, shape: tuple[int, ...], count: int, training: bool
    ) -> list[Tensor]:
        """Masks of 0 and 1 / (1 - rate), the same in every step."""
        if not training or not rate:
            return []
        scale = 1 / (1 - rate)
        kept = [self._kept(rate, shape) for _ in range(count)]
        return [functional.astype(keep, self.compute_dtype) * scale for keep in kept]


class SimpleRNNCell(Cell):
    """One step of `SimpleRNN`: `h' = activation(x @ kernel + h @ recurrent + bias)`.

    Elman, "Finding structure in time", Cognitive Science, 1990.

    Args:
        units: the width of state and output.
        activation: a name, or a function.
        use_bias: whether to add a bias.
        kernel_initializer: of the weights of the input.
        recurrent_initializer: of the weights of the state.
        bias_initializer: of the bias.
        kernel_regularizer: a penalty on the weights of the input.
        recurrent_regularizer: a penalty on the weights of the state.
        bias_regularizer: a penalty on the bias.
        kernel_constraint: a limit of the weights of the input.
        recurrent_constraint: a limit of the weights of the state.
        bias_constraint: a limit of the bias.
        dropout: the share of the inputs that is dropped while training; of one sample
            the same ones in every step.
        recurrent_dropout: the share of the state that is dropped on its way into the
            next step; of one sample the same units in every step.
        seed: mixed into the key of what is dropped.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when `units` is no positive integer, or a share is not one.

    Example:
        >>> cell = SimpleRNNCell(4)
        >>> output, states = cell(functional.ones((2, 3)), cell.get_initial_state(2))
        >>> output.shape, len(states)
        ((2, 4), 1)
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            seed,
            **options,
        )

    def advance(self, x: Tensor, states: States, fixed: Fixed) -> States:
        """The next state."""
        return (self.activation(x + self._recurrent(states[0], fixed.masks)),)


class LSTMCell(Cell):
    """One step of `LSTM`.

    ```
    i, f, g, o = split(x @ kernel + h @ recurrent_kernel + bias)
    c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h' = sigmoid(o) * tanh(c')
    ```

    Hochreiter, Schmidhuber, "Long short-term memory", Neural Computation, 1997; with
    the forget gate of Gers, Schmidhuber, Cummins, "Learning to forget", 2000.

    Args:
        units: the width of state and output.
        activation: of the candidate and of the output, `tanh` above.
        recurrent_activation: of the gates, `sigmoid` above.
        use_bias: whether to add a bias.
        kernel_initializer: of the weights of the input.
        recurrent_initializer: of the weights of the state.
        bias_initializer: of the bias.
        unit_forget_bias: whether the bias of the forget gate begins at 1. Jozefowicz,
            Zaremba, Sutskever, "An empirical exploration of recurrent network
            architectures", ICML 2015.
        kernel_regularizer: a penalty on the weights of the input.
        recurrent_regularizer: a penalty on the weights of the state.
        bias_regularizer: a penalty on the bias.
        kernel_constraint: a limit of the weights of the input.
        recurrent_constraint: a limit of the weights of the state.
        bias_constraint: a limit of the bias.
        dropout: see `SimpleRNNCell`.
        recurrent_dropout: see `SimpleRNNCell`.
        seed: mixed into the key of what is dropped.
        implementation: 1 drops other inputs for each gate, as is done whenever there
            is a `recurrent_dropout`; 2 the same for all.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when `units` is no positive integer, or a share is not one.

    Example:
        >>> cell = LSTMCell(4)
        >>> output, (h, c) = cell(functional.ones((2, 3)), cell.get_initial_state(2))
        >>> output.shape, c.shape
        ((2, 4), (2, 4))
    """

    gates = 4

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        implementation: int = 2,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            seed,
            **options,
        )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias
        self.implementation = implementation
        self.state_size = [self.units, self.units]

    def advance(self, x: Tensor, states: States, fixed: Fixed) -> States:
        """The next states: output and memory."""
        h, c = states
        z = functional.split(x + self._recurrent(h, fixed.masks), 4, axis=-1)
        opened, kept, shown = (self.recurrent_activation(z[i]) for i in (0, 1, 3))
        memory = kept * c + opened * self.activation(z[2])
        return shown * self.activation(memory), memory

    def _first_bias(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        if not self.unit_forget_bias:
            return super()._first_bias(shape, dtype)
        one = functional.ones((self.units,), dtype=dtype)
        first = super()._first_bias((self.units,), dtype)
        rest = super()._first_bias((self.units * 2,), dtype)
        return functional.concat([first, one, rest])


class GRUCell(Cell):
    """One step of `GRU`.

    ```
    z = sigmoid(x_z + h @ u_z),   r = sigmoid(x_r + h @ u_r)
    g = tanh(x_g + r * (h @ u_g)),   or tanh(x_g + (r * h) @ u_g) with reset_after=False
    h' = z * h + (1 - z) * g
    ```

    Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014.

    Args:
        units: the width of state and output.
        activation: of the candidate, `tanh` above.
        recurrent_activation: of the gates, `sigmoid` above.
        use_bias: whether to add a bias; with `reset_after` there is one for the inputs
            and one for the state.
        kernel_initializer: of the weights of the input.
        recurrent_initializer: of the weights of the state.
        bias_initializer: of the bias.
        kernel_regularizer: a penalty on the weights of the input.
        recurrent_regularizer: a penalty on the weights of the state.
        bias_regularizer: a penalty on the bias.
        kernel_constraint: a limit of the weights of the input.
        recurrent_constraint: a limit of the weights of the state.
        bias_constraint: a limit of the bias.
        dropout: see `SimpleRNNCell`.
        recurrent_dropout: see `SimpleRNNCell`.
        reset_after: whether the reset gate acts behind the product, as in PyTorch.
        seed: mixed into the key of what is dropped.
        implementation: see `LSTMCell`.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when `units` is no positive integer, or a share is not one.

    Example:
        >>> cell = GRUCell(4)
        >>> output, states = cell(functional.ones((2, 3)), cell.get_initial_state(2))
        >>> output.shape, len(states)
        ((2, 4), 1)
    """

    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: int | None = None,
        implementation: int = 2,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            seed,
            **options,
        )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = reset_after
        self.implementation = implementation

    def advance(self, x: Tensor, states: States, fixed: Fixed) -> States:
        """The next state."""
        h = states[0]
        x_z, x_r, x_g = functional.split(x, 3, axis=-1)
        if self.reset_after:
            inner = self._recurrent(h, fixed.masks)
            h_z, h_r, h_g = functional.split(inner, 3, axis=-1)
            h_g = h_g if fixed.bias is None else h_g + fixed.bias
            reset = self.recurrent_activation(x_r + h_r)
            candidate = reset * h_g
        else:
            kernel, masks = self.recurrent_kernel.value, fixed.masks
            gates, own = kernel[:, : 2 * self.units], kernel[:, 2 * self.units :]
            h_z, h_r = functional.split(_product(h, gates, masks[:2]), 2, axis=-1)
            reset = self.recurrent_activation(x_r + h_r)
            candidate = _product(reset * h, own, masks[2:])
        update = self.recurrent_activation(x_z + h_z)
        return (update * h + (1 - update) * self.activation(x_g + candidate),)

    def _input_bias(self) -> Tensor:
        """With that of the state, where it does not matter which of them it is."""
        bias = self.bias.value
        if not self.reset_after:
            return bias
        gates = 2 * self.units
        return functional.concat([bias[0, :gates] + bias[1, :gates], bias[0, gates:]])

    def _state_bias(self) -> Tensor | None:
        if not (self.use_bias and self.reset_after):
            return None
        return self.bias.value[1, 2 * self.units :]

    def _bias_shape(self) -> tuple[int, ...]:
        width = self.units * self.gates
        return (2, width) if self.reset_after else (width,)


def _product(x: Tensor, kernel: Tensor, masks: list[Tensor]) -> Tensor:
    """`x @ kernel`; with one mask, or one for each gate, of what is dropped of x."""
    if not masks:
        return functional.matmul(x, kernel)
    if len(masks) == 1:
        return functional.matmul(x * masks[0], kernel)
    parts = functional.split(kernel, len(masks), axis=-1)
    pairs = zip(masks, parts, strict=True)
    products = [functional.matmul(x * mask, part) for mask, part in pairs]
    return functional.concat(products, axis=-1)
