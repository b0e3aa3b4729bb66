"""The table of layers, and the cost of a step before it is taken."""

import re
import time

import numpy as np
import pytest

import chainrule
from chainrule import Input, Model, Sequential
from chainrule.errors import ArgumentError
from chainrule.layers import Dense, Dropout, Flatten
from chainrule.models.cost import cost_of
from chainrule.models.summary import summarize


def digits() -> Sequential:
    return Sequential(
        [
            Flatten(input_shape=(28, 28), name="flatten"),
            Dense(128, "relu", name="hidden"),
            Dense(10, "softmax", name="out"),
        ],
        name="digits",
    )


def branched() -> Model:
    x = Input((4,), name="x")
    inner = Sequential([Dense(3, name="d")], name="inner")
    shared = Dense(3, name="shared")
    left, right = chainrule.split(shared(x * 2) + shared(x), [1], axis=-1)
    return Model(x, [inner(left) - right[:, :1]], name="branched")


def rows_of(text: str) -> list[list[str]]:
    """The cells of the table, without the titles."""
    table = re.split(r"\n-{10,}\n", text)[2].splitlines()
    return [re.split(r"\s{2,}", row.strip()) for row in table]


def test_shapes_parameters_and_operations(capsys):
    model = digits()
    model.layers[1].trainable = False
    model.summary()
    text = capsys.readouterr().out
    assert rows_of(text) == [
        ["flatten (Flatten)", "(None, 784)", "0", "0"],
        ["hidden (Dense)", "(None, 128)", "100,480", "201.1 k"],
        ["out (Dense)", "(None, 10)", "1,290", "2.6 k"],
    ]
    for part in (
        "Parameters: 101,770 (397.54 KB)",
        "trainable: 1,290 (5.04 KB)",
        "frozen:    100,480 (392.50 KB)",
        "A training step on 32 rows, with Adam:",
        "weights 397.54 KB, gradients 5.04 KB",
    ):
        assert part in text


def test_a_graph_shows_what_feeds_each_layer():
    cells = {row[0]: row for row in rows_of(summarize(branched()))}
    assert cells["shared (Dense)"][-1] == "multiply, x"
    assert cells["inner (Sequential)"][-1] == "split[0]"
    assert cells["index (index)"][-1] == "split[1]"
    assert "Connected to" not in summarize(digits())


def test_models_inside_are_expanded_where_asked():
    assert " d (Dense)" not in summarize(branched())
    text = summarize(branched(), expand_nested=True)
    assert "\n  d (Dense) " in text


def test_trained_layers_are_marked_where_asked():
    model = digits()
    model.layers[1].trainable = False
    marks = [row[-1] for row in rows_of(summarize(model, show_trainable=True))]
    assert marks == ["-", "no", "yes"]


def test_a_part_of_the_layers():
    text = summarize(digits(), layer_range=["hid", "out"])
    assert [row[0] for row in rows_of(text)] == ["hidden (Dense)", "out (Dense)"]
    with pytest.raises(ArgumentError, match="no layer has such a name"):
        summarize(digits(), layer_range=["none", "out"])
    with pytest.raises(ArgumentError, match="two ends"):
        summarize(digits(), layer_range=["hidden"])


@pytest.mark.parametrize("positions", [[0.4, 0.7, 0.85, 1.0], [40, 60, 75, 90]])
def test_columns_end_where_told(positions):
    line = summarize(digits(), 100, positions).splitlines()[2]
    assert line.index("Output") == 40
    with pytest.raises(ArgumentError, match="every column"):
        summarize(digits(), 100, positions[:3])


def test_operations_are_those_of_the_formula():
    cost = cost_of(digits(), 16)
    products = {"digits/hidden": 2 * 784 * 128, "digits/out": 2 * 128 * 10}
    for path, count in products.items():
        assert count <= cost.forward[path] / 16 <= 1.05 * count
    # backward: the gradient of the weights, and in the second layer of its input
    least = products["digits/hidden"] * 2 + products["digits/out"] * 3
    adam = 20 * 101_770 / 16
    assert least < cost.step_flops / 16 < 1.1 * least + adam


def test_memory_follows_the_optimizer():
    model = digits()
    slots = {}
    for name in ("sgd", "rmsprop", "adam"):
        model.compile(name, "mse")
        slots[name] = cost_of(model, 32).slots
    weights = 4 * 101_770
    assert slots["sgd"] < 100
    assert weights <= slots["rmsprop"] < weights + 100
    assert 2 * weights <= slots["adam"] < 2 * weights + 100


def test_the_time_of_a_step_is_of_the_right_size():
    model = Sequential([Dense(512, "relu", input_shape=(512,)), Dense(512)])
    model.compile("adam", "mse")
    x = np.zeros((128 * 40, 512), np.float32)
    model.fit(x[:256], x[:256], batch_size=128, verbose=0)
    spent = []
    for _ in range(3):
        begun = time.perf_counter()
        model.fit(x, x, batch_size=128, verbose=0)
        spent.append((time.perf_counter() - begun) / 40)
    # wide limits: the machine may be busy with other things
    assert min(spent) / 30 < cost_of(model, 128).seconds < min(spent) * 6


def test_the_cost_is_told_before_anything_is_drawn_or_changed():
    chainrule.set_seed(3)
    model = Sequential([Dense(3, input_shape=(4,)), Dropout(0.5)])
    before = model.get_weights()
    following = chainrule.random.next_key().numpy().tolist()
    chainrule.set_seed(3)
    model = Sequential([Dense(3, input_shape=(4,)), Dropout(0.5)])
    summarize(model)
    assert chainrule.random.next_key().numpy().tolist() == following
    for a, b in zip(before, model.get_weights(), strict=True):
        assert (a == b).all()


class Own(Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.last = Dense(3), Dense(1)

    def call(self, inputs):
        return self.last(self.hidden(inputs))


def test_models_of_ones_own_know_their_cost_once_they_saw_data():
    model = Own()
    assert "no weights yet" in summarize(model)
    model(np.zeros((2, 4), np.float32))
    assert "A training step on 32 rows" in summarize(model)
    assert [row[2] for row in rows_of(summarize(model))] == ["15", "4"]
