"""Attention and blocks of Transformers against Keras and PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
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


def draw(*shape: int, seed: int = 0) -> Array:
    generator = np.random.default_rng((seed, *shape))
    return generator.normal(size=shape).astype("float32") * 0.5


def numbers(tensor: Any) -> Array:
    found: Array = getattr(tensor, "value", tensor).detach().numpy()
    return found


def same_weights(mine: Any, theirs: Any) -> None:
    values = [draw(*w.shape, seed=10 + i) for i, w in enumerate(theirs.weights)]
    for variable, value in zip(theirs.weights, values, strict=True):
        variable.assign(value)
    mine.set_weights(values)


def slopes(
    mine: Any, call: Callable[..., Any], inputs: list[Array], cotangent: Array
) -> list[Array]:
    """Gradients for the inputs, then for the weights."""
    variables = mine.trainable_weights

    def function(*values: Any) -> Any:
        with substitute(variables, values[len(inputs) :]):
            return call(mine, *values[: len(inputs)])

    points = [*inputs, *(variable.numpy() for variable in variables)]
    _, pullback = vjp(function, *map(functional.asarray, points))
    return [g.numpy() for g in pullback(functional.asarray(cotangent))]


def both_agree(
    mine: Any, theirs: Any, call: Callable[..., Any], inputs: list[Array]
) -> None:
    """Outputs and gradients."""
    for layer in (mine, theirs):
        call(layer, *inputs)
    same_weights(mine, theirs)
    given = [torch.tensor(x, requires_grad=True) for x in inputs]
    expected = call(theirs, *given)
    assert_close(call(mine, *inputs).numpy(), numbers(expected), PARITY)
    cotangent = draw(*expected.shape, seed=5)
    leaves = [*given, *(w.value for w in theirs.trainable_weights)]
    wanted = torch.autograd.grad(expected, leaves, torch.tensor(cotangent))
    for found, other in zip(slopes(mine, call, inputs, cotangent), wanted, strict=True):
        assert_close(found, other.numpy(), PARITY)


MASK = np.random.default_rng(1).random((3, 5, 7)) < 0.6
MASK[..., 0] = True  # what Keras gives for a query that sees nothing is not defined
STEPS = np.random.default_rng(2).random((3, 7)) < 0.6
STEPS[:, 0] = True

HEADS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"value_dim": 6, "output_shape": (2, 3)}, {}),
    ({"use_bias": False}, {"attention_mask": MASK}),
    ({"use_gate": True}, {"value_mask": STEPS}),
    ({"sliding_window": 5}, {"attention_mask": MASK}),
    ({}, {"attention_mask": MASK[:1]}),
]


@pytest.mark.parametrize(("arguments", "options"), HEADS)
def test_heads_are_those_of_keras(
    arguments: dict[str, Any], options: dict[str, Any]
) -> None:
    names = {"num_heads": 2, "key_dim": 4, **arguments}
    mine, theirs = (m.layers.MultiHeadAttention(**names) for m in (chainrule, keras))
    both_agree(
        mine,
        theirs,
        lambda layer, *inputs: layer(*inputs, **options),
        [draw(3, 5, 8), draw(3, 7, 6), draw(3, 7, 4)],
    )


@pytest.mark.parametrize("window", [None, 3])
def test_causal_heads_are_those_of_keras(window: int | None) -> None:
    names = {"num_heads": 2, "key_dim": 4, "sliding_window": window}
    mine, theirs = (m.layers.MultiHeadAttention(**names) for m in (chainrule, keras))
    x = draw(3, 6, 8)
    both_agree(mine, theirs, lambda m, x: m(x, x, use_causal_mask=True), [x])
    options = {"use_causal_mask": True, "return_attention_scores": True}
    weights = mine(x, x, **options)[1].numpy()
    assert_close(weights, numbers(theirs(x, x, **options)[1]), PARITY)


@pytest.mark.parametrize("axes", [None, (2,), (1,), (-2, 1)])
def test_axes_are_those_of_keras(axes: Any) -> None:
    names = {"num_heads": 2, "key_dim": 4, "attention_axes": axes}
    mine, theirs = (m.layers.MultiHeadAttention(**names) for m in (chainrule, keras))
    x = draw(2, 3, 4, 6)
    both_agree(mine, theirs, lambda layer, x: layer(x, x), [x])
    options = {"return_attention_scores": True}
    weights = mine(x, x, **options)[1].numpy()
    assert_close(weights, numbers(theirs(x, x, **options)[1]), PARITY)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ({}, {}),
        ({"use_bias": False, "use_gate": True}, {"attention_mask": MASK}),
        ({"sliding_window": 3}, {"use_causal_mask": True}),
    ],
)
def test_groups_are_those_of_keras(
    arguments: dict[str, Any], options: dict[str, Any]
) -> None:
    names = {"head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2}
    mine, theirs = (
        m.layers.GroupQueryAttention(**names, **arguments) for m in (chainrule, keras)
    )
    keys = 5 if "use_causal_mask" in options else 7
    both_agree(
        mine,
        theirs,
        lambda layer, *inputs: layer(*inputs, **options),
        [draw(3, 5, 8), draw(3, keys, 6)],
    )
    x, options = draw(3, 5, 8), {**options, "return_attention_scores": True}
    others = draw(3, keys, 6)
    weights = mine(x, others, **options)[1].numpy()
    assert_close(weights, numbers(theirs(x, others, **options)[1]), PARITY)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Attention", {}),
        ("Attention", {"use_scale": True}),
        ("Attention", {"score_mode": "concat", "use_scale": True}),
        ("Attention", {"score_mode": "concat"}),
        ("AdditiveAttention", {}),
        ("AdditiveAttention", {"use_scale": False}),
    ],
)
def test_attention_without_projections_is_that_of_keras(
    name: str, arguments: dict[str, Any], masked: bool
) -> None:
    mine, theirs = (getattr(m.layers, name)(**arguments) for m in (chainrule, keras))
    inputs = [draw(3, 5, 4), draw(3, 7, 6), draw(3, 7, 4)]
    mask = [STEPS[:, :5], STEPS] if masked else None

    def call(layer: Any, *inputs: Any, **options: Any) -> Any:
        given = mask
        if mask is not None and layer is theirs:
            given = [torch.tensor(m) for m in mask]
        return layer(list(inputs), mask=given, use_causal_mask=masked, **options)

    both_agree(mine, theirs, call, inputs)
    found, expected = (
        call(layer, *map(convert, inputs), return_attention_scores=True)
        for layer, convert in ((mine, np.asarray), (theirs, torch.tensor))
    )
    for one, two in zip(found, expected, strict=True):
        assert_close(one.numpy(), numbers(two), PARITY)


def test_masks_of_embeddings_are_seen_as_in_keras() -> None:
    words = np.array([[3, 4, 1, 0], [5, 0, 0, 0]])
    others = np.array([[3, 0, 0], [5, 1, 2]])
    found = []
    for module in (chainrule, keras):
        chosen = module.layers.Embedding(9, 8, mask_zero=True)
        one, two = chosen(words), chosen(others)
        heads = module.layers.MultiHeadAttention(2, 4)
        heads(one, two)
        found.append((chosen, heads))
    for mine, theirs in zip(*found, strict=True):
        same_weights(mine, theirs)
    (mine, heads), (theirs, their_heads) = found
    y = heads(mine(words), mine(others)).numpy()
    expected = numbers(their_heads(theirs(words), theirs(others)))
    counts = words > 0  # what stands in padding is nobody's
    assert_close(y[counts], expected[counts], PARITY)


# ---- PyTorch -------------------------------------------------------------------------


def shaken(module: Any) -> Any:
    """A module whose biases and scales are not 0 and 1."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return module.eval()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [{}, {"kdim": 6, "vdim": 4}])
