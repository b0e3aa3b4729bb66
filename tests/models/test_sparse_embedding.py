"""Embeddings of which training moves only the vectors that a batch used."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers, optimizers, trace_step
from chainrule.autodiff.rows import RowGradient
from chainrule.compiler import plan
from chainrule.compiler.native_loop import NativeLoop
from chainrule.compiler.plan import make_plan
from chainrule.compiler.program import Program
from chainrule.compiler.traffic import touched_bytes
from chainrule.errors import ArgumentError
from tests.tolerances import assert_close

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(1)
WORDS, WIDTH = 40, 5
X = RANDOM.integers(0, WORDS, (22, 7)).astype("int32")
Y = RANDOM.integers(0, 3, 22).astype("int32")
DATA = {
    "some": X,
    "all the same": np.full_like(X, 3),
    "each once": np.arange(22, dtype="int32")[:, None],
    "few words": X % 4,
    "padded": np.where(np.arange(7) < RANDOM.integers(0, 8, (22, 1)), X, 0),
}


def network(
    sparse: bool, optimizer: Any = "sgd", words: int = WORDS, **options: Any
) -> Any:
    model = cr.Sequential(
        [
            layers.Input((None,), dtype="int32"),
            layers.Embedding(words, WIDTH, mask_zero=True, sparse=sparse),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3, "softmax"),
        ]
    )
    random = np.random.default_rng(0)
    model.set_weights(
        [random.normal(size=w.shape).astype("float32") for w in model.get_weights()]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", **options)
    return model


def trained(model: Any, x: Array = X, **options: Any) -> list[Array]:
    settings = {"batch_size": 8, "epochs": 2, "verbose": 0, "seed": 0}
    model.fit(x, Y[: len(x)], **(settings | options))
    weights: list[Array] = model.get_weights()
    return weights


def assert_same(found: list[Array], wanted: list[Array]) -> None:
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_numbers_are_those_of_all_rows(optimizer: str, data: str) -> None:
    by_rows = trained(network(True, optimizer), DATA[data])
    assert_same(by_rows, trained(network(False, optimizer), DATA[data]))


@pytest.mark.parametrize("data", DATA)
def test_adam_moves_the_vectors_of_a_batch_alone(data: str) -> None:
    model = network(True, "adam")
    before = model.get_weights()[0]
    trained(model, DATA[data], batch_size=22, epochs=1)
    moved = np.flatnonzero((model.get_weights()[0] != before).any(axis=1))
    used = np.unique(DATA[data])
    assert set(moved) <= set(used)
    assert len(moved) >= len(used) - 1  # no gradient comes to what is masked
    slots = model._optimizer_state()["slots"][0]
    for slot in ("mean", "square"):
        assert set(np.flatnonzero(slots[slot][0].numpy().any(axis=1))) <= set(used)


@pytest.mark.parametrize("optimizer", ["adam", "nadam", "rmsprop"])
def test_compiled_and_reference_agree(optimizer: str) -> None:
    wanted = trained(network(True, optimizer, run_eagerly=True))
    for found, other in zip(trained(network(True, optimizer)), wanted, strict=True):
        assert_close(found, other)


def step_of(model: Any, x: Array = X) -> tuple[Any, int, list[Array], list[Array]]:
    """The graph of a step, how much is donated, its state, and the data."""
    y = Y[: len(x)]
    model.train_on_batch(x, y)
    loop, store = model._runtime.train, model._runtime.store
    state = store.training(cr.random.key(0), cr.asarray(0))
    loop.begin(state, {"x": x, "y": y})
    graph, _ = loop.graph(8)
    arrays = loop._loops.state()
    return graph, len(arrays), arrays, [x, y]


@pytest.mark.parametrize("scaled", [False, True])
def test_any_number_of_threads_gives_the_same_bits(
    scaled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    optimizer: Any = optimizers.Adam(global_clipnorm=0.1)
    if scaled:
        optimizer = optimizers.LossScaleOptimizer(optimizers.Adam())
    graph, count, state, data = step_of(network(True, optimizer))
    results = []
    for threads in (1, 2, 3):
        loop = NativeLoop()
        donations = [(i, i) for i in range(count)]
        loop._programs[graph] = Program(graph, donations, threads=threads)
        loop.begin(state, data)
        loop.run(graph, np.arange(16), 8, [])
        results.append(loop.state())
    for other in results[1:]:
        assert_same(results[0], other)
    assert any((a != b).any() for a, b in zip(results[0], state, strict=True))


KINDS: dict[str, Any] = {
    "sgd": lambda: "sgd",
    "adam": lambda: optimizers.AdamW(global_clipnorm=1.0),
    "scaled": lambda: optimizers.LossScaleOptimizer(optimizers.Adam()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_work_of_a_step_does_not_grow_with_the_vocabulary(kind: str) -> None:
    costs = []
    for words in (1000, 50_000):
        graph, count, _, _ = step_of(network(True, KINDS[kind](), words=words))
        made = make_plan(graph, [(i, i) for i in range(count)])
        costs.append(
            (
                made.arena.nbytes,
                sum(map(touched_bytes, made.steps)),
                sum(step.work for step in made.steps),
            )
        )
    assert costs[0] == costs[1]
    assert costs[0][1] < 100_000


def test_a_shared_embedding_gets_the_gradients_of_all_its_lookups() -> None:
    results = []
    for sparse in (True, False):
        table = layers.Embedding(WORDS, WIDTH, sparse=sparse)
        one, two = (layers.Input((7,), dtype="int32") for _ in range(2))
        both = layers.Concatenate()([table(one), table(two)])
        scores = layers.Dense(3, "softmax")(layers.Flatten()(both))
        model = cr.Model([one, two], scores)
        random = np.random.default_rng(0)
        model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit([X, X[::-1]], Y, batch_size=8, epochs=2, verbose=0, seed=0)
        results.append(model.get_weights())
    for found, wanted in zip(*results, strict=True):  # sums are in another order
        assert_close(found, wanted)


class Own(cr.Model):
    """A step of its own, which gets the gradients in its hands."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        self.table = layers.Embedding(WORDS, WIDTH, sparse=sparse)
        self.dense = layers.Dense(1)
        self.kinds: list[bool] = []

    def call(self, inputs: Any) -> Any:
        return self.dense(cr.mean(self.table(inputs), axis=1))

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data

        def loss_of() -> Any:
            return cr.mean((self(x, training=True)[:, 0] - y) ** 2)

        loss, gradients = self.value_and_grad(loss_of)
        self.kinds = [isinstance(g, RowGradient) for g in gradients]
        doubled = [2 * gradient for gradient in gradients]
        self.optimizer.apply(doubled, self.trainable_variables)
        return {"loss": loss}


