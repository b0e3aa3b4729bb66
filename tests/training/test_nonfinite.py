"""Training that makes NaN ends, and says where it came from."""

import math

import numpy as np
import pytest

import chainrule
from chainrule import Sequential, training
from chainrule.callbacks import EarlyStopping, LambdaCallback, TerminateOnNaN
from chainrule.errors import NonFiniteError, NonFiniteWarning
from chainrule.layers import Dense, Layer
from chainrule.optimizers import SGD

X = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
Y = X[:, :1]


class Apply(Layer):
    """A function as a layer."""

    def __init__(self, function, **options):
        super().__init__(**options)
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


def make(function=None, rate=1e-3):
    layers = [Dense(1, name="out", kernel_initializer="ones", input_shape=(3,))]
    if function is not None:
        layers.insert(0, Apply(function, name="odd", input_shape=(3,)))
    model = Sequential(layers, name="net")
    model.compile(SGD(rate), "mse")
    return model


def caught(model, x=X, callbacks=(), **options):
    options = {"batch_size": 20, "verbose": 0, "seed": 0, **options}
    with pytest.raises(NonFiniteError) as found:
        model.fit(x, Y, callbacks=[TerminateOnNaN(True), *callbacks], **options)
    return found.value


@pytest.mark.parametrize("attended", [False, True])
@pytest.mark.parametrize("row", [3, 77])
def test_step_layer_operation_and_sample_are_named(row, attended):
    x = X.copy()
    x[row, 1] = 99.0
    callbacks = [LambdaCallback(on_train_batch_end=lambda *_: None)] * attended
    error = caught(make(chainrule.exp), x, callbacks, epochs=2, shuffle=False)
    assert error.where.startswith(f"step {row // 20 + 1} of epoch 1, layer net/odd")
    assert "operation 'exp' of the forward pass made inf" in error.problem
    assert f"sample {row % 20} of the batch, row {row} of the data" in error.got
    assert "99" in error.got


@pytest.mark.parametrize("changed", ["weights", "rate"])
def test_the_step_is_named_where_a_callback_changed_something(changed):
    def change(batch, logs=None):
        if batch != 2:
            return
        if changed == "weights":
            model.layers[-1].kernel.assign(np.full((3, 1), 1e30, np.float32))
        else:
            model.optimizer.learning_rate = 1e38

    model = make()
    error = caught(model, callbacks=[LambdaCallback(on_train_batch_end=change)])
    assert error.where.startswith(
        "step 4 of epoch 1" if changed == "weights" else "step"
    )
    assert "of epoch 1" in error.where


def test_the_row_is_that_of_the_data_when_shuffled():
    x = X.copy()
    x[55, 2] = 99.0
    assert "row 55 of the data" in caught(make(chainrule.exp), x).got


def test_a_gradient_that_is_not_finite_is_found_in_its_step():
    x = X.copy()
    x[42] = 0.0

    def root(inputs):
        return chainrule.sum(inputs, axis=1, keepdims=True)

    model = Sequential(
        [
            Dense(2, name="in", use_bias=False, input_shape=(3,)),
            Apply(lambda z: chainrule.pow(abs(z), 0.5), name="root"),
            Apply(root, name="sum"),
        ],
        name="net",
    )
    model.compile(SGD(1e-3), "mse")
    error = caught(model, x, shuffle=False, epochs=2)
    assert error.where.startswith("step 3 of epoch 1")
    assert "of the backward pass" in error.problem


def test_steps_that_grow_too_long_are_found_in_a_later_epoch(monkeypatch):
    monkeypatch.setattr(training.loop, "KEEP_EVERY", 0.0)
    error = caught(make(rate=3.0), epochs=50)
    assert int(error.where.split("epoch ")[1].split(",")[0]) > 2
    assert "smaller learning rate" in error.fix


def test_training_ends_with_a_warning_and_the_best_weights():
    model = make(rate=3.0)
    stop = EarlyStopping("loss", patience=99, restore_best_weights=True)
    with pytest.warns(NonFiniteWarning, match="of epoch"):
        history = model.fit(X, Y, epochs=50, callbacks=[stop], verbose=0, seed=0)
    assert 1 < len(history.epoch) < 50
    assert not math.isfinite(history.history["loss"][-1])
    assert np.isfinite(model.get_weights()[0]).all()


def test_nothing_is_said_of_infinities_that_do_no_harm():
    masked = make(lambda z: chainrule.maximum(chainrule.log(abs(z) * 0.0), -1.0))
    model_history = masked.fit(X, Y, epochs=2, verbose=0)
    assert np.isfinite(model_history.history["loss"]).all()


def test_a_stream_is_not_read_again_where_it_cannot_be():
    batches = iter([(X, Y)] * 30)
    model = make(rate=1e4)
    with pytest.warns(NonFiniteWarning, match="the loss became"):
        model.fit(batches, epochs=3, steps_per_epoch=10, verbose=0)


class Own(chainrule.Model):
    """A step of one's own that calls its loss by another name, or not at all."""

    def __init__(self, logs):
        super().__init__()
        self.dense, self.logs = Dense(1, name="dense"), logs

    def call(self, inputs):
        return self.dense(inputs)

    def train_step(self, data):
        x, y = data
        loss, gradients = self.value_and_grad(
            lambda: self.compute_loss(x, y, self(x, training=True))
        )
        self.optimizer.apply(gradients, self.trainable_variables)
        return {self.logs: loss}


def test_steps_of_ones_own_are_watched_by_their_loss():
    model = Own("loss")
    model.compile(SGD(1e30), "mse")
    error = caught(model, epochs=3)
    assert "step" in error.where
    model = Own("energy")
    model.compile(SGD(1e30), "mse")
    model.fit(X, Y, epochs=3, verbose=0)
