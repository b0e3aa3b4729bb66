import io
import json
import random
import struct
import zipfile

import numpy as np
import pytest

import chainrule
from chainrule import Model, Sequential, load_model
from chainrule.errors import ArgumentError, FormatError
from chainrule.layers import Activation, Dense, Dropout, Flatten, Layer, Rescaling
from chainrule.optimizers import Adam

X = np.random.default_rng(0).random((30, 2, 3), np.float32)
Y = np.arange(30) % 4
SPARSE = "sparse_categorical_crossentropy"


def make_model():
    chainrule.set_seed(0)
    model = Sequential(
        [
            Rescaling(2.0, input_shape=(2, 3)),
            Flatten(),
            Sequential([Dense(5), Activation("tanh"), Dropout(0.3)], name="inner"),
            Dense(4, "softmax", kernel_initializer="he_normal"),
        ]
    )
    model.compile(Adam(0.01, clipnorm=1.0), SPARSE, metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def trained():
    model = make_model()
    model.fit(X, Y, epochs=3, verbose=0, seed=0)
    return model


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    return trained.save(tmp_path_factory.mktemp("models") / "model.chainrule")


def entries_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_entries(path, entries, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


# ---- there and back ------------------------------------------------------------------


def test_a_loaded_model_gives_the_same_bits(trained, saved):
    loaded = load_model(saved)
    assert (loaded.predict(X, verbose=0) == trained.predict(X, verbose=0)).all()
    assert loaded.get_config() == trained.get_config()
    assert loaded.evaluate(X, Y, verbose=0) == trained.evaluate(X, Y, verbose=0)


def test_training_goes_on_as_if_it_had_not_been_saved(saved):
    whole = make_model()
    losses = whole.fit(X, Y, epochs=6, verbose=0, seed=0).history["loss"]
    loaded = load_model(saved)
    more = loaded.fit(X, Y, epochs=6, initial_epoch=3, verbose=0, seed=0)
    assert more.history["loss"] == losses[3:]
    for a, b in zip(whole.get_weights(), loaded.get_weights(), strict=True):
        assert (a == b).all()


def test_loading_does_not_draw_random_numbers(saved):
    chainrule.set_seed(5)
    load_model(saved)
    first = Dense(3)
    first.build_for((None, 2))
    chainrule.set_seed(5)
    second = Dense(3)
    second.build_for((None, 2))
    assert (first.get_weights()[0] == second.get_weights()[0]).all()


def test_a_loaded_model_can_be_saved_again_without_loss(saved, tmp_path):
    again = load_model(saved).save(tmp_path / "again")
    assert again.read_bytes() == saved.read_bytes()


def test_equal_models_are_equal_files(trained, saved, tmp_path):
    assert trained.save(tmp_path / "again").read_bytes() == saved.read_bytes()


def test_the_file_is_json_and_safetensors_with_readable_names(saved):
    entries = entries_of(saved)
    assert list(entries) == [
        "model.json",
        "weights.safetensors",
        "optimizer.safetensors",
    ]
    description = json.loads(entries["model.json"])
    assert (description["format"], description["version"]) == ("chainrule-model", 1)
    (length,) = struct.unpack("<Q", entries["weights.safetensors"][:8])
    header = json.loads(entries["weights.safetensors"][8 : 8 + length])
    names = sorted(name for name in header if "/" in name)
    assert [name.split("/")[-1] for name in names] == ["bias", "kernel"] * 2
    assert sum(name.startswith("inner/") for name in names) == 2


def test_the_optimizer_may_be_left_out(trained, tmp_path):
    path = trained.save(tmp_path / "small", include_optimizer=False)
    assert "optimizer.safetensors" not in entries_of(path)
    assert load_model(path).fit(X, Y, verbose=0).epoch == [0]


def test_a_model_may_be_loaded_without_compiling(saved):
    assert load_model(saved, compile=False).optimizer is None


def test_a_model_that_was_never_compiled(tmp_path):
    model = Sequential([Dense(2, input_shape=(3,))])
    loaded = load_model(model.save(tmp_path / "plain"))
    assert loaded.optimizer is None
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert (a == b).all()


def test_notes_are_saved_with_the_model(saved, tmp_path):
    model = load_model(saved)
    assert model.notes == {}
    model.notes = {"class_names": ["Hund", "vögel"], "size": [8, 8]}
    path = model.save(tmp_path / "noted.chainrule")
    assert load_model(path).notes == model.notes
    for odd in ({"size": (8, 8)}, {"share": float("nan")}, {1: "text"}, {"x": {1, 2}}):
        model.notes = odd
        with pytest.raises(ArgumentError, match="notes"):
            model.save(tmp_path / "odd.chainrule")


def test_layers_of_one_name_on_different_levels(tmp_path):
    model = Sequential(
        [
            Sequential([Dense(3, name="d", input_shape=(2,))], name="a"),
            Sequential([Dense(3, name="d")], name="b"),
            Dense(3, name="d"),
        ]
    )
    loaded = load_model(model.save(tmp_path / "levels"))
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert (a == b).all()


def test_classes_of_ones_own_are_named_when_loading(tmp_path):
    class Double(Layer):
        def call(self, inputs):
            return inputs * 2

    model = Sequential([Dense(2, input_shape=(3,)), Double()])
    path = model.save(tmp_path / "own")
    with pytest.raises(FormatError, match="Double"):
        load_model(path)
    loaded = load_model(path, custom_objects={"Double": Double})
    x = X[:, 0]
    assert (loaded.predict(x, verbose=0) == model.predict(x, verbose=0)).all()


class Own(Model):
    """A model of one's own, with layers in attributes and in a list."""

    def __init__(self, units):
        super().__init__()
        self.units = units
        self.blocks = [Dense(units), Dense(units, "tanh")]
        self.out = Dense(1)

    def call(self, inputs):
        for block in self.blocks:
            inputs = block(inputs)
        return self.out(inputs)


def test_a_model_of_ones_own(tmp_path):
    model = Own(3)
    model.compile("adam", "mse")
    model.fit(X[:, 0], X[:, 1, 0], verbose=0)
    loaded = load_model(model.save(tmp_path / "own"), custom_objects={"Own": Own})
    x = X[:, 0]
    assert (loaded.predict(x, verbose=0) == model.predict(x, verbose=0)).all()
    assert loaded.units == 3
    a, b = (each.fit(x, x[:, 0], verbose=0, seed=0) for each in (model, loaded))
    assert a.history == b.history


# ---- saving --------------------------------------------------------------------------


def test_a_model_without_weights_cannot_be_saved(tmp_path):
    with pytest.raises(ArgumentError, match="no weights yet"):
        Sequential([Dense(2)]).save(tmp_path / "none")


def test_functions_without_a_name_are_refused_before_anything_is_written(tmp_path):
    model = Sequential([Dense(2, lambda x: x, input_shape=(3,))])
    with pytest.raises(ArgumentError, match="custom_object_scope"):
        model.save(tmp_path / "never")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept_where_asked(trained, tmp_path):
    path = tmp_path / "model"
    path.write_text("precious")
    with pytest.raises(ArgumentError, match="overwrite=True"):
        trained.save(path, overwrite=False)
    assert path.read_text() == "precious"


def test_a_failed_save_leaves_the_old_file(trained, tmp_path, monkeypatch):
    path = trained.save(tmp_path / "model")
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError("no space")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space"):
        make_model().save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# ---- damaged and hostile files -------------------------------------------------------


def load_or_refuse(path):
    """Load, or fail with the error that says so: nothing else may happen."""
    try:
        return load_model(path)
    except FormatError:
        return None


def test_every_truncation_is_refused(saved, tmp_path):
    content = saved.read_bytes()
    path = tmp_path / "cut"
    for length in [*range(0, len(content), 61), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(FormatError):
            load_model(path)


@pytest.mark.parametrize("seed", range(8))
def test_flipped_bytes_are_refused_or_harmless(saved, tmp_path, trained, seed):
    content = saved.read_bytes()
    rng = random.Random(seed)
    path = tmp_path / "flipped"
    expected = trained.get_weights()
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 8])):
            damaged[rng.randrange(len(damaged))] ^= rng.randrange(1, 256)
        path.write_bytes(damaged)
        model = load_or_refuse(path)
        if model is not None:
            for a, b in zip(model.get_weights(), expected, strict=True):
                assert (a == b).all()


