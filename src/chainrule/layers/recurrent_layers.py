"""Recurrent layers: `SimpleRNN`, `LSTM` and `GRU`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

from chainrule.layers.layer import LayerOptions
from chainrule.layers.recurrent import OfCell
from chainrule.layers.recurrent_cells import GRUCell, LSTMCell, SimpleRNNCell
from chainrule.precision import PolicyLike


class RNNOptions(TypedDict, total=False):
    """What recurrent layers take beside their own arguments.

    Attributes:
        zero_output_for_mask: see `RNN`.
        name: see `LayerOptions`.
        dtype: see `LayerOptions`.
        trainable: see `LayerOptions`.
        input_shape: see `LayerOptions`.
    """

    zero_output_for_mask: bool
    name: str | None
    dtype: PolicyLike | None
    trainable: bool
    input_shape: Sequence[int | None] | None


def _of_cell(name: str, options: RNNOptions) -> LayerOptions:
    """The options of the cell in a layer with these."""
    found: LayerOptions = {"name": name}
    if "dtype" in options:
        found["dtype"] = options["dtype"]
    if "trainable" in options:
        found["trainable"] = options["trainable"]
    return found


class SimpleRNN(OfCell):
    """The plain recurrent layer: the output is fed back as an input of the next step.

    `h_t = activation(x_t @ kernel + h_(t-1) @ recurrent_kernel + bias)`, from
    `(samples, steps, features)` to `(samples, units)`, or `(samples, steps, units)`
    with `return_sequences`. Elman, "Finding structure in time", Cognitive Science,
    1990.

    Args:
        units: the width of the state and of the output.
        activation: a name, or a function.
        use_bias: whether to add a bias.
        kernel_initializer: of the weights of the input, `kernel`.
        recurrent_initializer: of the weights of the state, `recurrent_kernel`.
        bias_initializer: of the bias.
        kernel_regularizer: a penalty on the weights of the input.
        recurrent_regularizer: a penalty on the weights of the state.
        bias_regularizer: a penalty on the bias.
        activity_regularizer: a penalty on the output; see `LayerOptions`.
        kernel_constraint: a limit of the weights of the input.
        recurrent_constraint: a limit of the weights of the state.
        bias_constraint: a limit of the bias.
        dropout: the share of the inputs that is dropped while training; of one sample
            the same ones in every step.
        recurrent_dropout: the share of the state that is dropped on its way into the
            next step; of one sample the same units in every step. Gal, Ghahramani, "A
            theoretically grounded application of dropout in recurrent neural networks",
            NeurIPS 2016.
        seed: mixed into the key of what is dropped.
        return_sequences: see `RNN`.
        return_state: see `RNN`.
        go_backwards: see `RNN`.
        stateful: see `RNN`.
        unroll: see `RNN`.
        **options: see `RNN` for `zero_output_for_mask`, and `LayerOptions`.

    Raises:
        ArgumentError: when `units` is no positive integer, or a share is not one.
        ShapeError: see `RNN`.

    Example:
        >>> import chainrule
        >>> SimpleRNN(4)(chainrule.zeros((32, 10, 8))).shape
        (32, 4)
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
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        **options: Unpack[RNNOptions],
    ) -> None:
        cell = SimpleRNNCell(
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
            seed=seed,
            **_of_cell("simple_rnn_cell", options),
        )
        flags = return_sequences, return_state, go_backwards, stateful, unroll
        super().__init__(
            cell, *flags, activity_regularizer=activity_regularizer, **options
        )


