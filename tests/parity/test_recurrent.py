"""Recurrent layers, masks and embeddings against Keras and PyTorch, step after step."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import functional, layers
from chainrule.autodiff import vjp
from chainrule.variable import substitute
from tests.tolerances import PARITY, TRAINING, assert_close

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

torch.set_num_threads(1)  # small arrays: more threads only wait for one another
Array = np.ndarray[Any, Any]
UNITS, FEATURES, STEPS, ROWS = 5, 4, 6, 3
MASK = np.random.default_rng(1).random((ROWS, STEPS)) < 0.6
MASK[0], MASK[1, -1] = False, False


def draw(shape: Sequence[int], seed: int) -> Array:
    generator = np.random.default_rng(seed)
    return generator.normal(size=tuple(shape)).astype("float32") * 0.5


def numbers(tensor: Any) -> Array:
    found: Array = getattr(tensor, "value", tensor).detach().numpy()
    return found


def listed(found: Any) -> list[Any]:
    return list(found) if isinstance(found, (list, tuple)) else [found]


def same_weights(mine: Any, theirs: Any) -> None:
    values = [draw(w.shape, 10 + i) for i, w in enumerate(theirs.weights)]
    for variable, value in zip(theirs.weights, values, strict=True):
        variable.assign(value)
    mine.set_weights(values)


KINDS = [
    ("SimpleRNN", {}),
    ("SimpleRNN", {"activation": "relu", "use_bias": False}),
    ("LSTM", {}),
    ("LSTM", {"recurrent_activation": "hard_sigmoid", "unit_forget_bias": False}),
    ("GRU", {}),
    ("GRU", {"reset_after": False}),
    ("GRU", {"use_bias": False}),
]
FLAGS: list[dict[str, bool]] = [
    {},
    {"return_sequences": True, "go_backwards": True, "return_state": True},
    {"zero_output_for_mask": True},
    {"zero_output_for_mask": True, "return_sequences": True},
    {"unroll": True, "return_sequences": True, "return_state": True},
]


@pytest.mark.parametrize(("name", "arguments"), KINDS, ids=str)
@pytest.mark.parametrize("flags", FLAGS, ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_numbers_are_those_of_keras(
    name: str, arguments: dict[str, Any], flags: dict[str, bool], masked: bool
) -> None:
    """Outputs and states, from zeros and from given states."""
    x = draw((ROWS, STEPS, FEATURES), 1)
    mine = getattr(layers, name)(UNITS, **arguments, **flags)
    theirs = getattr(keras.layers, name)(UNITS, **arguments, **flags)
    mine(x)
    theirs(x)
    same_weights(mine, theirs)
    count = 2 if name == "LSTM" else 1
    for given in (None, [draw((ROWS, UNITS), 5 + i) for i in range(count)]):
        mask = MASK if masked else None
        found = mine(x, initial_state=given, mask=mask)
        told = None if mask is None else torch.tensor(mask)
        expected = theirs(torch.tensor(x), initial_state=given, mask=told)
        for one, two in zip(listed(found), listed(expected), strict=True):
            assert_close(one.numpy(), numbers(two), PARITY)


@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM", "GRU"])
@pytest.mark.parametrize("merge_mode", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("sequences", [False, True])
def test_both_directions_are_those_of_keras(
    name: str, merge_mode: str | None, sequences: bool
) -> None:
    x = draw((ROWS, STEPS, FEATURES), 1)
    flags = {"return_sequences": sequences, "return_state": True}
    pair = [
        library.Bidirectional(getattr(library, name)(UNITS, **flags), merge_mode)
        for library in (layers, keras.layers)
    ]
    for layer in pair:
        layer(x)
    mine, theirs = pair
    same_weights(mine, theirs)
    for mask in (None, MASK):
        told = None if mask is None else torch.tensor(mask)
        found = listed(mine(x, mask=mask))
        expected = listed(theirs(torch.tensor(x), mask=told))
        for one, two in zip(found, expected, strict=True):
            assert_close(one.numpy(), numbers(two), PARITY)


@pytest.mark.parametrize(("name", "arguments"), KINDS, ids=str)
def test_gradients_are_those_of_keras(name: str, arguments: dict[str, Any]) -> None:
    x = draw((ROWS, STEPS, FEATURES), 1)
    mine = getattr(layers, name)(UNITS, **arguments, return_sequences=True)
    theirs = getattr(keras.layers, name)(UNITS, **arguments, return_sequences=True)
    mine(x)
    theirs(x)
    same_weights(mine, theirs)
    tensor = torch.tensor(x, requires_grad=True)
    outputs = theirs(tensor, mask=torch.tensor(MASK))
    weight = draw(tuple(outputs.shape), 2)
    (outputs * torch.tensor(weight)).sum().backward()
    learnt = mine.trainable_weights

    def function(x: Any, *values: Any) -> Any:
        with substitute(learnt, values):
            return mine(x, mask=MASK)

    values = [functional.asarray(x), *(variable.value for variable in learnt)]
    _, pullback = vjp(function, *values)
    slopes = pullback(functional.asarray(weight))
    expected = [tensor.grad, *(v.value.grad for v in theirs.trainable_variables)]
    for one, two in zip(slopes, expected, strict=True):
        assert_close(one.numpy(), two.numpy(), PARITY)


def test_stacked_cells_are_those_of_keras() -> None:
    x = draw((ROWS, STEPS, FEATURES), 1)
    mine, theirs = (
        library.RNN(
            [library.LSTMCell(UNITS), library.GRUCell(3), library.SimpleRNNCell(4)],
            return_sequences=True,
        )
        for library in (layers, keras.layers)
    )
    mine(x)
    theirs(x)
    same_weights(mine, theirs)
    expected = theirs(torch.tensor(x), mask=torch.tensor(MASK))
    assert_close(mine(x, mask=MASK).numpy(), numbers(expected), PARITY)


# ---- training ------------------------------------------------------------------------

WORDS, CLASSES, BATCH = 20, 3, 16


def sentences(seed: int = 0) -> tuple[Array, Array]:
    """Words with padding behind them, and a tag for each word."""
    generator = np.random.default_rng(seed)
    words = generator.integers(1, WORDS, (BATCH, 8)).astype("int32")
    lengths = generator.integers(0, 9, BATCH)
    words[np.arange(8) >= lengths[:, None]] = 0
    return words, (words % CLASSES).astype("int32")


def tagger(library: Any, kind: str) -> Any:
    """A network that tags words, and skips what is none."""
    made = library.layers
    if kind == "both ways":
        middle = [made.Bidirectional(made.LSTM(6, return_sequences=True))]
    else:
        middle = [
            made.GRU(6, return_sequences=True),
            made.TimeDistributed(made.Dense(5, activation="tanh")),
            made.SimpleRNN(6, return_sequences=True),
        ]
    return library.Sequential(
        [
            made.Input((8,), dtype="int32"),
            made.Embedding(WORDS, 5, mask_zero=True),
            *middle,
            made.LayerNormalization(),
            made.Dense(CLASSES, activation="softmax"),
        ]
    )


@pytest.mark.parametrize("kind", ["both ways", "one way"])
def test_training_on_sentences_is_that_of_keras(kind: str) -> None:
    """Loss and accuracy of words alone, over 20 steps of Adam."""
    words, tags = sentences()
    pair = [tagger(library, kind) for library in (chainrule, keras)]
    same_weights(*pair)
    for model, library in zip(pair, (chainrule, keras), strict=True):
        model.compile(
            library.optimizers.Adam(0.01),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
    mine, theirs = pair
    for _ in range(20):
        found = mine.train_on_batch(words, tags, return_dict=True)
        theirs.reset_metrics()
        expected = theirs.train_on_batch(words, tags, return_dict=True)
        for name in ("loss", "accuracy"):
            assert_close(np.float32(found[name]), np.float32(expected[name]), PARITY)
    for one, two in zip(mine.get_weights(), theirs.weights, strict=True):
        np.testing.assert_allclose(one, numbers(two), rtol=2e-3, atol=2e-4)


def torch_weights(module: Any, name: str) -> list[Array]:
    """The weights of each direction of each layer, as ours are arranged."""
    found = []
    for layer in range(module.num_layers):
        for ending in ("", "_reverse") if module.bidirectional else ("",):
            parts = [
                getattr(module, f"{part}_l{layer}{ending}").detach().numpy()
                for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            if name == "GRU":  # PyTorch has the reset gate first
                order = [np.split(part, 3) for part in parts]
                parts = [np.concatenate([z, r, g]) for r, z, g in order]
                bias = np.stack(parts[2:])
            else:
                bias = parts[2] + parts[3]
            found += [parts[0].T, parts[1].T, bias]
    return [np.ascontiguousarray(part) for part in found]


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("packed", [False, True])
def test_training_is_that_of_pytorch(name: str, packed: bool) -> None:
    """Two layers both ways, their last outputs, 20 steps of SGD with momentum."""
    module = getattr(torch.nn, name)(
        FEATURES, UNITS, num_layers=2, bidirectional=True, batch_first=True
    )
    head = torch.nn.Linear(2 * UNITS, CLASSES)
    if name != "GRU":  # ours have one bias, so only one of theirs may learn
        for parameter, value in module.named_parameters():
            if parameter.startswith("bias_hh"):
                value.requires_grad = False
    kind = {"RNN": layers.SimpleRNN, "LSTM": layers.LSTM, "GRU": layers.GRU}[name]
    made = [layers.Input((STEPS, FEATURES))]
    made += [layers.Masking()] if packed else []
    model = chainrule.Sequential(
        [
            *made,
            layers.Bidirectional(kind(UNITS, return_sequences=True)),
            layers.Bidirectional(kind(UNITS)),
            layers.Dense(CLASSES),
        ]
    )
    weights = [*torch_weights(module, name), head.weight.detach().numpy().T]
    model.set_weights([*weights, head.bias.detach().numpy()])
    loss = chainrule.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(chainrule.optimizers.SGD(0.2, momentum=0.9), loss)
    learnt = [*filter(lambda p: p.requires_grad, module.parameters())]
    optimizer = torch.optim.SGD([*learnt, *head.parameters()], 0.2, momentum=0.9)

    generator = np.random.default_rng(7)
    x = generator.normal(size=(BATCH, STEPS, FEATURES)).astype("float32")
    y = generator.integers(0, CLASSES, BATCH)
    lengths = generator.integers(1, STEPS + 1, BATCH)
    given: Any = torch.tensor(x)
    if packed:
        x[np.arange(STEPS) >= lengths[:, None]] = 0
        pack = torch.nn.utils.rnn.pack_padded_sequence
        given = pack(given, lengths, batch_first=True, enforce_sorted=False)
    for _ in range(20):
        found = float(model.train_on_batch(x, y))
        optimizer.zero_grad()
        _, state = module(given)
        last = state[0] if name == "LSTM" else state
        scores = head(torch.cat([last[-2], last[-1]], dim=1))
        expected = torch.nn.functional.cross_entropy(scores, torch.tensor(y))
        expected.backward()
        optimizer.step()
        assert_close(np.float32(found), np.float32(expected.item()), TRAINING)
