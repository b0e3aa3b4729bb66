"""Training in single batches, while the weights stay where the step has them."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers, optimizers
from chainrule.compiler.native_loop import NativeLoop
from chainrule.errors import OutOfBoundsError
from chainrule.loops import Loop

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(24, 3)).astype("float32")
Y = X[:, :1] - X[:, 1:2]
BATCHES = [slice(0, 8), slice(8, 16), slice(16, 21), slice(0, 8)]


def network(optimizer: Any = "adam", rate: float = 0.0) -> Any:
    parts = [layers.Dense(4, "tanh"), layers.BatchNormalization()]
    parts += [layers.Dropout(rate)] if rate else []
    model = cr.Sequential([layers.Input((3,)), *parts, layers.Dense(1)])
    random = np.random.default_rng(1)
    model.set_weights([random.random(w.shape) for w in model.get_weights()])
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


def step(model: Any, rows: slice) -> Any:
    return model.train_on_batch(X[rows], Y[rows])


def same(found: list[Array], wanted: list[Array]) -> None:
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was copied: states into loops, and states out of them."""
    found: list[str] = []
    begin, state = NativeLoop.begin, NativeLoop.state

    def begin_and_tell(self: Any, *values: Any) -> None:
        found.append("in")
        begin(self, *values)

    def state_and_tell(self: Any) -> Any:
        found.append("out")
        return state(self)

    monkeypatch.setattr(NativeLoop, "begin", begin_and_tell)
    monkeypatch.setattr(NativeLoop, "state", state_and_tell)
    return found


def test_whoever_looks_in_between_changes_nothing() -> None:
    one, other = network(), network()
    seen = []
    for rows in BATCHES:
        assert step(one, rows) == step(other, rows)
        seen.append([*other.get_weights(), other.optimizer.iterations])
        other.predict(X, verbose=0)
        other.evaluate(X, Y, verbose=0)
    same(one.get_weights(), other.get_weights())
    assert [weights[-1] for weights in seen] == [1, 2, 3, 4]
    assert any((a != b).any() for a, b in zip(seen[0][:-1], seen[1][:-1], strict=True))


def test_weights_are_not_copied_from_batch_to_batch(begun: list[str]) -> None:
    model = network()
    for rows in BATCHES:
        step(model, rows)
    assert begun == ["in"]
    model.get_weights()
    step(model, BATCHES[0])
    assert begun == ["in"]


class Looking(cr.callbacks.Callback):
    """Looks at the weights after some batches, or at none."""

    def __init__(self, batches: Any = ()) -> None:
        super().__init__()
        self.batches = batches
        self.seen: list[Array] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch in self.batches:
            self.seen.append(self.model.layers[-1].kernel.numpy())


def test_callbacks_after_batches_copy_what_they_look_at(begun: list[str]) -> None:
    found = []
    for callback in (Looking(), Looking([1, 2])):
        begun.clear()
        model = network()
        model.fit(X, Y, batch_size=8, epochs=3, seed=3, verbose=0, callbacks=[callback])
        # once to begin, and once to leave the memory to others
        assert begun == ["in", "in"]
        found.append(model.get_weights())
    same(*found)
    assert len(callback.seen) == 6
    assert any(
        (a != b).any() for a, b in zip(callback.seen, callback.seen[1:], strict=False)
    )
    plain = network()
    plain.fit(X, Y, batch_size=8, epochs=3, seed=3, verbose=0)
    same(found[0], plain.get_weights())


def test_it_is_what_fit_does() -> None:
    one, other = network(), network()
    for rows in BATCHES[:2]:
        step(one, rows)
    other.fit(X[:16], Y[:16], batch_size=8, shuffle=False, verbose=0)
    same(one.get_weights(), other.get_weights())
    one.fit(X, Y, epochs=2, seed=3, verbose=0)
    other.fit(X, Y, epochs=2, seed=3, verbose=0)
    assert step(one, BATCHES[0]) == step(other, BATCHES[0])
    same(one.get_weights(), other.get_weights())


@pytest.mark.parametrize("look", [False, True])
def test_what_others_change_counts(look: bool) -> None:
    def changed(look: bool) -> list[Array]:
        model = network(optimizers.SGD(0.1, momentum=0.9))
        step(model, BATCHES[0])
        if look:
            model.get_weights()
        kernel = model.layers[-1].kernel
        kernel.assign(np.ones((4, 1), np.float32))
        step(model, BATCHES[1])
        model.optimizer.learning_rate = 0.01
        step(model, BATCHES[2])
        weights: list[Array] = model.get_weights()
        return weights

    by_hand = network(optimizers.SGD(0.1, momentum=0.9))
    for number, rows in enumerate(BATCHES[:3]):
        if number == 1:
            weights = by_hand.get_weights()
            weights[-2] = np.ones((4, 1), np.float32)
            by_hand.set_weights(weights)
        by_hand.optimizer.learning_rate = 0.01 if number == 2 else 0.1
        step(by_hand, rows)
    same(changed(look), by_hand.get_weights())
    assert not np.array_equal(by_hand.get_weights()[-2], np.ones((4, 1)))


