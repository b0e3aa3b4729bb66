"""Several inputs and outputs, weights of samples and classes."""

import numpy as np
import pytest

import chainrule
from chainrule import Input, Model, Sequential, functional
from chainrule.errors import ArgumentError, DataError
from chainrule.layers import Concatenate, Dense
from chainrule.metrics import MeanAbsoluteError
from chainrule.optimizers import SGD
from tests.tolerances import assert_close

RNG = np.random.default_rng(0)
A = RNG.normal(size=(50, 3)).astype(np.float32)
B = RNG.normal(size=(50, 2)).astype(np.float32)
SUM = (A.sum(axis=1) + B.sum(axis=1))[:, None]
CLASSES = (A[:, 0] > 0).astype(np.int64) + (B[:, 0] > 0)
WEIGHTS = RNG.uniform(0.1, 2.0, 50).astype(np.float32)
SPARSE = "sparse_categorical_crossentropy"


class Two(Model):
    """Two inputs; two outputs as a dict, a list or a tuple."""

    def __init__(self, kind=dict):
        super().__init__()
        self.kind = kind
        self.amount, self.group = Dense(1), Dense(3, "softmax")

    def call(self, inputs):
        a, b = inputs.values() if isinstance(inputs, dict) else inputs
        both = functional.concat([a, b], axis=-1)
        amount, group = self.amount(both), self.group(both)
        if self.kind is dict:
            return {"amount": amount, "group": group}
        return self.kind([amount, group])


def two(kind=dict, loss=("mse", SPARSE), **arguments):
    chainrule.set_seed(0)
    model = Two(kind)
    if kind is dict and isinstance(loss, tuple):
        loss = dict(zip(("amount", "group"), loss, strict=True))
    elif isinstance(loss, tuple):
        loss = list(loss)
    model.compile(SGD(0.05), loss, **arguments)
    return model


def bits(model):
    return [weight.tobytes() for weight in model.get_weights()]


def predicted(model):
    found = model.predict([A, B], verbose=0)
    return found.values() if isinstance(found, dict) else found


def test_inputs_and_outputs_by_name_or_in_order_train_the_same():
    inputs = ({"a": A, "b": B}, [A, B], (A, B))
    results = []
    for kind, x in zip((dict, list, tuple), inputs, strict=True):
        model = two(kind)
        y = {"amount": SUM, "group": CLASSES} if kind is dict else [SUM, CLASSES]
        history = model.fit(x, y, epochs=3, verbose=0, seed=1)
        results.append((bits(model), list(history.history.values())))
        outputs = model.predict(x, verbose=0)
        assert isinstance(outputs, kind)
        assert len(outputs) == 2
    assert results[0] == results[1] == results[2]


def test_logs_have_the_names_of_keras():
    model = two(
        metrics={"amount": ["mae"], "group": "accuracy"},
        weighted_metrics={"amount": [MeanAbsoluteError(name="mae"), "mse"]},
    )
    y = {"amount": SUM, "group": CLASSES}
    history = model.fit([A, B], y, verbose=0, validation_split=0.2).history
    names = ["loss", "amount_loss", "group_loss", "amount_mae", "group_accuracy"]
    names += ["amount_weighted_mae", "amount_mse"]
    assert list(history) == names + [f"val_{name}" for name in names]
    assert list(model.evaluate([A, B], y, verbose=0, return_dict=True)) == names


def test_the_loss_is_the_weighted_sum_of_those_of_the_outputs():
    model = two(loss_weights={"amount": 0.5, "group": 2.0})
    logs = model.evaluate(
        [A, B], {"amount": SUM, "group": CLASSES}, verbose=0, return_dict=True
    )
    amount, group = predicted(model)
    assert_close(np.float32(logs["amount_loss"]), ((amount - SUM) ** 2).mean())
    surprise = -np.log(group[np.arange(50), CLASSES]).mean()
    assert_close(np.float32(logs["group_loss"]), surprise)
    total = 0.5 * logs["amount_loss"] + 2 * logs["group_loss"]
    assert_close(np.float32(logs["loss"]), np.float32(total))


def test_an_output_may_have_no_loss():
    model = two(loss={"amount": "mse"})
    model.predict([A, B], verbose=0)
    groups, amounts = model.group.get_weights(), model.amount.get_weights()
    model.fit([A, B], {"amount": SUM}, verbose=0)
    assert (groups[0] == model.group.get_weights()[0]).all()
    assert (amounts[0] != model.amount.get_weights()[0]).all()


