"""Models drawn with symbols: graphs of layers, operators and functions."""

import json
import sys

import numpy as np
import pytest

import chainrule
from chainrule import Input, Model, Sequential
from chainrule.configurable import custom_object_scope
from chainrule.errors import ArgumentError, ChainruleError, FormatError, TraceError
from chainrule.ir import tree
from chainrule.layers import Dense, Dropout, InputLayer, Layer, TableEncoder
from chainrule.models import Functional
from tests.layers.test_contract import every_case, make_input
from tests.tolerances import assert_close

X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
Z = np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32)


def rebuilt(model: Model) -> Model:
    """The model from its config as JSON, with the same weights."""
    made = type(model).from_config(json.loads(json.dumps(model.get_config())))
    made.set_weights(model.get_weights())
    return made


def two_ends() -> Functional:
    """Two inputs, a shared layer, operators between layers, two outputs."""
    x, z = Input((4,), name="x"), Input((3,), name="z")
    shared = Dense(3, "tanh", name="shared")
    first = shared(x)
    both = chainrule.concat([first, shared(x * 2.0) - z], axis=-1)
    total = chainrule.mean(both[:, 1:], axis=-1, keepdims=True) / (1 + z[..., :1] ** 2)
    return Model([x, z], {"total": total, "score": Dense(1, name="score")(both)})


# ---- what it computes ----------------------------------------------------------------


def test_a_graph_computes_what_its_formula_says():
    model = two_ends()
    kernel, bias, out_kernel, out_bias = model.get_weights()
    first, second = np.tanh(X @ kernel + bias), np.tanh(2 * X @ kernel + bias)
    both = np.concatenate([first, second - Z], -1)
    total = both[:, 1:].mean(-1, keepdims=True) / (1 + Z[:, :1] ** 2)
    found = model([X, Z])
    assert list(found) == ["total", "score"]
    assert_close(found["total"].numpy(), total)
    assert_close(found["score"].numpy(), both @ out_kernel + out_bias)


def test_a_shared_layer_has_its_weights_once():
    assert [w.shape for w in two_ends().weights] == [(4, 3), (3,), (6, 1), (1,)]


def test_names_and_shapes_of_the_ends():
    model = two_ends()
    assert isinstance(model, Functional)
    assert (model.input_names, model.output_names) == (["x", "z"], ["total", "score"])
    assert model.output_shape == {"total": (None, 1), "score": (None, 1)}
    assert [layer.name for layer in model.layers] == ["x", "z", "shared", "score"]


@pytest.mark.parametrize(
    "given",
    [[X, Z], (X, Z), {"x": X, "z": Z}, {"z": Z, "x": X, "more": X}],
    ids=["list", "tuple", "dict", "dict with more"],
)
def test_inputs_come_as_a_list_or_by_name(given):
    model = two_ends()
    assert_close(model(given)["score"].numpy(), model([X, Z])["score"].numpy())


def test_inputs_declared_as_a_dict_are_named_by_its_keys():
    x, z = Input((4,)), Input((3,))
    model = Model({"a": x, "b": z}, Dense(2)(chainrule.concat([x, z], axis=1)))
    assert model.input_names == ["a", "b"]
    assert_close(model({"b": Z, "a": X}).numpy(), model([X, Z]).numpy())


def test_a_single_input_comes_as_it_is_or_by_name():
    x = Input((4,), name="x")
    model = Model(x, x * 3)
    for given in (X, [X], {"x": X}, X.tolist()):
        assert_close(model(given).numpy(), 3 * X)


def test_training_reaches_the_layers():
    x = Input((4,))
    model = Model(x, Dropout(0.5)(x))
    assert (model(X).numpy() == X).all()
    assert (model(X, training=True).numpy() == 0).any()
    always = Model(x, Dropout(0.5)(x, training=True))
    assert (always(X).numpy() == 0).any()


