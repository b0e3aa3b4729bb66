"""What `compile(augmentation=...)` does to a step, and to nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import Model, Sequential, functional, layers
from chainrule.errors import ArgumentError
from chainrule.layers import Layer
from chainrule.training.augmentation import Augmenter
from chainrule.utils import to_categorical

Array = np.ndarray[Any, Any]


class Seen(layers.Layer):
    """The mean of the pictures that a network is given, kept as its weight."""

    def build(self, input_shape: Any) -> None:
        self.mean = self.add_weight("mean", input_shape[1:], "zeros", trainable=False)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            self.mean.assign(functional.mean(inputs, axis=0))
        return inputs


def data(rows: int = 40, seed: int = 0) -> tuple[Array, Array]:
    draw = np.random.default_rng(seed)
    y = draw.integers(0, 3, rows)
    x = draw.normal(size=(rows, 6, 6, 2)) + y[:, None, None, None]
    return x.astype("float32"), y


def network(seed: int = 0) -> Any:
    chainrule.random.set_seed(seed)
    return Sequential(
        [
            layers.Conv2D(4, 3, activation="relu", input_shape=(6, 6, 2)),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(3, activation="softmax"),
        ]
    )


SPARSE = "sparse_categorical_crossentropy"
CHAIN: list[Layer] = [
    layers.ZeroPadding2D(1),
    layers.RandomCrop(6, 6),
    layers.RandomFlip(),
    layers.RandomTranslation(0.2, 0.2),
]


def weights(model: Any) -> Array:
    return np.concatenate([w.ravel() for w in model.get_weights()])


def trained(augmentation: Any, seed: int = 5, **options: Any) -> tuple[Array, Any]:
    model = network()
    x, y = data()
    model.compile("sgd", SPARSE, metrics=["accuracy"], augmentation=augmentation)
    history = model.fit(x, y, 16, 3, verbose=0, seed=seed, **options)
    return weights(model), history.history


def test_the_network_is_trained_on_changed_pictures_alone() -> None:
    """What it sees while training is inverted, and while it is measured not."""
    x, y = data(16)
    model = Sequential([Seen(), layers.Flatten(), layers.Dense(3)])
    invert = layers.RandomInvert((1.0, 1.0), value_range=(0, 10))
    model.compile("sgd", "mse", augmentation=invert)
    model.fit(x, to_categorical(y, 3), batch_size=16, verbose=0)
    seen = model.layers[0].mean.numpy()
    np.testing.assert_allclose(seen, 10 - x.mean(axis=0), rtol=1e-5)
    before = model.evaluate(x, to_categorical(y, 3), verbose=0)
    expected = np.mean((model.predict(x, verbose=0) - to_categorical(y, 3)) ** 2)
    np.testing.assert_allclose(before, expected, rtol=1e-5)
    model.train_on_batch(x + 1, to_categorical(y, 3))
    np.testing.assert_allclose(
        model.layers[0].mean.numpy(), 9 - x.mean(axis=0), rtol=1e-5
    )


def test_the_seed_decides_and_every_step_differs() -> None:
    first, one = trained(CHAIN)
    again, two = trained(CHAIN)
    np.testing.assert_array_equal(first, again)
    assert one == two
    assert (first != trained(CHAIN, seed=6)[0]).any()
    assert (first != trained(None)[0]).any()
    assert (first != trained(layers.RandomFlip())[0]).any()
    x, y = data(16)
    model = Sequential([Seen(), layers.Flatten(), layers.Dense(3, "softmax")])
    model.compile("sgd", SPARSE, augmentation=[layers.RandomTranslation(0.4, 0.4)])
    means = []
    for _ in range(3):
        model.fit(x, y, batch_size=16, verbose=0, shuffle=False)
        means.append(model.layers[0].mean.numpy())
    assert (means[0] != means[1]).any()
    assert (means[1] != means[2]).any()


def test_without_augmentation_nothing_is_otherwise() -> None:
    """An empty list changes no bit, so what networks draw is not touched by it."""
    np.testing.assert_array_equal(trained(None)[0], trained([])[0])


def test_threads_and_the_reference_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = [*CHAIN, layers.RandomErasing(value_range=(-3, 3))]
    found, _ = trained(chain)
    model = network()
    x, y = data()
    model.compile("sgd", SPARSE, augmentation=chain, run_eagerly=True)
    model.fit(x, y, 16, 3, verbose=0, seed=5)
    np.testing.assert_allclose(weights(model), found, atol=1e-4)


def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole, _ = trained(CHAIN)
    x, y = data()

    class Stop(chainrule.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 0:
                raise KeyboardInterrupt

    for callbacks in ([Stop()], []):
        model = network()
        model.compile("sgd", SPARSE, metrics=["accuracy"], augmentation=CHAIN)
        model.fit(
            x,
            y,
            16,
            3,
            verbose=0,
            seed=5,
            callbacks=callbacks,
            resume=tmp_path / "run",
            checkpoint_every=1,
        )
    np.testing.assert_array_equal(weights(model), whole)


def test_it_is_saved_with_the_model(tmp_path: Path) -> None:
    model = network()
    x, y = data()
    model.compile("sgd", SPARSE, augmentation=CHAIN)
    model.fit(x, y, 16, verbose=0, seed=1)
    path = model.save(tmp_path / "model.chainrule")
    again = chainrule.load_model(path)
    kept = again._objective.augmentation.layers
    assert [layer.get_config() for layer in kept] == [
        layer.get_config() for layer in CHAIN
    ]
    model.fit(x, y, 16, verbose=0, seed=2)
    again.fit(x, y, 16, verbose=0, seed=2)
    np.testing.assert_array_equal(weights(again), weights(model))


@pytest.mark.parametrize("mix", [layers.MixUp(1.0), layers.CutMix()], ids=repr)
def test_labels_are_mixed_with_their_pictures(mix: Layer) -> None:
    """A network that returns its pictures has labels that are the same numbers."""
    rows = 12
    y = np.eye(rows, dtype="float32")
    x = np.broadcast_to(y[:, None, None], (rows, 4, 4, rows)).astype("float32")
    model = Sequential([layers.GlobalAveragePooling2D(), Scale()])
    model.compile("sgd", "mse", augmentation=mix)
    loss = model.fit(x, y, batch_size=rows, verbose=0, seed=0).history["loss"][0]
    tolerance = 1e-10 if isinstance(mix, layers.MixUp) else 0.01
    assert loss < tolerance
    model.compile("sgd", "mse")
    assert model.evaluate(x, y, batch_size=rows, verbose=0) < 1e-10


class Scale(layers.Layer):
    """Multiplies with 1, so that there is something to train."""

    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight("factor", (), "ones")

    def call(self, inputs: Any) -> Any:
        return inputs * self.factor.value


def test_weights_of_samples_are_mixed() -> None:
    rows = 20
    x = np.broadcast_to(np.eye(rows)[:, None, None], (rows, 2, 2, rows))
    weight = np.arange(rows, dtype="float32")
    batch = {
        "x": x.astype("float32"),
        "y": np.zeros((rows, 1)),
        "sample_weight": weight,
    }
    augmenter = Augmenter(layers.MixUp(2.0))
    batch = {name: functional.asarray(part) for name, part in batch.items()}
    made = augmenter(batch, chainrule.random.key(1), [])
    shares = made["x"].numpy()[:, 0, 0]
    np.testing.assert_allclose(
        made["sample_weight"].numpy(), shares @ weight, rtol=1e-5
    )
    assert (made["sample_weight"].numpy() != weight).any()


def test_classes_by_number_are_refused_with_the_line_that_mends_it() -> None:
    x, y = data()
    model = network()
    for loss in (SPARSE, "crossentropy"):
        model.compile("sgd", loss, augmentation=layers.MixUp())
        with pytest.raises(ArgumentError, match="to_categorical"):
            model.fit(x, y, verbose=0)
    model.compile(
        "sgd",
        "categorical_crossentropy",
        metrics=["accuracy"],
        augmentation=[layers.MixUp(), layers.CutMix()],
    )
    history = model.fit(x, to_categorical(y), verbose=0).history
    assert set(history) == {"loss", "accuracy"}


def test_yes_and_no_may_be_mixed() -> None:
    x, y = data()
    model = Sequential([layers.Flatten(), layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", "binary_crossentropy", augmentation=layers.MixUp())
    history = model.fit(x, (y > 1).astype("int64"), verbose=0).history
    assert np.isfinite(history["loss"][0])


@pytest.mark.parametrize("channels", [0, 1])
def test_labels_that_are_pictures_move_along(channels: int) -> None:
    """A network that returns its pictures: flipped as they are, labels are the same."""
    x = np.random.default_rng(0).normal(size=(20, 7, 5, 1)).astype("float32")
    y = x if channels else x[..., 0]
    parts: list[Layer] = [Scale()] if channels else [Scale(), layers.Reshape((7, 5))]
    model = Sequential(parts)
    chain = [layers.ZeroPadding2D(2), layers.RandomCrop(7, 5), layers.RandomFlip()]
    model.compile("sgd", "mse", augmentation=layers.Pipeline(chain))
    loss = model.fit(x, y, batch_size=20, verbose=0).history["loss"][0]
    assert loss < 1e-12


def test_outputs_have_labels_of_their_own() -> None:
    x, y = data()
    inputs = chainrule.Input((6, 6, 2))
    flat = layers.Flatten()(inputs)
    outputs = [layers.Dense(3, name="kind")(flat), layers.Dense(1, name="size")(flat)]
    model = Model(inputs, outputs)
    model.compile("sgd", "mse", augmentation=layers.MixUp())
    targets = {"kind": to_categorical(y), "size": y[:, None].astype("float32")}
    history = model.fit(x, targets, verbose=0).history
    assert "kind_loss" in history


def test_a_step_of_ones_own_is_given_changed_pictures() -> None:
    class Own(Model):
        def __init__(self) -> None:
            super().__init__()
            self.seen, self.dense = Seen(), layers.Dense(3)

        def call(self, inputs: Any) -> Any:
            return self.dense(functional.reshape(self.seen(inputs), (-1, 72)))

        def train_step(self, batch: Any) -> Any:
            return super().train_step(batch)

    x, y = data(16)
    model = Own()
    invert = layers.RandomInvert((1.0, 1.0), value_range=(0, 10))
    model.compile("sgd", SPARSE, augmentation=invert)
    model.fit(x, y, batch_size=16, verbose=0)
    np.testing.assert_allclose(model.seen.mean.numpy(), 10 - x.mean(axis=0), rtol=1e-5)


def test_whole_numbers_become_floats_for_the_network() -> None:
    x = np.random.default_rng(0).integers(0, 256, (20, 6, 6, 2)).astype("uint8")
    model = Sequential([layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(3)])
    model.compile("sgd", "mse", augmentation=layers.RandomRotation(0.1))
    history = model.fit(x, np.zeros((20, 3)), verbose=0).history
    assert 0 < history["loss"][0] < np.inf


def test_mistakes_are_named() -> None:
    x, y = data()
    model = network()
    with pytest.raises(ArgumentError, match="augmentation"):
        model.compile("sgd", SPARSE, augmentation="flip")
    model.compile("sgd", SPARSE, augmentation=[layers.Conv2D(2, 1)])
    with pytest.raises(ArgumentError, match="belongs into the network"):
        model.fit(x, y, verbose=0)
    flat = Sequential([layers.Dense(3, activation="softmax")])
    flat.compile("sgd", SPARSE, augmentation=layers.RandomFlip())
    with pytest.raises(ArgumentError, match="height, width"):
        flat.fit(x[:, 0, 0], y, verbose=0)


def test_one_step_is_shown_with_changed_pictures() -> None:
    x, y = data(8)
    model = network()
    model.compile("sgd", SPARSE, augmentation=layers.RandomInvert((1.0, 1.0), (-1, 1)))
    plain = network()
    plain.compile("sgd", SPARSE)
    shown = chainrule.trace_step(model, x, y)
    expected = chainrule.trace_step(plain, -x, y)
    assert shown.loss.value == pytest.approx(expected.loss.value, rel=1e-5)
    assert shown.loss.value != plain.evaluate(x, y, verbose=0)