def test_heads_with_weights_of_torch(bias: bool, sizes: dict[str, int]) -> None:
    torch.manual_seed(0)
    module = torch.nn.MultiheadAttention(8, 2, bias=bias, batch_first=True, **sizes)
    shaken(module)
    query, key, value = (
        draw(3, n, width)
        for n, width in ((5, 8), (7, sizes.get("kdim", 8)), (7, sizes.get("vdim", 8)))
    )
    inputs = [chainrule.Input(x.shape[1:]) for x in (query, value, key)]
    heads = layers.MultiHeadAttention(2, 4, use_bias=bias)
    model = chainrule.Model(inputs, heads(*inputs))
    report = model.load_weights(module.state_dict(), layout="torch")
    assert report.complete
    expected, weights = module(
        *map(torch.tensor, (query, key, value)), average_attn_weights=False
    )
    found = model.predict([query, value, key], verbose=0)
    assert_close(found, numbers(expected), PARITY)
    scores = heads(query, value, key, return_attention_scores=True)[1]
    assert_close(scores.numpy(), numbers(weights), PARITY)


def encoder(first: bool, activation: str) -> Any:
    layer = torch.nn.TransformerEncoderLayer(
        8, 2, 12, 0.0, activation, batch_first=True, norm_first=first
    )
    norm = torch.nn.LayerNorm(8) if first else None
    return torch.nn.TransformerEncoder(layer, 2, norm, enable_nested_tensor=False)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_stacks_with_weights_of_torch(first: bool, causal: bool) -> None:
    torch.manual_seed(0)
    module = shaken(encoder(first, "relu"))
    inputs = x = chainrule.Input((None, 8))
    kind = layers.TransformerDecoder if causal else layers.TransformerEncoder
    for _ in range(2):
        x = kind(12, 2, normalize_first=first)(x)
    if first:
        x = layers.LayerNormalization(epsilon=1e-5)(x)
    model = chainrule.Model(inputs, x)
    report = model.load_weights(module.state_dict(), layout="torch")
    assert report.complete
    data = draw(3, 6, 8)
    mask = torch.triu(torch.ones(6, 6, dtype=torch.bool), 1) if causal else None
    expected = module(torch.tensor(data), mask=mask)
    assert_close(model.predict(data, verbose=0), numbers(expected), PARITY)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("first", [False, True])