def test_steps_of_ones_own() -> None:
    results = []
    for sparse in (True, False):
        model = Own(sparse)
        model(X[:1])
        random = np.random.default_rng(0)
        model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
        model.compile("sgd")
        trained(model)
        assert model.kinds == [sparse, False, False]
        results.append(model.get_weights())
    assert_same(*results)


def test_single_batches_are_those_of_fit() -> None:
    one, other = network(True, "adam"), network(True, "adam")
    for start in (0, 8):
        one.train_on_batch(X[start : start + 8], Y[start : start + 8])
    other.fit(X[:16], Y[:16], batch_size=8, verbose=0, shuffle=False)
    assert_same(one.get_weights(), other.get_weights())


def test_a_run_that_is_resumed_gives_the_same_bits(tmp_path: Any) -> None:
    whole = trained(network(True, "adam"), epochs=4)
    trained(network(True, "adam"), resume=tmp_path)
    assert_same(trained(network(True, "adam"), epochs=4, resume=tmp_path), whole)


def test_it_is_saved_with_the_model(tmp_path: Any) -> None:
    model = network(True, "adam")
    trained(model)
    model.save(tmp_path / "model.chainrule")
    again = cr.load_model(tmp_path / "model.chainrule")
    assert again.layers[0].sparse
    assert again.layers[0].embeddings.sparse
    assert_same(again.get_weights(), model.get_weights())
    assert_same(trained(again), trained(model))
    copied = layers.Embedding.from_config(
        layers.Embedding(4, 2, sparse=True).get_config()
    )
    assert copied.sparse
    assert not layers.Embedding(4, 2).sparse


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_other_dtypes(policy: str) -> None:
    cr.set_dtype_policy(policy)
    try:
        model = network(True, "adam")
        before = model.layers[0].embeddings.numpy()
        trained(model, X[:8], epochs=1)
    finally:
        cr.set_dtype_policy("float32")
    table = model.layers[0].embeddings
    assert table.dtype.name == ("bfloat16" if policy == "bfloat16" else "float32")
    moved = np.flatnonzero((table.numpy() != before).any(axis=1))
    assert len(moved) > 5
    assert set(moved) <= set(np.unique(X[:8]))