@pytest.mark.parametrize("entry", ["weights.safetensors", "optimizer.safetensors"])
@pytest.mark.parametrize("seed", range(4))
def test_damaged_arrays_in_a_sound_zip_are_refused_or_load(
    saved, tmp_path, entry, seed
):
    rng = random.Random(seed)
    entries = entries_of(saved)
    for _ in range(40):
        damaged = bytearray(entries[entry])
        at = rng.randrange(min(len(damaged), 900))
        damaged[at] ^= rng.randrange(1, 256)
        load_or_refuse(
            write_entries(tmp_path / "x", {**entries, entry: bytes(damaged)})
        )


@pytest.mark.parametrize("seed", range(6))
def test_damaged_descriptions_are_refused_or_load(saved, tmp_path, seed):
    rng = random.Random(seed)
    entries = entries_of(saved)
    text = entries["model.json"]
    for _ in range(40):
        at = rng.randrange(len(text))
        piece = rng.choice([b"", b"9", b"-1", b"null", b"[]", b"{}", b'"', b"\xff"])
        damaged = text[:at] + piece + text[at + rng.randrange(12) :]
        load_or_refuse(
            write_entries(tmp_path / "x", {**entries, "model.json": damaged})
        )


def edit(saved, path, change):
    """The file with its description changed."""
    entries = entries_of(saved)
    description = json.loads(entries["model.json"])
    change(description)
    entries["model.json"] = json.dumps(description).encode()
    return write_entries(path, entries)


