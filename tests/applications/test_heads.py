"""New heads on networks that have learnt something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chainrule import Input, Model, Sequential, load_model
from chainrule.applications import LeNet5, ResNet20, with_new_head
from chainrule.errors import ArgumentError
from chainrule.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Flatten,
    RandomFlip,
    Rescaling,
)


def small(classes: int = 4, name: str = "small") -> Model:
    start = Input((4, 4, 1))
    x = Rescaling(1 / 255)(start)
    x = BatchNormalization(name="bn")(x)
    x = Dense(8, "relu", name="hidden")(Flatten()(x))
    return Model(start, Dense(classes, "softmax", name="old")(x), name=name)


X = np.random.default_rng(0).integers(0, 255, (24, 4, 4, 1)).astype(np.uint8)
Y = np.arange(24) % 3


def compiled(model: Model) -> Model:
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_what_was_learnt_is_kept() -> None:
    base = small()
    model = with_new_head(base, 3)
    assert model.output_shape == (None, 3)
    assert model.get_layer("hidden") is base.get_layer("hidden")
    assert model.notes["class_names"] == ["0", "1", "2"]
    assert "old" not in [layer.name for layer in model.layers]


def test_frozen_layers_stay_as_they_are() -> None:
    base = small()
    model = compiled(with_new_head(base, 3, freeze=True))
    hidden = base.get_layer("hidden")
    before = [*hidden.get_weights(), *base.get_layer("bn").get_weights()]
    head = model.get_layer("predictions").get_weights()[0].copy()
    model.fit(X, Y, epochs=2, verbose=0)
    after = [*hidden.get_weights(), *base.get_layer("bn").get_weights()]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(head, model.get_layer("predictions").get_weights()[0])
    hidden.trainable = True
    compiled(model).fit(X, Y, verbose=0)
    assert not np.array_equal(before[0], hidden.get_weights()[0])


def test_activations_behind_the_last_dense_layer_go_with_it() -> None:
    start = Input((5,))
    x = Activation("softmax")(Dense(4)(Dense(6, name="hidden")(start)))
    model = with_new_head(Model(start, x), 2)
    assert [type(layer).__name__ for layer in model.layers[1:]] == ["Dense", "Dense"]


def test_features_of_any_layer() -> None:
    base = LeNet5()
    model = with_new_head(base, 3, features="conv2")
    assert model.get_layer("predictions").get_weights()[0].shape == (16, 3)
    assert "conv3" not in [layer.name for layer in model.layers]
    flat = with_new_head(base, 3, features="flatten")
    assert flat.get_layer("predictions").get_weights()[0].shape == (120, 3)
    with pytest.raises(ArgumentError, match="no such layer"):
        with_new_head(base, 3, features="conv9")


def test_sequential_and_nested_models() -> None:
    plain = Sequential([Input((5,)), Dense(6, "relu"), Dense(4, "softmax")])
    assert with_new_head(plain, 3).output_shape == (None, 3)
    base = small()
    nested = Sequential([Input((4, 4, 1)), RandomFlip("horizontal"), base])
    model = compiled(with_new_head(nested, 3, freeze=True))
    before = base.get_layer("hidden").get_weights()[0].copy()
    model.fit(X, Y, verbose=0)
    assert len(model.trainable_weights) == 2
    np.testing.assert_array_equal(before, base.get_layer("hidden").get_weights()[0])
    assert model.predict(X, verbose=0).shape == (24, 3)


@pytest.mark.parametrize("build", [LeNet5, ResNet20])
def test_the_builders_take_new_heads(build: type[Model]) -> None:
    assert with_new_head(build(), 7).output_shape == (None, 7)


def test_it_is_saved_with_its_names(tmp_path: Path) -> None:
    base = small()
    base.notes["task"] = "classify"
    model = with_new_head(base, ["a", "b"], freeze=True)
    model.save(tmp_path / "m.chainrule")
    again = load_model(tmp_path / "m.chainrule")
    assert again.notes == {"task": "classify", "class_names": ["a", "b"]}
    np.testing.assert_array_equal(
        again.predict(X, verbose=0), model.predict(X, verbose=0)
    )
    assert len(again.trainable_weights) == 2


def test_what_has_no_head_is_refused() -> None:
    start = Input((5,))
    with pytest.raises(ArgumentError, match="does not end in a dense layer"):
        with_new_head(Model(start, BatchNormalization()(start)), 3)
    with pytest.raises(ArgumentError, match="two classes or more"):
        with_new_head(small(), 1)
    with pytest.raises(ArgumentError, match="two classes or more"):
        with_new_head(small(), [])
    assert with_new_head(small(), 1, "sigmoid").output_shape == (None, 1)