def test_one_loss_counts_for_all_outputs():
    model = two(list, loss="mse")
    one_hot = np.eye(3, dtype=np.float32)[CLASSES]
    logs = model.evaluate([A, B], [SUM, one_hot], verbose=0, return_dict=True)
    assert list(logs) == ["loss", "output_0_loss", "output_1_loss"]


@pytest.mark.parametrize("form", ["one", "list", "dict"])
def test_weights_of_samples_count_in_losses_and_weighted_metrics(form):
    model = two(metrics={"amount": "mae"}, weighted_metrics={"amount": ["mse"]})
    weights = {
        "one": WEIGHTS,
        "list": [WEIGHTS, None],
        "dict": {"amount": WEIGHTS},
    }[form]
    y = {"amount": SUM, "group": CLASSES}
    logs = model.evaluate(
        [A, B], y, sample_weight=weights, verbose=0, batch_size=50, return_dict=True
    )
    amount, group = predicted(model)
    errors = (amount - SUM)[:, 0] ** 2
    surprise = -np.log(group[np.arange(50), CLASSES])
    if form == "one":
        surprise = surprise * WEIGHTS
    assert_close(np.float32(logs["amount_loss"]), (errors * WEIGHTS).mean())
    assert_close(np.float32(logs["group_loss"]), surprise.mean())
    assert_close(np.float32(logs["amount_mae"]), np.abs(amount - SUM).mean())
    weighted = (errors * WEIGHTS).sum() / WEIGHTS.sum()
    assert_close(np.float32(logs["amount_mse"]), weighted)


