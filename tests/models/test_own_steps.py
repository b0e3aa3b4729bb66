"""Models that compute their steps themselves: compiled, and equal to what they say."""

import numpy as np
import pytest

import chainrule
from chainrule import Model, functional, metrics
from chainrule.errors import ArgumentError
from chainrule.layers import BatchNormalization, Dense, Dropout
from chainrule.optimizers import SGD, Adam

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)
WEIGHTS = RNG.uniform(size=50).astype(np.float32)


class Net(Model):
    def __init__(self):
        super().__init__()
        self.first = Dense(6, "relu", kernel_regularizer="l2")
        self.norm, self.drop = BatchNormalization(), Dropout(0.3)
        self.last = Dense(1, kernel_constraint="max_norm")

    def call(self, inputs):
        return self.last(self.drop(self.norm(self.first(inputs))))


class Same(Net):
    """The default steps, but called: what a subclass gets from `super`."""

    def train_step(self, data):
        return super().train_step(data)

    def test_step(self, data):
        return super().test_step(data)

    def predict_step(self, data):
        return super().predict_step(data)


class ByHand(Net):
    def train_step(self, data):
        x, y = data

        def loss_of():
            y_pred = self(x, training=True)
            return self.compute_loss(y=y, y_pred=y_pred), y_pred

        (loss, y_pred), gradients = self.value_and_grad(loss_of, has_aux=True)
        pairs = zip(gradients, self.trainable_variables, strict=True)
        self.optimizer.apply_gradients(pairs)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}


def make(kind=Net, optimizer=None, **arguments):
    chainrule.set_seed(0)
    model = kind()
    arguments.setdefault("metrics", ["mae"])
    model.compile(optimizer or Adam(0.01), "mse", **arguments)
    return model


def bits(model):
    return [weight.tobytes() for weight in model.get_weights()]


def fit(model, **options):
    return model.fit(X, Y, 10, 3, 0, seed=0, **options)


def test_the_default_steps_called_are_the_built_in_ones():
    plain, own = make(), make(Same, weighted_metrics=["mse"])
    plain.compile(Adam(0.01), "mse", metrics=["mae"], weighted_metrics=["mse"])
    options = {"validation_data": (X, Y, WEIGHTS), "sample_weight": WEIGHTS}
    a, b = fit(plain, **options), fit(own, **options)
    assert bits(plain) == bits(own)
    assert list(a.history) == list(b.history)
    for name, column in a.history.items():
        np.testing.assert_allclose(column, b.history[name], rtol=1e-6)
    assert (plain.predict(X, verbose=0) == own.predict(X, verbose=0)).all()
    assert plain.optimizer.iterations == own.optimizer.iterations == 15


def test_a_step_written_out_trains_the_same():
    plain, own = make(), make(ByHand)
    a, b = fit(plain, callbacks=[]), fit(own)
    assert bits(plain) == bits(own)
    np.testing.assert_allclose(a.history["loss"], b.history["loss"], rtol=1e-6)
    assert own.first.kernel.path  # it was built on the way
    assert own.norm.moving_mean.numpy().any()


def test_own_steps_are_compiled_and_traced_once():
    calls = []

    class Counting(Same):
        def train_step(self, data):
            calls.append(1)
            return super().train_step(data)

    model = make(Counting)
    fit(model)
    count = len(calls)
    fit(model)
    model.train_on_batch(X[:10], Y[:10])
    assert len(calls) == count + 1  # a batch as data of its own
    assert type(model._runtime.train._loops).__name__ == "NativeLoop"


def test_the_learning_rate_is_no_constant_of_the_compiled_step():
    model = make(Same, optimizer=SGD(0.1))
    model.last.kernel_constraint = None
    fit(model)
    model.optimizer.learning_rate = 0.0
    before = [variable.numpy() for variable in model.trainable_weights]
    fit(model)
    for old, new in zip(before, model.trainable_weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())