@pytest.mark.parametrize("scaled", [False, True])
def test_another_learning_rate_is_handed_to_the_step(
    scaled: bool, begun: list[str]
) -> None:
    optimizer: Any = optimizers.Adam(0.1)
    if scaled:
        optimizer = optimizers.LossScaleOptimizer(optimizer)
    alone = network(optimizers.Adam(lambda step: 0.1 / (1 + step)))
    wanted = [step(alone, rows) for rows in BATCHES]
    begun.clear()
    model = network(optimizer)
    for number, rows in enumerate(BATCHES):
        model.optimizer.learning_rate = 0.1 / (1 + number)
        np.testing.assert_allclose(step(model, rows), wanted[number], rtol=1e-5)
    assert begun == ["in"]
    same(model.get_weights(), alone.get_weights())


def test_copies_have_numbers_of_their_own() -> None:
    model = network()
    step(model, BATCHES[0])
    variable = copy.deepcopy(model.layers[-1].kernel)
    before = model.layers[-1].kernel.numpy()
    step(model, BATCHES[1])
    np.testing.assert_array_equal(variable.numpy(), before)
    assert not np.array_equal(model.layers[-1].kernel.numpy(), before)


def test_a_copy_of_an_optimizer_remembers_the_same() -> None:
    model = network()
    step(model, BATCHES[0])
    copied = copy.deepcopy(model.optimizer)
    step(model, BATCHES[1])
    assert (copied.iterations, model.optimizer.iterations) == (1, 2)


def test_a_step_that_fails_is_followed_by_others() -> None:
    words = cr.Sequential([layers.Embedding(5, 2), layers.Flatten(), layers.Dense(1)])
    words.compile("sgd", "mse")
    x, y = np.array([[1, 2], [3, 4]]), np.array([[0.0], [1.0]])
    words.train_on_batch(x, y)
    before = words.get_weights()
    with pytest.raises(OutOfBoundsError):
        words.train_on_batch(x + 1, y)
    same(words.get_weights(), before)
    words.train_on_batch(x, y)
    assert any((a != b).any() for a, b in zip(words.get_weights(), before, strict=True))


@pytest.mark.parametrize("attended", [False, True])
def test_single_batches_follow_fit(attended: bool) -> None:
    one, other = network(), network()
    for model in (one, other):
        callbacks = [Looking()] * (attended and model is one)
        model.fit(X, Y, batch_size=8, seed=3, verbose=0, callbacks=callbacks)
        step(model, BATCHES[0])
    same(one.get_weights(), other.get_weights())


def test_models_that_share_layers_take_turns() -> None:
    results = []
    for look in (False, True):
        shared = layers.Dense(2, kernel_initializer="ones")
        models = []
        for _ in range(2):
            start = layers.Input((3,))
            last = layers.Dense(1, kernel_initializer="ones")
            models.append(cr.Model(start, last(shared(start))))
            models[-1].compile(optimizers.Adam(0.1), "mse")
        for rows in BATCHES:
            for model in models:
                step(model, rows)
                if look:
                    shared.get_weights()
        results.append([w for model in models for w in model.get_weights()])
    same(*results)


def test_one_optimizer_for_two_models() -> None:
    optimizer = optimizers.Adam(0.1)
    models = [network(optimizer), network(optimizer)]
    alone = network(optimizers.Adam(0.1))
    for rows in BATCHES:
        found = [step(model, rows) for model in models]
        assert found[0] == found[1] == step(alone, rows)
    same(models[1].get_weights(), alone.get_weights())


def test_a_model_is_saved_as_it_is(tmp_path: Any) -> None:
    model = network()
    for rows in BATCHES[:2]:
        step(model, rows)
    model.save(tmp_path / "model.chainrule")
    again = cr.load_model(tmp_path / "model.chainrule")
    same(again.get_weights(), model.get_weights())
    assert step(again, BATCHES[2]) == step(model, BATCHES[2])
    same(again.get_weights(), model.get_weights())


def test_dropout_differs_from_batch_to_batch() -> None:
    cr.set_seed(0)
    model = network(optimizers.SGD(0.0), rate=0.5)
    losses = {step(model, BATCHES[0])[0] for _ in range(4)}
    assert len(losses) == 4


def test_other_threads_see_whole_steps() -> None:
    """All weights that somebody reads while steps run are finite, and of one shape."""
    model = network(optimizers.SGD(0.0))
    step(model, BATCHES[0])
    wanted = [weight for weight in model.get_weights() if weight.shape != (4,)]
    found: list[list[Array]] = []

    def look() -> None:
        for _ in range(50):
            found.append([w for w in model.get_weights() if w.shape != (4,)])

    with ThreadPoolExecutor(2) as threads:
        looking = [threads.submit(look) for _ in range(2)]
        while not all(each.done() for each in looking):
            step(model, BATCHES[0])
        for each in looking:
            each.result()
    for weights in found:
        same(weights, wanted)


def test_what_was_lent_is_read_before_the_loop_begins_anew() -> None:
    def add(state: Any, x: Any) -> Any:
        return {"sum": [value + cr.sum(x) for value in state["sum"]]}, None

    loop = Loop(add)
    loop.begin({"sum": [cr.asarray(0.0), cr.asarray(5.0)]}, np.ones(4, np.float32))
    lent, whole = loop.lend("sum", 1), loop.lend("sum")
    loop.run(np.arange(4), 2)
    assert lent.value is None
    loop.begin({"sum": [cr.asarray(1.0), cr.asarray(1.0)]}, np.ones(4, np.float32))
    assert lent().item() == 9.0
    assert [value.item() for value in whole()] == [4.0, 9.0]
    assert lent() is lent.value