def test_a_step_can_be_shown() -> None:
    model = network(True, optimizers.Adam(0.1))
    step = trace_step(model, X[:2], Y[:2])
    (table,) = (w for w in step.layers[0].weights if w.name == "embeddings")
    moved = np.flatnonzero((table.before != table.after).any(axis=1))
    slopes = np.flatnonzero(np.asarray(table.gradient).any(axis=1))
    assert set(slopes) <= set(moved) <= set(np.unique(X[:2]))
    assert table.gradient.shape == (WORDS, WIDTH)


# ---- what cannot be ------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"embeddings_regularizer": "l2"}, {"embeddings_constraint": "non_neg"}]
)
def test_what_is_about_all_vectors_is_refused(options: dict[str, str]) -> None:
    (name,) = options
    with pytest.raises(ArgumentError, match=f"{name} is about all vectors"):
        layers.Embedding(WORDS, WIDTH, sparse=True, **options)
    layers.Embedding(WORDS, WIDTH, **options)


def test_a_way_back_uses_all_vectors() -> None:
    with pytest.raises(ArgumentError, match="tie_weights=False"):
        layers.ReversibleEmbedding(WORDS, WIDTH, sparse=True)
    layer = layers.ReversibleEmbedding(WORDS, WIDTH, tie_weights=False, sparse=True)
    layer.build_for((None, None))
    assert [v.sparse for v in layer.weights] == [True, False]


@pytest.mark.parametrize("optimizer", ["lamb", "adafactor"])
def test_an_optimizer_that_needs_all_rows_is_refused(optimizer: str) -> None:
    model = network(True, optimizer)
    with pytest.raises(ArgumentError, match="sparse=False"):
        trained(model)


class Product(layers.Layer):
    """Scores for every word, by the table that words are looked up in."""

    def __init__(self, table: Any) -> None:
        super().__init__()
        self.table = table

    def call(self, inputs: Any) -> Any:
        return cr.softmax(
            cr.matmul(inputs, cr.matrix_transpose(self.table.embeddings.value))
        )


def test_a_table_that_is_used_otherwise_is_moved_whole_with_a_warning() -> None:
    results = []
    for sparse in (True, False):
        table = layers.Embedding(WORDS, WIDTH, sparse=sparse)
        pooling = layers.GlobalAveragePooling1D()
        model = cr.Sequential([layers.Input((7,)), table, pooling, Product(table)])
        random = np.random.default_rng(0)
        model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
        model.compile("adam", "sparse_categorical_crossentropy")
        if sparse:
            with pytest.warns(UserWarning, match="All its rows are moved"):
                trained(model)
        else:
            trained(model)
        results.append(model.get_weights())
    assert_same(*results)


def test_nothing_else_knows_of_it() -> None:
    assert re.search(r"sparse=True", repr(layers.Embedding(4, 2, sparse=True)))
    assert "sparse" not in repr(layers.Embedding(4, 2))