def last_layer(description):
    return description["model"]["config"]["layers"][-1]


def set_units(description, units):
    last_layer(description)["config"]["units"] = units


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda d: d.update(version=2), "pip install --upgrade chainrule"),
        (lambda d: d.update(format="other"), "does not say format"),
        (lambda d: d.pop("model"), "does not describe a model"),
        (lambda d: d.update(input_shape=[10**9, 10**9]), "not that of the model"),
        (lambda d: d.update(input_shape="x"), "not that of the model"),
        (lambda d: d.update(input_shape=7), "does not describe a model"),
        (lambda d: set_units(d, 10**12), "no array for a weight of this shape"),
        (lambda d: set_units(d, 3), "no array for a weight of this shape"),
        (lambda d: set_units(d, -1), "units must be a positive integer"),
        (lambda d: last_layer(d).update(class_name="os.system"), "no layer of this"),
        (lambda d: last_layer(d).update(class_name="Optimizer"), "no layer of this"),
        (lambda d: last_layer(d)["config"].update(evil=1), "does not take"),
        (lambda d: d["compile"].update(loss="nothing"), "no loss of this name"),
        (lambda d: d["model"].update(class_name="Dense"), "does not take"),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(saved, tmp_path, change, part):
    path = edit(saved, tmp_path / "edited", change)
    with pytest.raises(FormatError, match=part) as caught:
        load_model(path)
    assert str(path) in str(caught.value)


def test_deep_nesting_is_refused(saved, tmp_path):
    entries = entries_of(saved)
    entries["model.json"] = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    with pytest.raises(FormatError):
        load_model(write_entries(tmp_path / "deep", entries))

    def nest(description):
        for _ in range(300):
            config = {"name": "n", "layers": [description["model"]]}
            description["model"] = {"class_name": "Sequential", "config": config}

    with pytest.raises(FormatError):
        load_model(edit(saved, tmp_path / "nested", nest))


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "dtype"])
def test_weights_that_are_not_those_of_the_model_are_refused(saved, tmp_path, change):
    from safetensors.numpy import load, save  # noqa: PLC0415 - as in the library

    entries = entries_of(saved)
    arrays = load(entries["weights.safetensors"])
    name = next(iter(arrays))
    if change == "missing":
        del arrays[name]
    elif change == "extra":
        arrays["more"] = np.zeros(3, np.float32)
    elif change == "shape":
        arrays[name] = np.zeros(7, np.float32)
    else:
        arrays[name] = arrays[name].astype(np.float64)
    entries["weights.safetensors"] = save(arrays)
    with pytest.raises(FormatError):
        load_model(write_entries(tmp_path / "other", entries))


def test_compressed_entries_are_refused_unread(saved, tmp_path):
    bomb = entries_of(saved) | {"model.json": b" " * (32 << 20)}
    path = write_entries(tmp_path / "bomb", bomb, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(FormatError, match="compressed"):
        load_model(path)


def test_other_entries_are_refused(saved, tmp_path):
    entries = entries_of(saved) | {"../evil.py": b"print('run')"}
    with pytest.raises(FormatError, match="no model of chainrule"):
        load_model(write_entries(tmp_path / "more", entries))


def test_pickles_are_refused_and_not_run(tmp_path):
    path = tmp_path / "pickle"
    path.write_bytes(b"cos\nsystem\n(S'touch " + bytes(tmp_path / "ran") + b"'\ntR.")
    with pytest.raises(FormatError, match="damaged, or is no model"):
        load_model(path)
    assert not (tmp_path / "ran").exists()


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "nothing")


def test_names_that_stand_twice_are_refused(saved, tmp_path):
    buffer = io.BytesIO(saved.read_bytes())
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(buffer, "a") as archive,
    ):
        archive.writestr("model.json", b"{}")
    path = tmp_path / "twice"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(FormatError):
        load_model(path)