def test_translators_with_weights_of_torch(first: bool) -> None:
    torch.manual_seed(0)
    module = shaken(
        torch.nn.Transformer(
            8, 2, 2, 2, 12, 0.0, "relu", batch_first=True, norm_first=first
        )
    )
    source, target = chainrule.Input((None, 8)), chainrule.Input((None, 8))
    read, said = source, target
    for _ in range(2):
        read = layers.TransformerEncoder(12, 2, normalize_first=first)(read)
    read = layers.LayerNormalization(epsilon=1e-5)(read)
    for _ in range(2):
        said = layers.TransformerDecoder(12, 2, normalize_first=first)(said, read)
    said = layers.LayerNormalization(epsilon=1e-5)(said)
    model = chainrule.Model([source, target], said)
    assert model.load_weights(module.state_dict(), layout="torch").complete
    x, y = draw(3, 6, 8), draw(3, 4, 8)
    mask = torch.triu(torch.ones(4, 4, dtype=torch.bool), 1)
    expected = module(torch.tensor(x), torch.tensor(y), tgt_mask=mask)
    assert_close(model.predict([x, y], verbose=0), numbers(expected), PARITY)


def test_padding_is_seen_as_in_torch() -> None:
    torch.manual_seed(0)
    module = shaken(encoder(True, "gelu"))
    inputs = chainrule.Input((None, 8))
    x = inputs
    for _ in range(2):
        x = layers.TransformerEncoder(12, 2, activation="gelu", normalize_first=True)(x)
    model = chainrule.Model(inputs, layers.LayerNormalization(epsilon=1e-5)(x))
    model.load_weights(module.state_dict(), layout="torch")
    mask = np.arange(6) < np.array([[4], [6], [1]])
    data = draw(3, 6, 8)
    expected = module(torch.tensor(data), src_key_padding_mask=torch.tensor(~mask))
    found = chainrule.functional.asarray(data)
    for block in model.layers[1:3]:
        found = block(found, padding_mask=mask)
    found = model.layers[3](found)
    assert_close(found.numpy()[mask], numbers(expected)[mask], PARITY)


def test_training_is_that_of_torch() -> None:
    """A stack of two blocks with Adam, step after step."""
    torch.manual_seed(0)
    module = shaken(encoder(False, "relu"))
    inputs = chainrule.Input((6, 8))
    x = layers.TransformerEncoder(12, 2)(inputs)
    model = chainrule.Model(inputs, layers.TransformerEncoder(12, 2)(x))
    model.compile(chainrule.optimizers.Adam(1e-3, epsilon=1e-8), "mse")
    model.load_weights(module.state_dict(), layout="torch")
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    data, wanted = draw(16, 6, 8), draw(16, 6, 8, seed=1)
    for _ in range(20):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(
            module(torch.tensor(data)), torch.tensor(wanted)
        )
        loss.backward()
        optimizer.step()
        found = model.train_on_batch(data, wanted)
        found = found[0] if isinstance(found, list) else found
        assert_close(np.float32(found), np.float32(loss.item()), TRAINING)