def test_it_trains_like_the_same_layers_in_a_row():
    row = Sequential([Dense(5, "relu", input_shape=(4,)), Dropout(0.2), Dense(1)])
    x = Input((4,))
    model = Model(x, Dense(1)(Dropout(0.2)(Dense(5, "relu")(x))))
    model.set_weights(row.get_weights())
    runs = []
    for each in (row, model):
        each.compile("adam", "mse")
        runs.append(each.fit(X, X[:, 0], epochs=3, verbose=0, seed=1).history)
    assert runs[0] == runs[1]


def test_a_deep_graph_does_not_exhaust_the_stack():
    x = Input((2,))
    y = x
    for _ in range(2 * sys.getrecursionlimit()):
        y = y + 1
    assert Model(x, y)(np.zeros((1, 2))).numpy()[0, 0] == 2 * sys.getrecursionlimit()


def test_functions_with_several_results():
    x = Input((4,))
    left, right = chainrule.split(x, 2, axis=-1)
    values, places = chainrule.top_k(x, 2)
    model = Model(x, [right, left, values, places])
    found = [part.numpy() for part in model(X)]
    assert_close(found[0], X[:, 2:])
    assert_close(found[1], X[:, :2])
    assert (found[3] == np.argsort(-X, axis=-1)[:, :2]).all()


def test_lengths_that_are_not_known_stay_so():
    x = Input((None, 3))
    assert Dense(5)(x).shape == (None, None, 5)
    assert chainrule.sum(x, axis=1).shape == (None, 3)
    assert chainrule.concat([x, x], axis=1).shape == (None, None, 3)
    assert chainrule.reshape(x, (-1, 3)).shape == (None, 3)
    assert Input(batch_shape=(32, 4)).shape == (32, 4)


