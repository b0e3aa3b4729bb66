"""Each mistake that others train on without a word, and the corrected lines for it."""

import numpy as np
import pytest

from chainrule import Model, Sequential
from chainrule.errors import ArgumentError, DataError, ShapeError
from chainrule.layers import (
    Activation,
    Dense,
    Flatten,
    Input,
    ReLU,
    Rescaling,
    Softmax,
)
from chainrule.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)

ROWS = 12
X = np.linspace(0, 1, ROWS * 4, dtype=np.float32).reshape(ROWS, 4)
CLASSES = np.arange(ROWS) % 3
BITS = np.arange(ROWS) % 2
ONE_HOT = np.eye(3, dtype=np.float32)[CLASSES]
MULTI_HOT = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 1]] * 4, np.float32)
QUANTITY = np.linspace(-3, 40, ROWS)

SPARSE = "sparse_categorical_crossentropy"
CATEGORICAL = "categorical_crossentropy"
BINARY = "binary_crossentropy"
INPUT = "input_shape=(4,)"


def network(*layers):
    return Sequential([Dense(5, "relu", input_shape=(4,), name="first"), *layers])


def softmax(units):
    return Dense(units, "softmax", name="out")


def sigmoid(units):
    return Dense(units, "sigmoid", name="out")


def linear(units):
    return Dense(units, name="out")


def problems_of(layers, loss, y, x=X, metrics=None, **arguments):
    model = layers if isinstance(layers, Sequential) else network(*layers)
    model.compile("sgd", loss, metrics=metrics)
    before = model.get_weights()
    with pytest.raises(DataError) as caught:
        model.fit(x, y, verbose=0, **arguments)
    for old, new in zip(before, model.get_weights(), strict=False):
        assert (old == new).all()
    return str(caught.value)