class LSTM(OfCell):
    """Long short-term memory: a recurrent layer with a memory behind gates.

    ```
    i, f, g, o = split(x_t @ kernel + h_(t-1) @ recurrent_kernel + bias)
    c_t = sigmoid(f) * c_(t-1) + sigmoid(i) * tanh(g)
    h_t = sigmoid(o) * tanh(c_t)
    ```

    From `(samples, steps, features)` to `(samples, units)`, or `(samples, steps,
    units)` with `return_sequences`. Hochreiter, Schmidhuber, "Long short-term
    memory", Neural Computation, 1997; Gers, Schmidhuber, Cummins, "Learning to forget:
    continual prediction with LSTM", Neural Computation, 2000.

    Args:
        units: the width of the state and of the output.
        activation: of the candidate and the output, `tanh` above.
        recurrent_activation: of the gates, `sigmoid` above.
        use_bias: whether to add a bias.
        kernel_initializer: of the weights of the input, `kernel`.
        recurrent_initializer: of the weights of the state, `recurrent_kernel`.
        bias_initializer: of the bias.
        unit_forget_bias: whether the bias of the forget gate begins at 1.
        kernel_regularizer: a penalty on the weights of the input.
        recurrent_regularizer: a penalty on the weights of the state.
        bias_regularizer: a penalty on the bias.
        activity_regularizer: a penalty on the output; see `LayerOptions`.
        kernel_constraint: a limit of the weights of the input.
        recurrent_constraint: a limit of the weights of the state.
        bias_constraint: a limit of the bias.
        dropout: the share of the inputs that is dropped while training; of one sample
            the same ones in every step.
        recurrent_dropout: the share of the state that is dropped on its way into the
            next step; of one sample the same units in every step. Gal, Ghahramani, "A
            theoretically grounded application of dropout in recurrent neural networks",
            NeurIPS 2016.
        seed: mixed into the key of what is dropped.
        return_sequences: see `RNN`.
        return_state: see `RNN`.
        go_backwards: see `RNN`.
        stateful: see `RNN`.
        unroll: see `RNN`.
        use_cudnn: accepted; there is one way to compute it.
        implementation: 1 drops other inputs for each gate, as is done whenever there
            is a `recurrent_dropout`; 2 the same for all.
        **options: see `RNN` for `zero_output_for_mask`, and `LayerOptions`.

    Raises:
        ArgumentError: when `units` is no positive integer, or a share is not one.
        ShapeError: see `RNN`.

    Example:
        >>> import chainrule
        >>> x = chainrule.zeros((32, 10, 8))
        >>> output, h, c = LSTM(4, return_sequences=True, return_state=True)(x)
        >>> output.shape, h.shape, c.shape
        ((32, 10, 4), (32, 4), (32, 4))
    """

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
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        use_cudnn: bool | str = "auto",
        implementation: int = 2,
        **options: Unpack[RNNOptions],
    ) -> None:
        cell = LSTMCell(
            units,
            activation,
            recurrent_activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            unit_forget_bias,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            implementation=implementation,
            seed=seed,
            **_of_cell("lstm_cell", options),
        )
        flags = return_sequences, return_state, go_backwards, stateful, unroll
        super().__init__(
            cell, *flags, activity_regularizer=activity_regularizer, **options
        )
        self.use_cudnn = use_cudnn


class GRU(OfCell):
    """Gated recurrent unit: a recurrent layer whose state is its output.

    ```
    z = sigmoid(x_z + h_(t-1) @ u_z),   r = sigmoid(x_r + h_(t-1) @ u_r)
    g = tanh(x_g + r * (h_(t-1) @ u_g))
    h_t = z * h_(t-1) + (1 - z) * g
    ```

    with the inputs of the gates `x_z, x_r, x_g = split(x_t @ kernel + bias)`. From
    `(samples, steps, features)` to `(samples, units)`, or `(samples, steps, units)`
    with `return_sequences`. Cho et al., "Learning phrase representations using RNN
    encoder-decoder for statistical machine translation", EMNLP 2014.

    Args:
        units: the width of the state and of the output.
        activation: of the candidate, `tanh` above.
        recurrent_activation: of the gates, `sigmoid` above.
        use_bias: whether to add a bias; with `reset_after` there is one for the inputs
            and one for the state.
        kernel_initializer: of the weights of the input, `kernel`.
        recurrent_initializer: of the weights of the state, `recurrent_kernel`.
        bias_initializer: of the bias.
        kernel_regularizer: a penalty on the weights of the input.
        recurrent_regularizer: a penalty on the weights of the state.
        bias_regularizer: a penalty on the bias.
        activity_regularizer: a penalty on the output; see `LayerOptions`.
        kernel_constraint: a limit of the weights of the input.
        recurrent_constraint: a limit of the weights of the state.
        bias_constraint: a limit of the bias.
        dropout: the share of the inputs that is dropped while training; of one sample
            the same ones in every step.
        recurrent_dropout: the share of the state that is dropped on its way into the
            next step; of one sample the same units in every step. Gal, Ghahramani, "A
            theoretically grounded application of dropout in recurrent neural networks",
            NeurIPS 2016.
        seed: mixed into the key of what is dropped.
        return_sequences: see `RNN`.
        return_state: see `RNN`.
        go_backwards: see `RNN`.
        stateful: see `RNN`.
        unroll: see `RNN`.
        reset_after: whether the reset gate acts behind the product with the state, as
            above and in PyTorch, and not before it: `(r * h_(t-1)) @ u_g`.
        use_cudnn: accepted; there is one way to compute it.
        implementation: 1 drops other inputs for each gate, as is done whenever there
            is a `recurrent_dropout`; 2 the same for all.
        **options: see `RNN` for `zero_output_for_mask`, and `LayerOptions`.

    Raises:
        ArgumentError: when `units` is no positive integer, or a share is not one.
        ShapeError: see `RNN`.

    Example:
        >>> import chainrule
        >>> x = chainrule.zeros((32, 10, 8))
        >>> GRU(4)(x).shape, GRU(4, return_sequences=True)(x).shape
        ((32, 4), (32, 10, 4))
    """

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
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: bool | str = "auto",
        implementation: int = 2,
        **options: Unpack[RNNOptions],
    ) -> None:
        cell = GRUCell(
            units,
            activation,
            recurrent_activation,
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
            reset_after=reset_after,
            implementation=implementation,
            seed=seed,
            **_of_cell("gru_cell", options),
        )
        flags = return_sequences, return_state, go_backwards, stateful, unroll
        super().__init__(
            cell, *flags, activity_regularizer=activity_regularizer, **options
        )
        self.use_cudnn = use_cudnn
