"""Weights in files of their own, cloning, freezing, and descriptions as JSON."""

import contextlib
import json
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chainrule
from chainrule import Input, Model, Sequential, load_model
from chainrule.configurable import custom_object_scope
from chainrule.errors import ArgumentError, ChainruleError, FormatError
from chainrule.layers import BatchNormalization, Dense, Lambda, Layer
from chainrule.models import clone_model, model_from_json
from chainrule.training.saving import pack_arrays

X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)


def drawn(width=3, last="out"):
    x = Input((4,), name="x")
    hidden = Dense(width, "tanh", name="hidden")
    inner = Sequential([Dense(2, name="d")], name="inner")
    return Model(x, Dense(1, name=last)(inner(hidden(x))), name="drawn")


@pytest.fixture
def path(tmp_path):
    return drawn().save_weights(tmp_path / "w.safetensors")


def write(path, header, numbers=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + numbers)
    return path


# ---- there and back ------------------------------------------------------------------


def test_weights_are_plain_safetensors_with_readable_names(path):
    from safetensors.numpy import load_file  # noqa: PLC0415 - as in the library

    shapes = {name: array.shape for name, array in load_file(path).items()}
    assert shapes == {
        "hidden/kernel": (4, 3),
        "hidden/bias": (3,),
        "inner/d/kernel": (3, 2),
        "inner/d/bias": (2,),
        "out/kernel": (2, 1),
        "out/bias": (1,),
    }


def test_weights_come_back_by_name(tmp_path):
    first, second = drawn(), drawn()
    report = second.load_weights(first.save_weights(tmp_path / "w"))
    assert report.complete
    assert len(report.loaded) == 6
    assert (first(X).numpy() == second(X).numpy()).all()


def test_the_weights_of_a_model_file_can_be_loaded(tmp_path):
    first, second = drawn(), drawn()
    second.load_weights(first.save(tmp_path / "m"))
    assert (first(X).numpy() == second(X).numpy()).all()


def test_other_widths_of_floats_are_converted(tmp_path):
    model = drawn()
    arrays = {n: np.ones((3,), np.float64) for n in ["hidden/bias"]}
    (tmp_path / "w").write_bytes(pack_arrays(arrays))
    assert model.load_weights(tmp_path / "w", strict=False).loaded == ("hidden/bias",)
    assert (model.get_layer("hidden").bias.numpy() == 1).all()


def test_what_does_not_fit_is_refused_and_nothing_is_changed(path):
    model = drawn(width=5, last="other")
    before = model.get_weights()
    with pytest.raises(FormatError) as caught:
        model.load_weights(path)
    for part in ("missing: other/", "unexpected: out/", "hidden/kernel: float32[4, 3]"):
        assert part in str(caught.value)
    for a, b in zip(before, model.get_weights(), strict=True):
        assert (a == b).all()


@pytest.mark.parametrize("options", [{"skip_mismatch": True}, {"strict": False}])
def test_what_fits_is_loaded_where_asked_and_the_rest_is_told(path, options, capsys):
    model = drawn(width=5, last="other")
    report = model.load_weights(path, **options)
    assert report.loaded == ("inner/d/bias",)
    assert report.missing == ("other/kernel", "other/bias")
    assert sorted(report.unexpected) == ["out/bias", "out/kernel"]
    assert sorted(report.mismatched) == [
        "hidden/bias",
        "hidden/kernel",
        "inner/d/kernel",
    ]
    assert capsys.readouterr().out == f"{report}\n"
    assert "missing in the file: 2\n  other/kernel" in str(report)


def test_an_existing_file_of_weights_is_kept_where_asked(path):
    with pytest.raises(ArgumentError, match="overwrite=True"):
        drawn().save_weights(path, overwrite=False)


def test_weights_that_are_not_there_yet(tmp_path, path):
    with pytest.raises(ArgumentError, match="no weights yet"):
        Sequential([Dense(2)]).save_weights(tmp_path / "none")
    with pytest.raises(ArgumentError, match="no weights yet"):
        Sequential([Dense(2)]).load_weights(path)


# ---- hostile files -------------------------------------------------------------------