MISTAKES = {
    "binary, classes": (
        [sigmoid(1)],
        BINARY,
        CLASSES,
        ["2 mistakes", "out: one output for 3 classes", "labels from 0 to 1"],
        ["Dense(3, activation='softmax', name='out')", f"loss='{SPARSE}'"],
    ),
    "binary, classes in a column": (
        [sigmoid(1)],
        BINARY,
        CLASSES[:, None],
        ["2 mistakes", "out: one output for 3 classes"],
        ["Dense(3, activation='softmax', name='out')"],
    ),
    "binary, classes, wide enough": (
        [sigmoid(3)],
        BINARY,
        CLASSES,
        ["2 mistakes", "no distribution over the classes"],
        ["Dense(3, activation='softmax', name='out')", f"loss='{SPARSE}'"],
    ),
    "binary, signs": (
        [sigmoid(1)],
        BINARY,
        BITS * 2 - 1,
        ["labels from 0 to 1", "whole numbers from -1 to 1"],
        ["y = (y + 1) / 2"],
    ),
    "binary, grey": (
        [sigmoid(4)],
        BINARY,
        X * 255,
        ["labels from 0 to 1", "from 0 to 255"],
        ["y = (y - 0) / 255"],
    ),
    "binary, no activation": (
        [linear(1)],
        BINARY,
        BITS,
        ["takes probabilities", "no activation"],
        ["Dense(1, activation='sigmoid', name='out')"],
    ),
    "binary, relu": (
        [Dense(1, "relu", name="out")],
        BINARY,
        BITS,
        ["takes probabilities", "relu"],
        ["activation='sigmoid'"],
    ),
    "binary, relu as a layer": (
        [linear(1), ReLU()],
        BINARY,
        BITS,
        ["takes probabilities"],
        ["Activation('sigmoid')  # instead of ReLU"],
    ),
    "binary, tanh as a layer": (
        [linear(1), Activation("tanh", name="squash")],
        BINARY,
        BITS,
        ["takes probabilities", "tanh"],
        ["Activation('sigmoid', name='squash')"],
    ),
    "binary, twice": (
        [sigmoid(1)],
        BinaryCrossentropy(from_logits=True),
        BITS,
        ["applied twice", "sigmoid and from_logits=True"],
        [f"loss='{BINARY}'"],
    ),
    "binary, one softmax": (
        [softmax(1)],
        BINARY,
        BITS,
        ["softmax of a single unit is 1"],
        ["Dense(1, activation='sigmoid', name='out')"],
    ),
    "sparse, too few outputs": (
        [softmax(2)],
        SPARSE,
        CLASSES,
        ["out: 2 outputs for 3 classes"],
        ["Dense(3, activation='softmax', name='out')"],
    ),
    "sparse, from 1": (
        [softmax(3)],
        SPARSE,
        CLASSES + 1,
        ["3 outputs for 4 classes", "labels 0 to 3"],
        ["Dense(4, activation='softmax', name='out')"],
    ),
    "sparse, negative": (
        [softmax(3)],
        SPARSE,
        CLASSES - 1,
        ["must be the numbers of the classes", "from -1 to 1"],
        ["classes, y = numpy.unique(y, return_inverse=True)"],
    ),
    "sparse, quantities": (
        [softmax(3)],
        SPARSE,
        QUANTITY,
        ["must be the numbers of the classes"],
        ["loss='mean_squared_error'"],
    ),
    "sparse, one output": (
        [sigmoid(1)],
        SPARSE,
        np.zeros(ROWS),
        ["one output cannot tell classes apart"],
        ["Dense(2, activation='softmax', name='out')"],
    ),
    "sparse, one output, classes": (
        [sigmoid(1)],
        SPARSE,
        CLASSES,
        ["one output for 3 classes"],
        ["Dense(3, activation='softmax', name='out')"],
    ),
    "sparse, one softmax, classes": (
        [softmax(1)],
        SPARSE,
        CLASSES,
        ["one output for 3 classes"],
        ["Dense(3, activation='softmax', name='out')"],
    ),
    "sparse, one-hot": (
        [softmax(3)],
        SPARSE,
        ONE_HOT,
        ["takes class numbers", "y of shape (rows, 3)"],
        [f"loss='{CATEGORICAL}'"],
    ),
    "sparse, linear": (
        [linear(3)],
        SPARSE,
        CLASSES,
        ["takes probabilities", "no activation"],
        ["Dense(3, activation='softmax', name='out')"],
    ),
    "sparse, twice": (
        [softmax(3)],
        SparseCategoricalCrossentropy(from_logits=True),
        CLASSES,
        ["softmax would be applied twice"],
        [f"loss='{SPARSE}'"],
    ),
    "sparse, twice, as a layer": (
        [linear(3), Softmax(name="end")],
        SparseCategoricalCrossentropy(from_logits=True),
        CLASSES,
        ["softmax would be applied twice"],
        [f"loss='{SPARSE}'"],
    ),
    "categorical, class numbers": (
        [softmax(3)],
        CATEGORICAL,
        CLASSES,
        ["takes one-hot vectors", "whole numbers from 0 to 2"],
        [f"loss='{SPARSE}'"],
    ),
    "categorical, class numbers, too few outputs": (
        [softmax(2)],
        CATEGORICAL,
        CLASSES,
        ["2 mistakes", "takes one-hot vectors", "2 outputs for 3 classes"],
        [f"loss='{SPARSE}'", "Dense(3, activation='softmax', name='out')"],
    ),
    "categorical, width": (
        [softmax(5)],
        CATEGORICAL,
        ONE_HOT,
        ["out: targets and outputs differ in shape", "(rows, 3)", "(rows, 5)"],
        ["Dense(3, activation='softmax', name='out')"],
    ),
    "categorical, several classes at once": (
        [softmax(3)],
        CATEGORICAL,
        MULTI_HOT,
        ["each row of labels must sum to 1", "row 0 of y sums to 2"],
        [f"loss='{BINARY}'"],
    ),
    "categorical, negative": (
        [softmax(3)],
        CATEGORICAL,
        np.tile([-1.0, 1.0, 1.0], (ROWS, 1)),
        ["without negative numbers"],
        [],
    ),
    "categorical, twice": (
        [softmax(3)],
        CategoricalCrossentropy(from_logits=True),
        ONE_HOT,
        ["applied twice"],
        [f"loss='{CATEGORICAL}'"],
    ),
    "regression, stretched": (
        [linear(3)],
        "mse",
        QUANTITY,
        ["targets and outputs differ in shape", "(rows,)", "(rows, 3)"],
        ["Dense(1, name='out')"],
    ),
    "regression, too many targets": (
        [linear(1)],
        "mae",
        X,
        ["targets and outputs differ in shape"],
        ["Dense(4, name='out')"],
    ),
    "regression, beyond sigmoid": (
        [sigmoid(1)],
        "mse",
        QUANTITY,
        ["sigmoid gives numbers from 0 to 1", "from -3 to 40"],
        ["Dense(1, activation='linear', name='out')"],
    ),
    "regression, classes": (
        [softmax(3)],
        "mse",
        CLASSES,
        ["loss: mean_squared_error takes the numbers of classes for quantities"],
        [f"loss='{SPARSE}'"],
    ),
    "regression, beyond tanh": (
        [Dense(1, "tanh", name="out")],
        "huber",
        QUANTITY,
        ["tanh gives numbers from -1 to 1"],
        ["Dense(1, activation='linear', name='out')"],
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_refused_with_the_corrected_line(case):
    layers, loss, y, problems, fixes = MISTAKES[case]
    text = problems_of(layers, loss, y)
    for part in [*problems, *fixes]:
        assert part in text
    if "mistakes" not in problems[0]:
        assert "mistakes" not in text


FINE = {
    "binary": ([sigmoid(1)], BINARY, BITS),
    "binary, column": ([sigmoid(1)], BINARY, BITS[:, None]),
    "binary, bool": ([sigmoid(1)], BINARY, BITS.astype(bool)),
    "binary, probabilities": ([sigmoid(1)], BINARY, X[:, 0]),
    "binary, many": ([sigmoid(3)], BINARY, MULTI_HOT),
    "binary, two softmax": ([softmax(3)], BINARY, ONE_HOT),
    "binary, logits": ([linear(1)], BinaryCrossentropy(from_logits=True), BITS),
    "sparse": ([softmax(3)], SPARSE, CLASSES),
    "sparse, column": ([softmax(3)], SPARSE, CLASSES[:, None]),
    "sparse, floats": ([softmax(3)], SPARSE, CLASSES.astype(float)),
    "sparse, unused outputs": ([softmax(9)], SPARSE, CLASSES),
    "sparse, ignored": (
        [softmax(3)],
        SparseCategoricalCrossentropy(ignore_class=-1),
        np.where(CLASSES == 2, -1, CLASSES),
    ),
    "sparse, logits": (
        [linear(3)],
        SparseCategoricalCrossentropy(from_logits=True),
        CLASSES,
    ),
    "sparse, layer": ([linear(3), Softmax()], SPARSE, CLASSES),
    "categorical": ([softmax(3)], CATEGORICAL, ONE_HOT),
    "categorical, smooth": ([softmax(3)], CATEGORICAL, ONE_HOT * 0.7 + 0.1),
    "regression": ([linear(1)], "mse", QUANTITY),
    "regression, column": ([linear(1)], "mse", QUANTITY[:, None]),
    "regression, many": ([linear(4)], "mse", X),
    "regression, sigmoid": ([sigmoid(1)], "mse", X[:, 0]),
    "a function": ([linear(1)], lambda y, p: (y - p) ** 2, QUANTITY),
}


@pytest.mark.parametrize("case", FINE)
def test_what_fits_is_trained(case):
    layers, loss, y = FINE[case]
    model = network(*(type(each).from_config(each.get_config()) for each in layers))
    model.compile("sgd", loss)
    loss = model.fit(X, y, verbose=0).history["loss"][0]
    assert np.isfinite(loss)
    assert model.evaluate(X, y, verbose=0) >= 0


def test_the_articles_script_is_refused_once_with_all_three_mistakes():
    rng = np.random.default_rng(0)
    x = rng.random((100, 784), np.float32)
    y = (np.arange(100) % 10).astype(np.uint8)
    model = Sequential(
        [
            Dense(10, activation="relu", input_shape=(10,)),
            Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer="adam", loss=BINARY, metrics=["accuracy"])
    with pytest.raises(DataError) as caught:
        model.fit(x, y, epochs=10, batch_size=32, validation_data=(x[:20], y[:20]))
    text = str(caught.value)
    assert "3 mistakes" in text
    assert "the layer takes 10 inputs, the data has 784" in text
    assert "one output for 10 classes" in text
    assert "binary cross-entropy needs labels from 0 to 1" in text
    assert text.split("corrected:\n")[1].split("\n") == [
        "    Dense(10, activation='relu', input_shape=(784,))",
        "    Dense(10, activation='softmax')",
        f"    model.compile(optimizer='adam', loss='{SPARSE}', metrics=['accuracy'])",
    ]


def test_corrections_of_one_layer_are_one_line():
    model = Sequential([Dense(1, activation="sigmoid", input_shape=(9,))])
    text = problems_of(model, BINARY, CLASSES)
    assert text.count("Dense(3, activation='softmax', input_shape=(4,))") == 3
    assert "Dense(1" not in text


def test_the_corrected_lines_work():
    text = problems_of([sigmoid(1)], BINARY, CLASSES)
    dense, compiled = text.split("corrected:\n")[1].splitlines()
    model = network(eval(dense))
    exec(compiled.strip(), {"model": model})
    assert np.isfinite(model.fit(X, CLASSES, verbose=0).history["loss"][0])


@pytest.mark.parametrize(
    ("first", "x", "got", "fix"),
    [
        (Dense(5, input_shape=(9,)), X, "takes 9 inputs, the data has 4", INPUT),
        (Input(shape=(9,)), X, "takes 9 inputs, the data has 4", "Input(shape=(4,))"),
        (
            Dense(5, input_shape=(4,)),
            X.reshape(ROWS, 2, 2),
            "samples of shape (2, 2)",
            "x = x.reshape(len(x), 4)",
        ),
        (
            Flatten(input_shape=(3, 3)),
            X.reshape(ROWS, 2, 2),
            "takes samples of shape (3, 3)",
            "Flatten(input_shape=(2, 2))",
        ),
        (Rescaling(2.0, input_shape=(9,)), X, "the data has 4", "input_shape=(4,)"),
        (Dense(5, input_shape=(4,)), X[:, 0], "samples of shape ()", None),
    ],
)
def test_the_width_of_the_data_is_checked_against_the_first_layer(first, x, got, fix):
    text = problems_of(Sequential([first, linear(1)]), "mse", QUANTITY, x=x)
    assert got in text
    assert (fix or "") in text


def test_data_of_the_wrong_kind_is_told_together():
    x = X.copy()
    x[7, 2] = np.nan
    y = QUANTITY.copy()
    y[3:5] = np.inf
    text = problems_of([linear(1)], "mse", y[:-1], x=x, batch_size=0, epochs=-1)
    assert "5 mistakes" in text
    assert "batch_size must be a whole number from 1 on" in text
    assert "epochs must be a whole number from 0 on" in text
    assert "x of shape (12, 4), y of shape (11,)" in text
    assert "1 NaN, 0 infinite; the first is nan in row 7, column 2" in text
    assert "0 NaN, 2 infinite; the first is inf in row 3" in text


@pytest.mark.parametrize(
    ("x", "y", "part"),
    [
        (X[:0], QUANTITY[:0], "there is no data"),
        (None, QUANTITY, "x is missing"),
        (X, None, "y is missing"),
        (X.astype(object), QUANTITY, "Python objects"),
        (X.astype(str), QUANTITY, "not real numbers"),
        (X + 1j, QUANTITY, "not real numbers"),
        (X, ["low"] * ROWS, "numpy.unique(y, return_inverse=True)"),
        ([[1, 2], [3]], QUANTITY, "rows differ in length"),
        (X.T, QUANTITY, "x = x.T"),
    ],
)
def test_data_that_cannot_be_trained_on(x, y, part):
    assert part in problems_of([linear(1)], "mse", y, x=x)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"batch_size": 2.5}, "batch_size=32"),
        ({"batch_size": True}, "batch_size=32"),
        ({"initial_epoch": -1}, "initial_epoch must be a whole number from 0 on"),
        ({"validation_split": 1.0}, "0 <= validation_split < 1"),
        ({"validation_split": -0.1}, "0 <= validation_split < 1"),
        ({"validation_split": 0.99}, "one part would be empty"),
        ({"validation_data": X}, "validation_data=(x_val, y_val)"),
        ({"validation_data": (X, QUANTITY[:3])}, "x_val and y_val must have the same"),
        ({"validation_data": (X[:, :2], QUANTITY)}, "the data has 2"),
        (
            {"validation_data": (X * np.nan, QUANTITY)},
            "x_val: the value must be finite",
        ),
    ],
)
def test_arguments_and_validation_data_are_checked(arguments, part):
    assert part in problems_of([linear(1)], "mse", QUANTITY, **arguments)