def test_whole_numbers_stay_whole():
    x = Input((4,), dtype="int32")
    model = Model(x, x // 2)
    assert model(np.array([[1, 2, 3, 7]])).numpy().tolist() == [[0, 1, 1, 3]]
    assert model.outputs[0].dtype == chainrule.int32
    with pytest.raises(ChainruleError, match=r"astype\('int32'\)"):
        model(np.array([[1.5, 2, 3, 4]]))


def test_double_precision_is_kept():
    x = Input((4,), dtype="float64")
    model = Model(x, Dense(2, dtype="float64")(x))
    assert model(X.astype(np.float64)).dtype == chainrule.float64


# ---- models inside models ------------------------------------------------------------


def test_a_model_is_called_like_a_layer():
    inner = two_ends()
    x, z = Input((4,)), Input((3,))
    found = inner([x, z])
    outer = Model([x, z], found["score"] + found["total"])
    expected = inner([X, Z])
    assert_close(
        outer([X, Z]).numpy(), expected["score"].numpy() + expected["total"].numpy()
    )
    assert len(outer.weights) == 4
    assert_close(rebuilt(outer)([X, Z]).numpy(), outer([X, Z]).numpy())


def test_sequential_and_functional_hold_one_another():
    x = Input((4,))
    inside = Model(x, Dense(3)(x))
    row = Sequential([inside, Sequential([Dense(2)]), Dense(1)])
    assert row.output_shape == (None, 1)
    outer = Model(x, row(x))
    assert_close(outer(X).numpy(), row(X).numpy())
    assert_close(rebuilt(outer)(X).numpy(), row(X).numpy())


def test_a_model_of_values_within_another():
    base = Sequential([Dense(5, "relu", name="h", input_shape=(4,)), Dense(1)])
    features = Model(base.input, base.get_layer("h").output)
    assert_close(features(X).numpy(), base.layers[0](X).numpy())
    deeper = Model(features.input, [features.output, base.output])
    assert_close(deeper(X)[1].numpy(), base(X).numpy())
    after = Model(base.get_layer("h").output, base.output)
    assert_close(after(base.layers[0](X)).numpy(), base(X).numpy())
    assert_close(rebuilt(after)(features(X)).numpy(), base(X).numpy())


def test_layers_added_later_continue_the_same_graph():
    row = Sequential([Dense(3, name="a", input_shape=(4,))])
    start = row.input
    row.add(Dense(2, name="b"))
    row.pop()
    row.add(Dense(1, name="c"))
    assert row.input is start
    assert Model(row.input, row.output).output_shape == (None, 1)


class Gate(Layer):
    """A layer of several inputs, one by keyword."""

    def build(self, input_shape):
        self.scale = self.add_weight("scale", input_shape[-1:], "ones")

    def call(self, inputs, gate, offset=0.0, training=False):
        return inputs * gate * self.scale.value + offset


class Scaled(Model):
    """A drawn model with an argument of its own."""

    def __init__(self, width):
        self.width = width
        x = Input((4,))
        super().__init__(x, Dense(width, name="inside")(x))


class Counted(Model):
    """A model whose class adds to what is drawn."""

    def twice(self, x):
        return self(x) * 2


def test_layers_take_several_inputs_and_keywords():
    x, z = Input((4,)), Input((4,))
    model = Model([x, z], Gate()(x, z, offset=chainrule.asarray(2.0)))
    assert_close(model([X, X]).numpy(), X * X + 2)
    with custom_object_scope({"Gate": Gate}):
        assert_close(rebuilt(model)([X, X]).numpy(), X * X + 2)


def test_classes_of_ones_own_can_be_drawn():
    x = Input((4,))
    model = Counted(x, Dense(2)(x))
    assert isinstance(model, Counted)
    assert isinstance(model, Functional)
    assert_close(model.twice(X).numpy(), 2 * model(X).numpy())
    other = Scaled(3)
    assert other.get_config()["width"] == 3
    for each in (model, other):
        again = rebuilt(each)
        assert type(again) is type(each)
        assert_close(again(X).numpy(), each(X).numpy())


@every_case
def test_every_layer_can_be_drawn(case):
    """A graph of any layer computes what the layer does, also when it is made again."""
    chainrule.set_seed(0)
    layer = case.make(name="drawn")
    several = isinstance(case.sample, list)
    shapes = case.sample if several else [case.sample]
    drawn = make_input(case, rows=6)
    given = drawn if several else [drawn]
    symbols = [Input(shape) for shape in shapes]
    outputs = layer(symbols if several else symbols[0])
    expected = layer(given if several else given[0])
    assert tree.flatten(outputs)[1] == tree.flatten(expected)[1]
    model = Model(symbols, outputs)
    found = [value.numpy() for value in tree.flatten(model(given))[0]]
    for symbol, a, b in zip(
        model.outputs, found, tree.flatten(expected)[0], strict=True
    ):
        assert symbol.dtype == b.dtype
        assert symbol.shape == (None, *b.shape[1:])
        assert (a == b.numpy()).all()
    for a, b in zip(found, tree.flatten(rebuilt(model)(given))[0], strict=True):
        assert (a == b.numpy()).all()


def test_layers_that_compute_on_raw_data_stand_before_a_graph():
    encoder = TableEncoder()
    encoder.adapt({"size": [1.0, 3.0]})
    with pytest.raises(TraceError, match="no part of a graph"):
        encoder(Input((1,)))
    x = Input((1,))
    model = Sequential([encoder, Model(x, x * 10)])
    assert model.predict({"size": [3.0]}, verbose=0).tolist() == [[10.0]]


# ---- config --------------------------------------------------------------------------


def test_config_rebuilds_the_graph():
    model = two_ends()
    again = rebuilt(model)
    assert again.get_config() == model.get_config()
    for name, value in model([X, Z]).items():
        assert (again([X, Z])[name].numpy() == value.numpy()).all()


def test_constants_in_calls_are_kept():
    x = Input((4,))
    shift = np.array([1.0, -np.inf, np.nan, 4.0], np.float32)
    y = chainrule.where(chainrule.asarray([True, False, False, True]), x + shift, 0)
    model = Model(x, [y, x.astype("float64"), chainrule.clip(x, max=float("inf"))])
    for a, b in zip(rebuilt(model)(X), model(X), strict=True):
        assert (a.numpy() == b.numpy()).all()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda c: c["calls"][0].update(layer="none"), "neither a layer"),
        (lambda c: c["calls"][1].update(function="set_seed"), "neither a layer"),
        (lambda c: c["calls"][1].update(function="__import__"), "neither a layer"),
        (lambda c: c["calls"][0].update(args=[{"symbol": 9}]), "no call before it"),
        (lambda c: c["calls"][0].update(args=[{"symbol": True}]), "no call before it"),
        (lambda c: c["calls"][0].update(args=[{"lambda": 1}]), "no argument of a call"),
        (lambda c: c.update(outputs={"symbol": -1}), "no call before it"),
        (lambda c: c.update(inputs=[]), "no call before it"),
        (lambda c: c["layers"].reverse(), "do not stand first"),
    ],
)
def test_configs_that_do_not_fit_are_refused(change, part):
    config = json.loads(json.dumps(two_ends().get_config()))
    change(config)
    with pytest.raises((FormatError, ArgumentError), match=part):
        Functional.from_config(config)