@pytest.mark.parametrize(
    "length", [0, 9, 2**31, 2**63, 2**64 - 1], ids=["0", "9", "2G", "8E", "16E"]
)
def test_headers_that_claim_another_size_are_refused(tmp_path, length):
    (tmp_path / "w").write_bytes(struct.pack("<Q", length) + b"{}")
    with pytest.raises(FormatError):
        drawn().load_weights(tmp_path / "w")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**62]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "OBJ", "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": "x", "data_offsets": [0, 4]},
        [],
    ],
)
def test_arrays_that_claim_what_is_not_there_are_refused(tmp_path, entry):
    with pytest.raises(FormatError):
        drawn().load_weights(write(tmp_path / "w", {"a": entry}, b"\0" * 4))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, 700),
    changes=st.lists(st.tuples(st.integers(0, 699), st.integers(0, 255)), max_size=6),
)
def test_mutated_weights_are_refused_or_load(path, tmp_path, cut, changes):
    content = bytearray(path.read_bytes())
    for place, byte in changes:
        content[place % len(content)] = byte
    (tmp_path / "mutated").write_bytes(content[: len(content) - cut % len(content)])
    with contextlib.suppress(FormatError):
        drawn().load_weights(tmp_path / "mutated", strict=False)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = drawn()
    model.compile("adam", "mse")
    model.fit(X, X[:, 0], verbose=0)
    return model.save(tmp_path_factory.mktemp("drawn") / "model")


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_graphs_are_refused_or_load(saved, tmp_path, data):
    """Any value of the description replaced by any other: FormatError, or a model."""
    with zipfile.ZipFile(saved) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    description = json.loads(entries["model.json"])
    places = list(_places(description))
    where, key = data.draw(st.sampled_from(places))
    other = st.one_of(
        st.none(),
        st.integers(-(2**70), 2**70),
        st.sampled_from(["", "relu", "hidden", [], {}, [[]], {"symbol": 0}, 1e308]),
        st.sampled_from(
            [places[0][0]["model"], description["model"]["config"]["calls"]]
        ),
    )
    where[key] = json.loads(json.dumps(data.draw(other)))
    entries["model.json"] = json.dumps(description).encode()
    path = tmp_path / "mutated"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with contextlib.suppress(FormatError):
        load_model(path)


def _places(part):
    """Every container in a description with every key of it."""
    for key in part if isinstance(part, dict) else range(len(part)):
        yield part, key
        if isinstance(part[key], (dict, list)):
            yield from _places(part[key])


class Pair(Model):
    """A model of one's own with two inputs by name, one of whole numbers."""

    def __init__(self, units):
        super().__init__()
        self.units = units
        self.left, self.right = Dense(units), Dense(units)

    def call(self, inputs):
        kinds = chainrule.one_hot(inputs["kind"], 3)
        return self.left(inputs["x"]) * self.right(kinds)


@pytest.mark.parametrize("first", ["call", "fit"])
def test_models_of_ones_own_with_several_inputs(tmp_path, first):
    inputs = {"x": X, "kind": np.arange(12) % 3}
    model = Pair(2)
    model.compile("adam", "mse")
    if first == "call":
        model(inputs)
    else:
        model.fit(inputs, X[:, :2], verbose=0)
    loaded = load_model(model.save(tmp_path / "m"), custom_objects={"Pair": Pair})
    assert (loaded(inputs).numpy() == model(inputs).numpy()).all()


# ---- assets --------------------------------------------------------------------------


class Words(Layer):
    """A layer with a vocabulary, which decides the width of its output."""

    def __init__(self, **options):
        super().__init__(**options)
        self.words = []

    def assets(self):
        return {"words": self.words}

    def load_assets(self, assets):
        self.words = list(assets["words"])

    def call(self, inputs):
        return chainrule.one_hot(
            chainrule.astype(inputs[:, 0], "int32"), len(self.words)
        )


def test_assets_are_saved_and_loaded_before_the_layer_is_used(tmp_path):
    words = Words()
    words.words = ["a", "b", "ö"]
    x = Input((4,))
    model = Model(x, Dense(2)(words(x)))
    path = model.save(tmp_path / "m")
    loaded = load_model(path, custom_objects={"Words": Words})
    assert loaded.layers[1].words == ["a", "b", "ö"]
    assert (loaded(X).numpy() == model(X).numpy()).all()
    with custom_object_scope({"Words": Words}):
        assert clone_model(model).layers[1].words == words.words


def test_assets_for_a_layer_that_has_none_are_refused():
    described = json.loads(drawn().to_json())
    described["config"]["layers"][1]["assets"] = {"words": []}
    with pytest.raises(ArgumentError, match="no state beside"):
        model_from_json(json.dumps(described))


# ---- JSON and cloning ----------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [drawn, lambda: Sequential([Dense(3, input_shape=(4,)), Dense(1)])]
)
def test_json_describes_a_model(make):
    model = make()
    again = model_from_json(model.to_json(indent=2))
    assert type(again) is type(model)
    assert again.get_config() == model.get_config()
    again.set_weights(model.get_weights())
    assert (again(X).numpy() == model(X).numpy()).all()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "7", "null", "[" * 100_000])