def test_a_network_without_trainable_weights_is_refused():
    frozen = Sequential([Dense(1, input_shape=(4,), trainable=False)])
    assert "there is nothing to train" in problems_of(frozen, "mse", QUANTITY)
    nothing = Sequential([Rescaling(2.0)])
    assert "there is nothing to train" in problems_of(nothing, "mse", X)


def test_a_seed_is_a_number():
    model = network(linear(1))
    model.compile("sgd", "mse")
    with pytest.raises(ArgumentError, match="seed=0"):
        model.fit(X, QUANTITY, seed="lucky", verbose=0)


def test_accuracy_of_quantities_is_refused():
    text = problems_of([linear(1)], "mse", QUANTITY, metrics=["accuracy"])
    assert "accuracy counts equal classes" in text
    assert "metrics=['mae']" in text


def test_classes_measured_by_accuracy_are_no_quantities():
    text = problems_of([sigmoid(1)], "mse", CLASSES, metrics="accuracy")
    assert "2 mistakes" in text
    assert "Dense(3, activation='softmax', name='out')" in text
    assert f"loss='{SPARSE}'" in text


def test_a_model_of_ones_own_is_checked_as_far_as_it_can_be():
    class Own(Model):
        def __init__(self):
            super().__init__(name="own")
            self.dense = Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

    model = Own()
    model.compile("sgd", "mse")
    with pytest.raises(DataError, match="own: targets and outputs differ") as caught:
        model.fit(X, QUANTITY, verbose=0)
    assert "fix:" not in str(caught.value)
    with pytest.raises(DataError, match="own: the layer takes 4 inputs"):
        model.fit(X[:, :3], QUANTITY, verbose=0)