# ---- lessons -------------------------------------------------------------------------


def test_a_missing_input_is_named_with_who_needs_it():
    x, z = Input((4,), name="x"), Input((4,), name="z")
    y = Dense(2, name="out")(x + z)
    with pytest.raises(ArgumentError, match="'add' cannot be computed: 'z' is needed"):
        Model(x, y)


def test_an_input_that_leads_nowhere_is_named():
    x, z = Input((4,), name="x"), Input((4,), name="z")
    with pytest.raises(ArgumentError, match="leads to no output"):
        Model([x, z], Dense(2)(x))
    with pytest.raises(ArgumentError, match="stands twice"):
        Model([x, x], Dense(2)(x))


def test_two_layers_of_one_name_are_refused():
    x = Input((4,))
    with pytest.raises(ArgumentError, match="name='same_b'"):
        Model(x, Dense(2, name="same")(Dense(2, name="same")(x)))


def test_what_is_no_symbol_is_refused():
    with pytest.raises(ArgumentError, match="inputs are symbols"):
        Model(X, Dense(2)(X))
    with pytest.raises(ArgumentError, match="outputs are symbols"):
        Model(Input((4,)), Dense(2))


@pytest.mark.parametrize("given", [X, [X], [X, Z, X], {"x": X}, {"x": X, "y": Z}])
def test_other_inputs_are_refused_with_those_it_has(given):
    with pytest.raises(ArgumentError, match=r"'x' \(float32\[None, 4\]\), 'z'"):
        two_ends()(given)


def test_a_wrong_width_names_the_layer_and_the_input():
    dense = Dense(2, name="narrow")
    dense(Input((4,)))
    with pytest.raises(ChainruleError, match="narrow"):
        dense(Input((5,)))
    with pytest.raises(ChainruleError, match="z: "):
        two_ends()([X, X])


def test_a_symbol_has_no_numbers():
    x = Input((4,), name="x")
    for use in (bool, float, len, np.asarray, list):
        with pytest.raises(TraceError, match="no numbers"):
            use(x)


def test_a_variable_outside_of_layers_is_refused():
    with pytest.raises(ArgumentError, match="would not be trained"):
        Input((4,)) * chainrule.Variable([1.0, 2.0, 3.0, 4.0])


def test_a_layer_that_was_not_drawn_has_no_output():
    with pytest.raises(ArgumentError, match="not called with a symbol"):
        _ = Dense(2).output
    with pytest.raises(ArgumentError, match="not known yet"):
        _ = Sequential([Dense(2)]).input


@pytest.mark.parametrize(
    "arguments", [{}, {"shape": (4,), "batch_shape": (None, 4)}, {"batch_size": 3}]
)
def test_the_shape_of_an_input_is_told_once(arguments):
    with pytest.raises(ArgumentError, match="told once"):
        Input(**arguments)


def test_input_layers_can_be_called():
    layer = InputLayer((4,))
    assert (layer(X).numpy() == X).all()