def test_a_sample_of_weight_two_is_a_sample_given_twice():
    def make():
        chainrule.set_seed(0)
        model = Sequential([Dense(1, input_shape=(3,))])
        model.compile(SGD(0.1), chainrule.losses.MeanSquaredError(reduction="sum"))
        return model

    weighted, repeated = make(), make()
    weights = np.where(np.arange(10) < 4, 2.0, 1.0)
    options = {"verbose": 0, "shuffle": False, "batch_size": 20, "epochs": 3}
    weighted.fit(A[:10], SUM[:10], sample_weight=weights, **options)
    rows = np.repeat(np.arange(10), weights.astype(int))
    repeated.fit(A[rows], SUM[rows], **options)
    for a, b in zip(weighted.get_weights(), repeated.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_time_steps_have_weights_of_their_own():
    x = RNG.normal(size=(8, 5, 3)).astype(np.float32)
    y = x.sum(axis=2, keepdims=True)
    weights = RNG.uniform(size=(8, 5)).astype(np.float32)
    model = Sequential([Dense(1, input_shape=(5, 3))])
    model.compile("sgd", "mse")
    loss = model.evaluate(x, y, sample_weight=weights, verbose=0)
    errors = ((model.predict(x, verbose=0) - y) ** 2)[..., 0]
    assert_close(np.float32(loss), (errors * weights).mean())


def classifier():
    chainrule.set_seed(0)
    model = Sequential([Dense(3, "softmax", input_shape=(3,))])
    model.compile(SGD(0.1), SPARSE)
    return model


def test_weights_of_classes_are_weights_of_samples():
    table = {0: 0.5, 2: 3.0}
    samples = np.array([0.5, 1.0, 3.0])[CLASSES]
    by_class, by_sample, one_hot = classifier(), classifier(), classifier()
    one_hot.compile(SGD(0.1), "categorical_crossentropy")
    by_class.fit(A, CLASSES, class_weight=table, verbose=0, seed=0)
    by_sample.fit(A, CLASSES, sample_weight=samples, verbose=0, seed=0)
    one_hot.fit(A, np.eye(3)[CLASSES], class_weight=table, verbose=0, seed=0)
    assert bits(by_class) == bits(by_sample)
    for a, b in zip(by_class.get_weights(), one_hot.get_weights(), strict=True):
        assert_close(a, b)


def test_balanced_weights_let_every_class_count_alike():
    counts = np.bincount(CLASSES)
    table = {k: 50 / (3 * n) for k, n in enumerate(counts)}
    first, second = classifier(), classifier()
    first.fit(A, CLASSES, class_weight="balanced", verbose=0, seed=0)
    second.fit(A, CLASSES, class_weight=table, verbose=0, seed=0)
    assert bits(first) == bits(second)


def test_each_output_has_weights_of_classes():
    first, second = two(), two()
    y = {"amount": SUM, "group": CLASSES}
    weight = {"group": {1: 5.0}}
    first.fit([A, B], y, class_weight=weight, verbose=0, seed=0)
    samples = {"group": np.array([1.0, 5.0, 1.0])[CLASSES]}
    second.fit([A, B], y, sample_weight=samples, verbose=0, seed=0)
    assert bits(first) == bits(second)


def test_validation_data_has_weights():
    model = classifier()
    weights = WEIGHTS.copy()
    history = model.fit(
        A, CLASSES, validation_data=(A, CLASSES, weights), verbose=0
    ).history
    measured = model.evaluate(A, CLASSES, sample_weight=weights, verbose=0)
    assert history["val_loss"] == [measured]


def test_a_model_without_labels_trains_by_the_losses_of_its_layers():
    class Code(Model):
        def __init__(self):
            super().__init__()
            self.inner, self.outer = Dense(2), Dense(3)

        def call(self, inputs):
            again = self.outer(self.inner(inputs))
            self.add_loss(functional.mean((again - inputs) ** 2))
            return again

    chainrule.set_seed(0)
    model = Code()
    model.compile(SGD(0.1))
    losses = model.fit(A, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    error = ((model.predict(A, verbose=0) - A) ** 2).mean()
    assert_close(np.float32(model.evaluate(A, verbose=0)), error)


# ---- what is refused -----------------------------------------------------------------


def test_rows_must_be_equal_everywhere():
    with pytest.raises(DataError, match=r"x\['b'\] of shape \(49, 2\)"):
        two().fit({"a": A, "b": B[:-1]}, {"amount": SUM, "group": CLASSES}, verbose=0)
    with pytest.raises(DataError, match="sample_weight of shape"):
        classifier().fit(A, CLASSES, sample_weight=WEIGHTS[:-1], verbose=0)


def test_mistakes_of_each_output_are_told_by_name():
    wrong = {"amount": SUM, "group": CLASSES + 5}
    with pytest.raises(DataError, match=r"y\['group'\]"):
        two().fit([A, B], wrong, verbose=0)
    bad = SUM.copy()
    bad[3] = np.nan
    with pytest.raises(DataError, match=r"y\['amount'\]: the label must be finite"):
        two().fit([A, B], {"amount": bad, "group": CLASSES}, verbose=0)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (SUM, "2 outputs, and y is a single one"),
        ([SUM], "one part for each output"),
        ({"amount": SUM, "sort": CLASSES}, "no outputs of the model"),
    ],
)
def test_targets_must_have_a_part_for_each_output(y, message):
    with pytest.raises(DataError, match=message):
        two().fit([A, B], y, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": {"other": "mse"}}, "no outputs of the model"),
        ({"metrics": ["mae", "mse", "mae"]}, "one part for each output"),
        ({"loss_weights": [1.0]}, "one part for each output"),
    ],
)
def test_what_compile_was_told_must_fit_the_outputs(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        two(**arguments).fit([A, B], [SUM, CLASSES], verbose=0)


def drawn():
    left, right = Input((3,), name="left"), Input((2,), name="right")
    both = Concatenate()([left, right])
    outputs = [Dense(1, name="amount")(both), Dense(3, "softmax", name="group")(both)]
    model = Model([left, right], outputs)
    model.compile("sgd", {"amount": "mse", "group": SPARSE}, metrics={"amount": "mae"})
    return model


def test_a_drawn_model_takes_inputs_and_targets_by_name():
    first, second = drawn(), drawn()
    second.set_weights(first.get_weights())
    by_name = {"right": B, "left": A}, {"group": CLASSES, "amount": SUM}
    a = first.fit(*by_name, epochs=2, verbose=0, seed=0).history
    b = second.fit([A, B], [SUM, CLASSES], epochs=2, verbose=0, seed=0).history
    assert a == b
    assert bits(first) == bits(second)
    assert list(a) == ["loss", "amount_loss", "group_loss", "amount_mae"]


def test_one_array_for_several_inputs_is_refused():
    with pytest.raises(DataError, match="the model takes several inputs"):
        drawn().fit(A, [SUM, CLASSES], verbose=0)
    with pytest.raises(DataError, match=r"y\['group'\] holds the labels"):
        drawn().fit([A, B], [SUM, CLASSES + 5], verbose=0)


@pytest.mark.parametrize("weights", [[1.0, 2.0], {0: -1.0}, {"a": 1.0}, "equal"])
def test_weights_of_classes_are_checked(weights):
    with pytest.raises(DataError, match="class"):
        classifier().fit(A, CLASSES, class_weight=weights, verbose=0)


def test_metrics_in_the_place_of_weights_are_noticed():
    with pytest.raises(ArgumentError, match=r"metrics=\['mae'\]"):
        Sequential([Dense(1)]).compile("sgd", "mse", ["mae"])


def test_a_model_with_nothing_to_make_small_says_so():
    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile("sgd")
    with pytest.raises(ArgumentError, match="compiled with a loss"):
        model.fit(A, verbose=0)


# ---- single batches ------------------------------------------------------------------


def test_steps_on_batches_are_those_of_fit():
    whole, parts = classifier(), classifier()
    whole.fit(A, CLASSES, batch_size=25, shuffle=False, verbose=0)
    for rows in (slice(0, 25), slice(25, 50)):
        parts.train_on_batch(A[rows], CLASSES[rows])
    assert bits(whole) == bits(parts)


def test_numbers_of_a_batch_are_those_of_the_batch():
    model = classifier()
    model.compile(SGD(0.0), SPARSE, metrics=["accuracy"])
    for rows in (slice(0, 25), slice(25, 50)):
        expected = model.evaluate(A[rows], CLASSES[rows], verbose=0)
        assert model.test_on_batch(A[rows], CLASSES[rows]) == expected
        assert model.train_on_batch(A[rows], CLASSES[rows]) == expected


def test_weights_count_in_single_batches():
    model = classifier()
    expected = model.evaluate(
        A, CLASSES, sample_weight=WEIGHTS, verbose=0, batch_size=50
    )
    assert model.test_on_batch(A, CLASSES, WEIGHTS) == expected
    assert model.train_on_batch(A, CLASSES, WEIGHTS) == expected


def test_outputs_of_a_batch_are_those_of_predict():
    model = two()
    model.fit([A, B], {"amount": SUM, "group": CLASSES}, verbose=0)
    batch, whole = model.predict_on_batch([A, B]), model.predict([A, B], verbose=0)
    for name in whole:
        assert (batch[name] == whole[name]).all()


def test_run_eagerly_gives_the_numbers_of_the_compiled_step():
    eager, compiled = classifier(), classifier()
    eager.compile(SGD(0.1), SPARSE, run_eagerly=True)
    eager.fit(A, CLASSES, epochs=2, verbose=0, seed=0)
    compiled.fit(A, CLASSES, epochs=2, verbose=0, seed=0)
    assert type(eager._runtime.train._loops).__name__ == "InterpretedLoop"
    for a, b in zip(eager.get_weights(), compiled.get_weights(), strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("inside", [lambda s: s, lambda s: [s], lambda s: {"a": s}])
@pytest.mark.parametrize("outside", [lambda s: s, lambda s: [s], lambda s: {"b": s}])
def test_a_single_input_or_output_may_stand_in_a_list_or_dict(inside, outside):
    chainrule.set_seed(0)
    start = Input((3,), name="a")
    end = Dense(1, name="b")(start)
    plain, model = Model(start, end), Model(inside(start), outside(end))
    plain.compile(SGD(0.1), "mse")
    model.compile(SGD(0.1), "mse")
    expected = plain.evaluate(A, SUM, batch_size=50, verbose=0)
    for x in (A, [A], {"a": A}):
        for y in (SUM, [SUM], {"b": SUM}):
            assert model.evaluate(x, y, batch_size=50, verbose=0) == expected
            assert model.evaluate(iter([(x, y)]), verbose=0) == expected
        found = model.predict(x, verbose=0)
        assert type(found) is type(outside(SUM))
        (leaf,) = [found] if isinstance(found, np.ndarray) else _values(found)
        np.testing.assert_array_equal(leaf, plain.predict(A, verbose=0))


def _values(found):
    return list(found.values()) if isinstance(found, dict) else found


def test_a_list_of_one_row_stays_a_row():
    model = Sequential([Input((3,)), Dense(1)])
    rows = [A[0]], [A[0].tolist()]
    for row in rows:
        np.testing.assert_array_equal(
            model.predict(row, verbose=0), model.predict(A[:1], verbose=0)
        )