def test_a_model_that_learns_its_shape_from_the_data_is_checked_too():
    model = Sequential([Dense(5, "relu"), Dense(1, "sigmoid")])
    assert "one output for 3 classes" in problems_of(model, BINARY, CLASSES)


def test_layers_that_do_not_fit_together_are_told_like_the_rest():
    model = Sequential([Flatten(), Dense(2), linear(1)])
    x = X.astype(object)
    text = problems_of(model, "mse", QUANTITY, x=x)
    assert "Python objects" in text


def test_evaluate_and_predict_check_too():
    model = network(linear(1))
    model.compile("sgd", "mse")
    with pytest.raises(DataError, match="the data has 3"):
        model.evaluate(X[:, :3], QUANTITY, verbose=0)
    with pytest.raises(DataError, match="the data has 3"):
        model.predict(X[:, :3], verbose=0)
    with pytest.raises(DataError, match="batch_size"):
        model.predict(X, batch_size=-1, verbose=0)
    with pytest.raises(DataError, match="there is no data"):
        model.predict(X[:0], verbose=0)
    with pytest.raises(DataError, match="NaN"):
        model.predict(X * np.nan, verbose=0)


def test_calling_a_model_with_the_wrong_width_names_the_layer():
    with pytest.raises(ShapeError, match="first"):
        network(linear(1))(X[:, :3])


def test_mistakes_are_not_told_again_for_the_validation_data():
    y = CLASSES.copy()
    y[:6] = 0  # fewer classes in the validation data
    y[1] = 1
    text = problems_of(
        [sigmoid(1)], BINARY, CLASSES, validation_data=(X[:6] * np.nan, y[:6])
    )
    assert "3 mistakes" in text
    assert "x_val: the value must be finite" in text
    assert "one output for 2 classes" not in text


def test_labels_of_the_validation_data_are_checked():
    text = problems_of([softmax(3)], SPARSE, CLASSES, validation_data=(X, CLASSES + 1))
    assert "3 outputs for 4 classes" in text
    assert "y_val holds the labels 0 to 3" in text