def test_a_fit_in_two_halves_is_one_fit():
    once, twice = make(Same), make(Same)
    once.fit(X, Y, 10, 4, 0, seed=0)
    twice.fit(X, Y, 10, 2, 0, seed=0)
    twice.fit(X, Y, 10, 4, 0, seed=0, initial_epoch=2)
    assert bits(once) == bits(twice)


def test_metrics_of_its_own_go_on_over_the_epoch():
    class Tracking(Net):
        def __init__(self):
            super().__init__()
            self.error = metrics.MeanAbsoluteError(name="error")

        def test_step(self, data):
            x, y = data
            self.error.update_state(y, self(x, training=False))
            return {"error": self.error.result(), "rows": float(x.shape[0])}

    model = make(Tracking)
    fit(model)
    found = model.evaluate(X, Y, 20, 0, return_dict=True)
    expected = np.abs(model.predict(X, verbose=0) - Y).mean()
    assert found["error"] == pytest.approx(expected, rel=1e-5)
    assert found["rows"] == 10  # the logs are those of the last batch
    assert model.evaluate(X, Y, 20, 0, return_dict=True) == found


def test_the_loss_alone_may_be_replaced():
    class Doubled(Net):
        def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
            return 2 * functional.mean((y - y_pred) ** 2)

    model = make(Doubled)
    found = model.evaluate(X, Y, verbose=0, return_dict=True)
    error = ((model.predict(X, verbose=0) - Y) ** 2).mean()
    assert found["loss"] == pytest.approx(2 * error, rel=1e-5)
    losses = fit(model).history["loss"]
    assert losses[-1] < losses[0]


def test_two_optimizers_train_two_networks():
    class Pair(Model):
        """Two networks that take turns, without a `call` of its own."""

        def __init__(self):
            super().__init__()
            self.one, self.two = Dense(1, input_shape=(4,)), Dense(1)
            self.second = SGD(0.05)

        def train_step(self, data):
            x, y = data
            pairs = ((self.one, self.optimizer), (self.two, self.second))
            losses = {}
            for name, (layer, optimizer) in zip("ab", pairs, strict=True):

                def loss_of(layer=layer):
                    return functional.mean((layer(x) - y) ** 2)

                variables = layer.trainable_weights
                loss, gradients = self.value_and_grad(loss_of, variables=variables)
                optimizer.apply(gradients, layer.trainable_weights)
                losses[name] = loss
            return losses

    chainrule.set_seed(0)
    model = Pair()
    for layer in (model.one, model.two):
        layer.build_for((None, 4))
    model.compile(Adam(0.05))
    history = model.fit(X, Y, 10, 30, 0, seed=0).history
    assert list(history) == ["a", "b"]
    assert history["a"][-1] < history["a"][0] / 2
    assert history["b"][-1] < history["b"][0] / 100
    assert model.optimizer.iterations == model.second.iterations == 150


def test_a_step_must_apply_an_optimizer_and_return_names():
    class Idle(Net):
        def train_step(self, data):
            return {"loss": functional.mean(data[0])}

    class Wordless(Net):
        def train_step(self, data):
            return functional.mean(data[0])

    with pytest.raises(ArgumentError, match="applies no optimizer"):
        fit(make(Idle))
    with pytest.raises(ArgumentError, match="what it measured by name"):
        fit(make(Wordless))


def test_steps_come_from_generators_and_single_batches():
    plain, own = make(), make(Same)
    for model in (plain, own):
        model.fit(iter([(X[:25], Y[:25]), (X[25:], Y[25:])]), verbose=0, seed=0)
        chainrule.set_seed(5)
        model.train_on_batch(X[:10], Y[:10])
    assert bits(plain) == bits(own)
    a, b = (m.test_on_batch(X, Y, return_dict=True) for m in (plain, own))
    assert a.keys() == b.keys()


def test_the_optimizers_state_can_be_saved():
    model = make(Same)
    fit(model)
    state = model._optimizer_state()
    assert int(state["step"].numpy()) == 15
