from __future__ import annotations

import numpy as np
import pytest

from chainrule.errors import ArgumentError
from chainrule.recipes import perceptron
from chainrule.recipes.perceptron import Images, Plan, build, load_images, train


@pytest.fixture
def small() -> Images:
    numbers = np.random.default_rng(0)
    labels = np.arange(60) % 10
    x = numbers.integers(0, 40, (60, 4, 4)).astype(np.uint8)
    x[np.arange(60), labels // 4, labels % 4] = 255
    return Images("small", x[:40], labels[:40], x[40:], labels[40:])


def test_pixels_of_bytes_are_scaled_within_the_network(small: Images) -> None:
    model = build(Plan(hidden=(8,)), small)
    kinds = [type(layer).__name__ for layer in model.layers if layer.weights == []]
    assert "Rescaling" in kinds
    outputs = model.predict(small.x_test, verbose=0)
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)


def test_the_plan_is_followed(small: Images) -> None:
    plan = Plan(
        hidden=(7, 5),
        activation="tanh",
        dropout=0.25,
        optimizer="sgd",
        learning_rate=0.5,
    )
    model = build(plan, small)
    widths = [layer.units for layer in model.layers if hasattr(layer, "units")]
    assert widths == [7, 5, 10]
    assert [type(x).__name__ for x in model.layers].count("Dropout") == 2
    assert type(model.optimizer).__name__ == "SGD"
    assert float(model.optimizer.learning_rate) == 0.5


def test_the_same_seed_gives_the_same_bits(small: Images) -> None:
    def weights(seed: int) -> list[np.ndarray]:
        plan = Plan(epochs=2, hidden=(8,), dropout=0.5, seed=seed)
        model = build(plan, small)
        train(model, small, plan, verbose=0)
        return model.get_weights()

    first, again, other = weights(0), weights(0), weights(1)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], other[0])


def test_training_learns_and_measures_the_test_images(small: Images) -> None:
    plan = Plan(epochs=40, hidden=(32,), learning_rate=0.01)
    model = build(plan, small)
    history = train(model, small, plan, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 4
    measured = model.evaluate(small.x_test, small.y_test, verbose=0, return_dict=True)
    assert measured["accuracy"] == pytest.approx(history["val_accuracy"][-1])


def test_an_unknown_data_set() -> None:
    with pytest.raises(ArgumentError, match="digits or mnist"):
        load_images("fashion")


def test_the_images_of_a_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = np.zeros((3, 2, 2), np.uint8), np.arange(3)
    monkeypatch.setitem(perceptron.LOADERS, "digits", lambda: ((x, y), (x[:1], y[:1])))
    found = load_images("digits")
    assert (found.name, found.shape, len(found.x_test)) == ("digits", (2, 2), 1)
