"""What the contract of a layer does not say about layers that normalize."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import functional, layers
from chainrule.autodiff import grad
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import normalization
from chainrule.variable import substitute
from tests.tolerances import assert_close

X = np.random.default_rng(2).normal(3.0, 2.0, size=(16, 5)).astype("float32")


def test_moving_statistics_follow_the_batches() -> None:
    layer = layers.BatchNormalization(momentum=0.9)
    for _ in range(3):
        layer(X, training=True)
    kept = 0.9**3
    assert_close(layer.moving_mean.numpy(), (1 - kept) * X.mean(0))
    assert_close(layer.moving_variance.numpy(), kept + (1 - kept) * X.var(0))
    layer(X)
    assert_close(layer.moving_mean.numpy(), (1 - kept) * X.mean(0))


def test_a_frozen_normalization_does_not_train() -> None:
    layer = layers.BatchNormalization(trainable=False)
    outputs = layer(X, training=True).numpy()
    assert_close(outputs, X / np.sqrt(np.float32(1.001)))
    assert not layer.moving_mean.numpy().any()


def test_fit_moves_statistics_inside_the_step() -> None:
    model = chainrule.Sequential(
        [layers.BatchNormalization(momentum=0.5, input_shape=(5,)), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    model.fit(X, X[:, :1], batch_size=16, epochs=2, verbose=0)
    moving = model.layers[0].moving_mean.numpy()
    assert_close(moving, 0.75 * X.mean(0))


def test_freezing_a_normalization_without_weights_makes_another_step() -> None:
    norm = layers.BatchNormalization(center=False, scale=False, input_shape=(5,))
    model = chainrule.Sequential([norm, layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, :1], batch_size=16, verbose=0)
    before = norm.moving_mean.numpy()
    norm.trainable = False
    model.fit(X, X[:, :1], batch_size=16, verbose=0)
    np.testing.assert_array_equal(norm.moving_mean.numpy(), before)
    norm.trainable = True
    model.fit(X, X[:, :1], batch_size=16, verbose=0)
    assert np.any(norm.moving_mean.numpy() != before)


def test_a_mask_leaves_samples_out() -> None:
    mask = np.arange(16) < 10
    layer = layers.BatchNormalization(momentum=0.0, epsilon=0.1)
    outputs = layer(X, mask=mask, training=True).numpy()
    kept = X[:10]
    expected = (X - kept.mean(0)) / np.sqrt(kept.var(0) + 0.1)
    assert_close(outputs, expected)
    assert_close(layer.moving_mean.numpy(), kept.mean(0))
    with pytest.raises(ShapeError, match="mask"):
        layer(X, mask=np.ones((16, 5), bool), training=True)


def test_no_accuracy_is_lost_far_from_zero() -> None:
    far = (X + 1e4).astype("float32")
    found = layers.BatchNormalization(epsilon=0.0)(far, training=True).numpy()
    expected = (far - far.mean(0, dtype="float64")) / far.std(0, dtype="float64")
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_rule_of_batch_normalization_is_differentiable_itself() -> None:
    """Twice, against the formula without a rule of its own."""
    x = functional.asarray(X.astype("float64"))
    scale = functional.asarray(np.linspace(0.5, 1.5, 5)[None])
    weight = functional.asarray(np.random.default_rng(3).normal(size=X.shape))

    def by_rule(x: Any) -> Any:
        y = normalization.batch_normalization(x, scale, scale, (0,), 1e-3)
        return functional.sum(functional.tanh(y) * weight)

    def plain(x: Any) -> Any:
        y = normalization.standardize(x, (0,), 1e-3) * scale + scale
        return functional.sum(functional.tanh(y) * weight)

    def twice(function: Any) -> Any:
        return grad(lambda x: functional.sum(functional.sin(grad(function)(x))))(x)

    assert_close(grad(by_rule)(x).numpy(), grad(plain)(x).numpy())
    assert_close(twice(by_rule).numpy(), twice(plain).numpy())


def spectral(kernel: Any, u: Any, steps: int) -> tuple[Any, Any, Any]:
    v = u @ kernel.T
    v /= np.linalg.norm(v)
    for step in range(steps):
        u = v @ kernel / np.linalg.norm(v @ kernel)
        if step < steps - 1:
            v = u @ kernel.T / np.linalg.norm(u @ kernel.T)
    return v, u, (v @ kernel @ u.T).item()


def test_spectral_normalization_is_the_power_iteration() -> None:
    layer = layers.SpectralNormalization(layers.Dense(3), power_iterations=2)
    x = X[:, :4]
    layer.build_for(x.shape)
    kernel, u = layer.kernel.numpy(), layer.vector_u.numpy()
    _, new, sigma = spectral(kernel, u, 2)
    assert_close(layer(x, training=True).numpy(), x @ kernel / np.float32(sigma))
    assert_close(layer.vector_u.numpy(), new)
    np.testing.assert_array_equal(layer.kernel.numpy(), kernel)


def test_the_gradient_flows_through_sigma() -> None:
    """d(W / sigma) with constant u and v, as the paper has it."""
    layer = layers.SpectralNormalization(layers.Dense(3, use_bias=False))
    x, weight = X[:, :4].astype("float32"), X[:, :3]
    layer.build_for(x.shape)
    kernel, u = layer.kernel.numpy(), layer.vector_u.numpy()
    v, u, sigma = spectral(kernel, u, 1)

    def loss(kernel: Any) -> Any:
        with substitute([layer.kernel, layer.vector_u], [kernel, layer.vector_u.value]):
            return functional.sum(layer(x, training=True) * weight)

    inner = x.T @ weight
    shrink = (inner * kernel).sum() / sigma
    expected = (inner - shrink * (v.T @ u)) / sigma
    found = grad(loss)(layer.kernel.value).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)


def test_a_kernel_of_zeros_stays_finite() -> None:
    layer = layers.SpectralNormalization(layers.Dense(3, kernel_initializer="zeros"))
    assert not layer(X, training=True).numpy().any()


def test_spectral_normalization_trains_and_is_saved(tmp_path: Any) -> None:
    model = chainrule.Sequential(
        [
            layers.SpectralNormalization(layers.Dense(8, "relu"), input_shape=(5,)),
            layers.Dense(1),
        ]
    )
    model.compile(chainrule.optimizers.Adam(0.01), "mse")
    before = model.layers[0].vector_u.numpy()
    history = model.fit(X, X[:, :1], epochs=20, verbose=0, seed=0).history["loss"]
    assert history[-1] < history[0]
    assert np.any(before != model.layers[0].vector_u.numpy())
    model.save(tmp_path / "model.chainrule")
    again = chainrule.load_model(tmp_path / "model.chainrule")
    np.testing.assert_array_equal(
        again.predict(X, verbose=0), model.predict(X, verbose=0)
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.BatchNormalization(momentum=1.5),
        lambda: layers.BatchNormalization(epsilon=-1.0),
        lambda: layers.BatchNormalization(synchronized=True),
        lambda: layers.LayerNormalization(axis="last"),
        lambda: layers.LayerNormalization(axis=[]),
        lambda: layers.GroupNormalization(groups=0),
        lambda: layers.SpectralNormalization("dense"),
        lambda: layers.SpectralNormalization(layers.Dense(3), power_iterations=0),
        lambda: layers.SpectralNormalization(layers.Flatten())(X),
    ],
)
def test_wrong_arguments_are_refused(make: Any) -> None:
    with pytest.raises(ArgumentError):
        make()


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: layers.GroupNormalization(groups=4), (None, 6)),
        (lambda: layers.GroupNormalization(groups=1, axis=0), (4, 6)),
        (lambda: layers.LayerNormalization(), (None, None)),
        (lambda: layers.BatchNormalization(axis=3), (None, 6)),
    ],
)
def test_wrong_shapes_are_refused(make: Any, shape: Any) -> None:
    with pytest.raises(ShapeError):
        make().build_for(shape)
