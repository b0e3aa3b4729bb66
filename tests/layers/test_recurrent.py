"""Recurrent layers and cells against the formulas written out in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import functional, layers
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import random
from chainrule.jit import jit
from chainrule.layers import Layer
from tests.tolerances import PARITY, assert_close, assert_compiled

Array = np.ndarray[Any, Any]
GENERATOR = np.random.default_rng(3)


def assert_layers(actual: Any, wanted: Any) -> None:
    """NumPy's functions are others, and errors add up along the steps."""
    assert_close(actual, np.asarray(wanted, np.float32), PARITY)


def normal(*shape: int) -> Array:
    return GENERATOR.normal(size=shape).astype(np.float32)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def simple_step(x: Array, states: list[Array], weights: list[Array]) -> list[Array]:
    kernel, recurrent, bias = weights
    return [np.tanh(x @ kernel + states[0] @ recurrent + bias)]


def lstm_step(x: Array, states: list[Array], weights: list[Array]) -> list[Array]:
    kernel, recurrent, bias = weights
    h, c = states
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def gru_step(x: Array, states: list[Array], weights: list[Array]) -> list[Array]:
    kernel, recurrent, bias = weights
    h = states[0]
    x_z, x_r, x_g = np.split(x @ kernel + bias[0], 3, axis=1)
    h_z, h_r, h_g = np.split(h @ recurrent + bias[1], 3, axis=1)
    z = sigmoid(x_z + h_z)
    return [z * h + (1 - z) * np.tanh(x_g + sigmoid(x_r + h_r) * h_g)]


def early_gru_step(x: Array, states: list[Array], weights: list[Array]) -> list[Array]:
    kernel, recurrent, bias = weights
    h = states[0]
    x_z, x_r, x_g = np.split(x @ kernel + bias, 3, axis=1)
    u_z, u_r, u_g = np.split(recurrent, 3, axis=1)
    z, r = sigmoid(x_z + h @ u_z), sigmoid(x_r + h @ u_r)
    return [z * h + (1 - z) * np.tanh(x_g + (r * h) @ u_g)]


KINDS: list[tuple[Callable[..., Layer], Any, int, Callable[..., list[Array]]]] = [
    (layers.SimpleRNN, {}, 1, simple_step),
    (layers.LSTM, {}, 2, lstm_step),
    (layers.GRU, {}, 1, gru_step),
    (layers.GRU, {"reset_after": False}, 1, early_gru_step),
]
every_kind = pytest.mark.parametrize(
    "kind", KINDS, ids=["simple", "lstm", "gru", "gru_before"]
)
UNITS = 5


def make(
    kind: Any, rows: int | None = None, **options: Any
) -> tuple[Layer, list[Array]]:
    """A layer for three features with random weights, and these."""
    layer = kind[0](UNITS, **kind[1], **options)
    layer.build_for((rows, None, 3))
    weights = [normal(*v.shape) * 0.6 for v in layer.cell.weights]
    layer.cell.set_weights(weights)
    return layer, weights


def expected(
    kind: Any,
    x: Array,
    weights: list[Array],
    states: list[Array] | None = None,
    mask: Array | None = None,
    backwards: bool = False,
) -> tuple[Array, list[Array]]:
    """All outputs, in the order of the steps, and the last states, sample by sample."""
    rows, steps, _ = x.shape
    outputs = np.zeros((rows, steps, UNITS), np.float32)
    given = states or [np.zeros((rows, UNITS), np.float32)] * kind[2]
    last = [state.copy() for state in given]
    for row in range(rows):
        state = [s[row : row + 1] for s in given]
        output = np.zeros((1, UNITS), np.float32)
        for step in range(steps)[:: -1 if backwards else 1]:
            if mask is None or mask[row, step]:
                state = kind[3](x[row : row + 1, step], state, weights)
                output = state[0]
            outputs[row, step] = output
        for i, part in enumerate(state):
            last[i][row] = part
    return outputs, last