def test_what_is_no_description_is_refused(text):
    with pytest.raises(FormatError):
        model_from_json(text)


def test_a_clone_is_equal_and_shares_nothing():
    model = drawn()
    clone = clone_model(model)
    assert clone.get_config() == model.get_config()
    assert not {id(v) for v in clone.weights} & {id(v) for v in model.weights}


@pytest.mark.parametrize(
    "make", [drawn, lambda: Sequential([Input((4,)), Dense(3, name="hidden")])]
)
def test_layers_are_replaced_while_cloning(make):
    def wider(layer):
        if layer.name == "hidden":
            return Dense(7, name="hidden")
        return type(layer).from_config(layer.get_config())

    clone = clone_model(make(), clone_function=wider)
    assert clone.get_layer("hidden").units == 7
    assert clone(X).shape[0] == 12


def test_a_clone_may_begin_at_other_symbols():
    model = drawn()
    x = Input((4,), name="elsewhere")
    assert clone_model(model, input_tensors=x).input_names == ["elsewhere"]


def test_a_shared_layer_stays_shared_in_a_clone():
    x = Input((4,))
    shared = Dense(4)
    model = Model(x, shared(shared(x)))
    assert len(clone_model(model).weights) == 2
    assert len(clone_model(model, clone_function=lambda _: Dense(4)).weights) == 2


# ---- freezing ------------------------------------------------------------------------


def changed(model):
    """The layers whose weights a training step changed."""
    before = [w.copy() for w in model.get_weights()]
    model.fit(X, X[:, 0], epochs=1, verbose=0, seed=0)
    paths = [variable.path.split("/")[-2] for variable in model.weights]
    pairs = zip(paths, before, model.get_weights(), strict=True)
    return {path for path, a, b in pairs if (a != b).any()}


def test_frozen_layers_do_not_change_from_the_next_fit_on():
    model = drawn()
    model.compile("adam", "mse")
    assert changed(model) == {"hidden", "d", "out"}
    model.get_layer("hidden").trainable = False
    assert changed(model) == {"d", "out"}
    model.get_layer("inner").trainable = False
    assert [v.path for v in model.trainable_weights] == ["out/kernel", "out/bias"]
    assert changed(model) == {"out"}
    model.trainable = True
    assert changed(model) == {"hidden", "d", "out"}


def test_freezing_reaches_the_layers_inside():
    model = drawn()
    model.trainable = False
    assert not any(layer.trainable for layer in model.layers)
    assert not model.get_layer("inner").layers[0].trainable
    assert model.trainable_weights == []


def test_frozen_layers_are_frozen_in_the_saved_model(tmp_path):
    model = drawn()
    model.get_layer("hidden").trainable = False
    loaded = load_model(model.save(tmp_path / "m"))
    assert [v.path for v in loaded.trainable_weights] == [
        v.path for v in model.trainable_weights
    ]


@pytest.mark.parametrize("affine", [True, False])
def test_a_frozen_normalization_keeps_its_statistics_and_uses_them(affine):
    x = Input((4,))
    normal = BatchNormalization(center=affine, scale=affine, name="normal")
    model = Model(x, Dense(1, name="out")(normal(x)))
    model.compile("sgd", "mse")
    shifted = 3 * X + 1
    model.fit(shifted, X[:, 0], verbose=0)
    normal.trainable = False
    before = normal.get_weights()
    model.fit(shifted, X[:, 0], verbose=0)
    for a, b in zip(before, normal.get_weights(), strict=True):
        assert (a == b).all()
    assert (model(shifted, training=True).numpy() == model(shifted).numpy()).all()
    normal.trainable = True
    model.fit(shifted, X[:, 0], verbose=0)
    assert (before[-1] != normal.get_weights()[-1]).all()


def test_code_is_not_saved(tmp_path):
    x = Input((4,))
    model = Model(x, Lambda(lambda y: y * 2, name="code")(x))
    with pytest.raises(ChainruleError, match="code"):
        model.save(tmp_path / "never")
    with pytest.raises(ChainruleError, match="code"):
        model.to_json()
    assert list(tmp_path.iterdir()) == []


def test_a_description_that_could_not_be_loaded_is_not_saved(tmp_path, monkeypatch):
    monkeypatch.setattr("chainrule.training.saving.LARGEST_DESCRIPTION", 10_000)
    words = Words()
    words.words = ["word"] * 10_000
    model = Model(x := Input((4,)), words(x))
    with pytest.raises(ArgumentError, match="too large to be saved"):
        model.save(tmp_path / "never")