@every_kind
@pytest.mark.parametrize(("rows", "steps"), [(3, 6), (1, 1), (1, 7), (4, 1)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_numbers_are_those_of_the_formula(
    kind: Any, rows: int, steps: int, masked: bool, backwards: bool
) -> None:
    layer, weights = make(
        kind, return_sequences=True, return_state=True, go_backwards=backwards
    )
    x = normal(rows, steps, 3)
    mask = GENERATOR.random((rows, steps)) < 0.6 if masked else None
    if mask is not None:
        mask[-1] = False  # nothing but padding
    states = [normal(rows, UNITS) for _ in range(kind[2])]
    wanted, last = expected(kind, x, weights, states, mask, backwards)
    outputs, *ends = layer(x, initial_state=states, mask=mask)
    order = slice(None, None, -1) if backwards else slice(None)
    assert_layers(outputs.numpy(), wanted[:, order])
    for one, two in zip(ends, last, strict=True):
        assert_layers(one.numpy(), two)


@every_kind
@pytest.mark.parametrize("zeros", [False, True])
def test_only_the_last_output(kind: Any, zeros: bool) -> None:
    layer, weights = make(kind, zero_output_for_mask=zeros)
    x = normal(3, 4, 3)
    mask = np.array([[1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0]], bool)
    wanted = expected(kind, x, weights, mask=mask)[0][:, -1]
    if zeros:
        wanted = np.where(mask[:, -1:], wanted, 0)
    assert_layers(layer(x, mask=mask).numpy(), wanted)


@every_kind
def test_no_steps_give_zeros_and_leave_the_state(kind: Any) -> None:
    layer, _ = make(kind, return_state=True)
    states = [normal(2, UNITS) for _ in range(kind[2])]
    output, *ends = layer(np.zeros((2, 0, 3), np.float32), initial_state=states)
    assert not output.numpy().any()
    for one, two in zip(ends, states, strict=True):
        np.testing.assert_array_equal(one.numpy(), two)
    layer, _ = make(kind, return_sequences=True)
    assert layer(np.zeros((2, 0, 3), np.float32)).shape == (2, 0, UNITS)
    masked = layer(np.zeros((2, 0, 3), np.float32), mask=np.ones((2, 0), bool))
    assert masked.shape == (2, 0, UNITS)


@every_kind
@pytest.mark.parametrize("options", [{}, {"go_backwards": True}])
def test_unrolled_is_the_same(kind: Any, options: Any) -> None:
    common = {"return_sequences": True, "return_state": True, **options}
    rolled, weights = make(kind, **common)
    unrolled = kind[0](UNITS, **kind[1], unroll=True, **common)
    unrolled.build_for((None, 4, 3))
    unrolled.cell.set_weights(weights)
    x, mask = normal(3, 4, 3), GENERATOR.random((3, 4)) < 0.6
    for one, two in zip(rolled(x, mask=mask), unrolled(x, mask=mask), strict=True):
        assert_compiled(one.numpy(), two.numpy())


def test_unrolling_needs_the_number_of_steps() -> None:
    with pytest.raises(ShapeError, match="number of steps"):
        layers.LSTM(3, unroll=True)(chainrule.Input((None, 2)))


@every_kind
def test_masked_and_compiled_with_gradient(kind: Any) -> None:
    layer, _ = make(kind, return_sequences=True)
    x, mask = normal(3, 6, 3), GENERATOR.random((3, 6)) < 0.6
    mask[1] = False
    weight = normal(3, 6, UNITS)

    def loss(x: Any) -> Any:
        return functional.sum(layer(x, mask=mask) * weight)

    eager = chainrule.grad(loss)(functional.asarray(x)).numpy()
    assert_compiled(jit(chainrule.grad(loss))(x).numpy(), eager)
    assert not eager[1].any()
    assert not eager[~mask].any()


# ---- cells ---------------------------------------------------------------------------


@every_kind
def test_a_cell_makes_one_step(kind: Any) -> None:
    layer, weights = make(kind)
    states = [normal(2, UNITS) for _ in range(kind[2])]
    x = normal(2, 3)
    output, new = layer.cell(x, states)
    wanted = kind[3](x, states, weights)
    assert_layers(output.numpy(), wanted[0])
    for one, two in zip(new, wanted, strict=True):
        assert_layers(one.numpy(), two)
    if kind[2] == 1:
        output, new = layer.cell(x, functional.asarray(states[0]))
        assert_layers(new.numpy(), wanted[0])


class Leaky(Layer):
    """A cell with an output of another width than its state."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.state_size = units
        self.output_size = 2 * units

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight("kernel", (input_shape[-1], self.units))

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        state = 0.5 * states[0] + functional.matmul(inputs, self.kernel.value)
        return functional.concat([state, -state], axis=-1), [state]


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
def test_a_cell_of_ones_own(unroll: bool, zeros: bool) -> None:
    layer = layers.RNN(
        Leaky(2),
        return_sequences=True,
        return_state=True,
        unroll=unroll,
        zero_output_for_mask=zeros,
    )
    x = normal(2, 4, 3)
    mask = np.array([[1, 0, 1, 1], [0, 1, 0, 0]], bool)
    outputs, state = layer(x, mask=mask)
    kernel = layer.cell.kernel.numpy()
    for row in range(2):
        s, y = np.zeros(2), np.zeros(4)
        for step in range(4):
            if mask[row, step]:
                s = 0.5 * s + x[row, step] @ kernel
                y = np.concatenate([s, -s])
            elif zeros:
                y = np.zeros(4)
            assert_layers(outputs[row, step].numpy(), y.astype(np.float32))
        assert_layers(state[row].numpy(), s.astype(np.float32))


class Noisy(Layer):
    """A cell that draws other numbers in every step."""

    state_size = 2

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        if not training:
            return inputs, states
        return random.normal(random.next_key(), inputs.shape), states


def test_a_cell_that_draws_numbers_draws_others_in_every_step() -> None:
    layer = layers.RNN(Noisy(), return_sequences=True)

    def run(x: Any) -> Any:
        with random.stream(random.key(2)):
            return layer(x, training=True)

    x = normal(3, 5, 2)
    drawn = run(x).numpy()
    assert len(np.unique(drawn)) == drawn.size
    assert_compiled(jit(run)(x).numpy(), drawn)
    np.testing.assert_array_equal(layer(x).numpy(), x)


def test_stacked_cells_are_layers_behind_one_another() -> None:
    cells = [layers.LSTMCell(4), layers.GRUCell(3), Leaky(2)]
    stack = layers.RNN(cells, return_sequences=True, return_state=True)
    x, mask = normal(3, 5, 2), GENERATOR.random((3, 5)) < 0.7
    outputs, *states = stack(x, mask=mask)
    values = functional.asarray(x)
    for cell, state in zip(cells, states, strict=True):
        single = layers.RNN(cell, return_sequences=True, return_state=True)
        values, *own = single(values, mask=mask)
        for one, two in zip(state, own, strict=True):
            np.testing.assert_array_equal(one.numpy(), two.numpy())
    np.testing.assert_array_equal(outputs.numpy(), values.numpy())
    # and called step by step, as a single cell
    step, after = stack.cell(x[:, 0], stack.get_initial_state(3))
    assert step.shape == (3, 4)
    assert [len(state) for state in after] == [2, 1, 1]


# ---- state from batch to batch -------------------------------------------------------


@every_kind
def test_a_stateful_layer_goes_on(kind: Any) -> None:
    layer, weights = make(kind, rows=2, return_sequences=True, stateful=True)
    x = normal(2, 6, 3)
    wanted, last = expected(kind, x, weights)
    halves = [layer(x[:, :2]).numpy(), layer(x[:, 2:]).numpy()]
    assert_layers(np.concatenate(halves, axis=1), wanted)
    for variable, state in zip(layer.states, last, strict=True):
        assert_layers(variable.numpy(), state)
    layer.reset_states()
    assert_layers(layer(x).numpy(), wanted)
    with pytest.raises(ShapeError, match="do not fit the batch"):
        layer(x[:1])


def test_a_stateful_layer_needs_a_fixed_number_of_samples() -> None:
    with pytest.raises(ShapeError, match="fixed number of samples"):
        layers.LSTM(3, stateful=True)(chainrule.Input((4, 2)))


# ---- dropout -------------------------------------------------------------------------


@pytest.mark.parametrize("implementation", [1, 2])
def test_dropped_inputs_are_the_same_in_every_step(implementation: int) -> None:
    """With a kernel of ones, the gates show which inputs reached them."""
    layer = layers.LSTM(1, dropout=0.5, implementation=implementation)
    layer.build_for((None, None, 30))
    inputs = functional.asarray(np.ones((7, 4, 30), np.float32))
    layer.cell.kernel.assign(np.ones((30, 4), np.float32))
    with random.stream(random.key(1)):
        weighted, fixed = layer.cell.prepare(inputs, True)
    assert fixed.masks == []
    counts = (weighted.numpy() - layer.cell.bias.numpy()) / 2
    assert_layers(counts, np.broadcast_to(counts[:1], counts.shape))
    same = np.all(counts == counts[..., :1])
    assert same == (implementation == 2)
    assert len(np.unique(counts[0])) > 1


def test_dropped_states_are_the_same_in_every_step() -> None:
    layer = layers.SimpleRNN(
        50, "linear", recurrent_dropout=0.4, recurrent_initializer="identity"
    )
    x = np.zeros((3, 4, 2), np.float32)
    ones = functional.ones((3, 50))
    with random.stream(random.key(1)):
        found = layer(x, initial_state=ones, training=True).numpy()
    # a unit is dropped in the first step or never
    kept = found != 0
    assert_layers(found[kept], np.full(kept.sum(), (1 / 0.6) ** 4, np.float32))
    assert 0.4 < kept.mean() < 0.8


@every_kind
def test_without_training_nothing_is_dropped(kind: Any) -> None:
    layer, weights = make(kind, dropout=0.5, recurrent_dropout=0.5)
    x = normal(2, 3, 3)
    assert_layers(layer(x).numpy(), expected(kind, x, weights)[0][:, -1])
    with random.stream(random.key(1)):
        dropped = layer(x, training=True).numpy()
    assert np.abs(dropped - layer(x).numpy()).max() > 1e-3


# ---- mistakes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make_error", "message"),
    [
        (lambda: layers.LSTM(0), "positive integer"),
        (lambda: layers.GRU(3, dropout=1.0), "share"),
        (lambda: layers.RNN(layers.Dense(3)), "state_size"),
        (lambda: layers.RNN(layers.LSTM(3)), "state_size"),
        (lambda: layers.StackedRNNCells([]), "nothing to stack"),
        (lambda: layers.LSTM(3)(normal(4, 5)), "no sequence"),
        (lambda: layers.LSTM(3)(normal(4, 5, 2), mask=np.ones((5, 4))), "mask says"),
        (
            lambda: layers.LSTM(3)(normal(4, 5, 2), initial_state=normal(4, 3)),
            "do not fit the batch",
        ),
    ],
)
def test_mistakes_are_explained(make_error: Callable[[], Any], message: str) -> None:
    with pytest.raises((ArgumentError, ShapeError), match=message):
        make_error()


def test_another_width_is_refused() -> None:
    layer = layers.GRU(3)
    layer(normal(2, 4, 5))
    with pytest.raises(ShapeError, match="last axis"):
        layer(normal(2, 4, 6))


# ---- models --------------------------------------------------------------------------


def test_a_model_learns_and_is_saved_with_its_cells(tmp_path: Any) -> None:
    x = normal(64, 6, 2)
    y = x[:, :, 0].sum(axis=1, keepdims=True)
    model = chainrule.Sequential(
        [
            layers.Input((None, 2)),
            layers.RNN([layers.LSTMCell(8), layers.GRUCell(8)], return_sequences=True),
            layers.SimpleRNN(8),
            layers.Dense(1),
        ]
    )
    model.compile(chainrule.optimizers.Adam(0.01), "mse")
    history = model.fit(x, y, epochs=20, batch_size=16, verbose=0).history["loss"]
    assert history[-1] < history[0] / 2
    model.save(tmp_path / "model.chainrule")
    again = chainrule.load_model(tmp_path / "model.chainrule")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert again.predict(x[:, :3]).shape == (64, 1)


def test_encoder_and_decoder_share_a_state() -> None:
    source, target = chainrule.Input((None, 3)), chainrule.Input((None, 2))
    _, h, c = layers.LSTM(4, return_state=True)(source)
    steps = layers.LSTM(4, return_sequences=True)(target, initial_state=[h, c])
    model = chainrule.Model([source, target], steps)
    found = model([normal(2, 5, 3), normal(2, 7, 2)])
    assert found.shape == (2, 7, 4)
    again = type(model).from_config(model.get_config())
    again.set_weights(model.get_weights())
    x = [normal(2, 5, 3), normal(2, 7, 2)]
    np.testing.assert_array_equal(again(x).numpy(), model(x).numpy())
