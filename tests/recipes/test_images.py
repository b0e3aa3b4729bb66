"""Telling what pictures show: the form they get, training, measures."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chainrule import Sequential
from chainrule.errors import ArgumentError, DataError, FormatError
from chainrule.layers import Dense, Input
from chainrule.recipes import images
from chainrule.recipes.images import (
    Plan,
    class_weights,
    learn,
    load_start,
    pose,
    start_network,
)
from chainrule.recipes.images_data import read_folder
from chainrule.recipes.images_drawing import draw_confusion, draw_filters, draw_sheet
from chainrule.recipes.images_measures import measure
from chainrule.recipes.images_network import (
    BUILDERS,
    CHANGES,
    build_network,
    changing_layers,
    check_changes,
    measure_levels,
    with_changes,
)
from chainrule.recipes.images_survey import (
    Form,
    Stream,
    Survey,
    choose_form,
    decode,
    survey,
)
from tests.recipes.drawn_classes import KINDS, draw_class, tiny_network, write_classes

QUICK = Plan(model="tiny", epochs=6, batch_size=8, learning_rate=0.01)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUILDERS, "tiny", tiny_network)


# ---- what pictures are like ----------------------------------------------------------


def test_sizes_colours_and_damage_are_seen(tmp_path: Path) -> None:
    folder = write_classes(tmp_path, 2, kinds=("disc", "cross"))
    (folder / "disc" / "000.png").write_bytes(b"no picture")
    cut = (folder / "cross" / "001.png").read_bytes()[:400]
    (folder / "cross" / "001.png").write_bytes(cut)
    data = read_folder(folder)
    looks = survey(data.origin, len(data))
    assert looks.sizes.tolist() == [[20, 24], [20, 24], [0, 0], [20, 24]]
    assert not looks.grey
    assert "no picture" in looks.problems[2]
    _, problems = decode(data.origin, [0, 1, 3], Form(20, 24, 3))
    assert list(problems) == [1]  # its header is whole
    with pytest.raises(FormatError, match=r"000\.png"):
        pose(data, Plan(damaged="refuse"))
    with pytest.raises(ArgumentError, match="skip or refuse"):
        pose(data, Plan(damaged="ignore"))


@pytest.mark.parametrize(("mode", "grey"), [("L", True), ("RGB", False), ("1", True)])
def test_grey_pictures_get_one_channel(tmp_path: Path, mode: str, grey: bool) -> None:
    data = read_folder(write_classes(tmp_path, 2, mode=mode))
    assert survey(data.origin, len(data)).grey is grey


def test_grey_in_three_channels_is_grey(tmp_path: Path) -> None:
    data = read_folder(write_classes(tmp_path, 2, mode="L"))
    for name in data.origin.names:  # type: ignore[attr-defined]
        with Image.open(tmp_path / name) as image:
            image.convert("RGBA").save(tmp_path / name)
    assert survey(data.origin, len(data)).grey


def test_one_turned_picture_counts_as_it_is_shown(tmp_path: Path) -> None:
    folder = write_classes(tmp_path, 1, suffix="jpg")
    image = draw_class(np.random.default_rng(0), "disc")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "disc" / "000.jpg", exif=exif)
    data = read_folder(folder)
    assert survey(data.origin, 3).sizes.tolist() == [[20, 24], [24, 20], [20, 24]]


@pytest.mark.parametrize(
    ("sizes", "size", "shape"),
    [
        ([(28, 28)], None, (28, 28, 3)),
        ([(32, 20)], None, (32, 20, 3)),
        ([(400, 400), (300, 420)], None, (96, 96, 3)),
        ([(200, 800)], None, (48, 192, 3)),
        ([(60, 60)], None, (64, 64, 3)),
        ([(0, 0), (300, 400)], (64,), (48, 64, 3)),
        ([(300, 400)], (40, 50), (40, 50, 3)),
    ],
)
def test_the_form_follows_the_pictures(
    sizes: list[tuple[int, int]], size: tuple[int, ...] | None, shape: tuple[int, ...]
) -> None:
    assert choose_form(Survey(np.array(sizes), False, {}), size).shape == shape


def test_arrays_are_given_the_form_too() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert Form(2, 2, 1).read(pixels).shape == (2, 2, 1)
    assert Form(4, 4, 3).read(pixels) is pixels
    assert Form(8, 8, 3).read(pixels[..., :1]).shape == (8, 8, 3)


# ---- networks ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(BUILDERS))
def test_every_network_tells_classes(kind: str) -> None:
    form = Form(32, 32, 1)
    network = build_network(kind, form, ["a", "b", "c"], ([7.0], [9.0]))
    assert network.output_shape == (None, 3)
    assert network.notes["class_names"] == ["a", "b", "c"]


@pytest.mark.parametrize("shape", [(5, 5, 1), (28, 28, 1), (96, 96, 3), (48, 192, 3)])
def test_plain_networks_take_any_size(shape: tuple[int, int, int]) -> None:
    levels = ([0.0] * shape[2], [1.0] * shape[2])
    network = build_network("cnn", Form(*shape), ["a", "b"], levels)
    said = network.predict(np.zeros((2, *shape), np.uint8), verbose=0)
    np.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-5)


def test_unknown_networks_and_changes() -> None:
    with pytest.raises(ArgumentError, match="auto, cnn"):
        build_network("vgg", Form(32, 32, 3), ["a", "b"], ([0.0] * 3, [1.0] * 3))
    with pytest.raises(ArgumentError, match="crop, flip"):
        check_changes(["crop", "rotat"])
    assert check_changes(["none"]) == ()


def test_pictures_change_in_training_alone() -> None:
    form = Form(8, 8, 1)
    network = build_network("tiny", form, ["a", "b"], ([127.0], [5000.0]))
    x = np.random.default_rng(0).integers(0, 255, (3, *form.shape)).astype(np.uint8)
    model = with_changes(network, ["flip", "flip_vertical"], form)
    assert model.layers[-1] is network
    np.testing.assert_array_equal(
        model.predict(x, verbose=0), network.predict(x, verbose=0)
    )
    assert with_changes(network, [], form) is network


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_gives_pictures_of_the_same_form(change: str) -> None:
    x = np.random.default_rng(0).integers(60, 180, (6, 9, 12, 3)).astype(np.uint8)
    made: Any = x
    for layer in changing_layers([change], Form(9, 12, 3)):
        made = layer(made, training=True)
    pixels = made.numpy()
    assert pixels.shape == x.shape
    assert not np.array_equal(pixels, x)
    assert pixels.min() >= 0
    assert pixels.max() <= 255


def test_crops_move_pictures_within_a_dark_border() -> None:
    made: Any = np.full((40, 16, 16, 1), 9, np.uint8)
    for layer in changing_layers(["crop"], Form(16, 16, 1)):
        made = layer(made, training=True)
    pixels = made.numpy()
    assert pixels.shape == (40, 16, 16, 1)
    rows = (pixels[..., 0] == 9).any(axis=2).sum(axis=1)
    assert rows.min() == 14  # moved by up to two pixels
    assert rows.max() == 16


def test_levels_of_channels() -> None:
    x = np.random.default_rng(0).integers(0, 255, (2100, 3, 4, 2)).astype(np.uint8)
    mean, variance = measure_levels(x)
    np.testing.assert_allclose(mean, x.mean(axis=(0, 1, 2)), atol=1e-3)
    np.testing.assert_allclose(variance, x.var(axis=(0, 1, 2)), atol=1e-3)
    assert measure_levels(np.full((2, 2, 2, 1), 9, np.uint8)) == ([0.0], [65025.0])


# ---- training ------------------------------------------------------------------------


def test_it_learns_from_few_pictures(tmp_path: Path) -> None:
    data = read_folder(write_classes(tmp_path / "data", 40))
    problem = pose(data, QUICK)
    lines: list[str] = []
    (tmp_path / "run").mkdir()
    plan = Plan(model="cnn", epochs=15, batch_size=8, learning_rate=0.01)
    outcome = learn(problem, plan, tmp_path / "run", lines.append)
    assert outcome.measures.accuracy > 0.8
    assert len(lines) == 15
    assert lines[0].startswith("epoch 1/15  loss ")


def test_a_run_that_is_cut_short_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    data = read_folder(write_classes(tmp_path / "data", 80))

    def run(name: str, stop_after: int | None = None) -> list[np.ndarray]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        problem = pose(data, QUICK)
        network = start_network(problem, QUICK)

        def show(line: str) -> None:
            if stop_after is not None and line.startswith(f"epoch {stop_after + 1}/"):
                raise ZeroDivisionError

        learn(problem, QUICK, folder, show, network)
        return [np.asarray(w) for w in network.get_weights()]

    whole = run("whole")
    with pytest.raises(ZeroDivisionError):
        run("parts", stop_after=3)
    for a, b in zip(whole, run("parts"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_pictures_that_do_not_fit_in_memory_are_read_as_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_classes(tmp_path / "data", 40)
    (folder / "disc" / "003.png").write_bytes(b"no picture")
    data = read_folder(folder)
    held = pose(data, QUICK)
    monkeypatch.setattr(images, "fits_in_memory", lambda count, form: False)
    problem = pose(data, QUICK)
    assert list(problem.damaged) == [str(folder / "disc" / "003.png")]
    pictures = problem.pictures("train")
    assert isinstance(pictures, Stream)
    for part, rows in held.parts.items():
        np.testing.assert_array_equal(problem.parts[part], rows)
    np.testing.assert_array_equal(pictures.pixels(5), held.pictures("train")[5])
    (tmp_path / "run").mkdir()
    plan = Plan(model="tiny", epochs=2, batch_size=16)
    outcome = learn(problem, plan, tmp_path / "run")
    assert np.isfinite(outcome.measures.loss)


def test_rare_classes_are_weighed(tmp_path: Path) -> None:
    assert class_weights(np.array([30, 10, 20])) is None
    found = class_weights(np.array([90, 10, 0]))
    assert found is not None
    assert found[1] == pytest.approx(3 * found[0], rel=1e-4)
    assert found[2] == 0
    assert (90 * found[0] + 10 * found[1]) / 100 == pytest.approx(1, rel=1e-4)


def test_a_trained_network_goes_on_with_other_classes(tmp_path: Path) -> None:
    first = pose(read_folder(write_classes(tmp_path / "a", 20)), QUICK)
    (tmp_path / "run").mkdir()
    base = learn(first, QUICK, tmp_path / "run").network
    base.save(tmp_path / "run" / "model.chainrule")
    other = write_classes(tmp_path / "b", 10, ("disc", "cross"), (50, 40), mode="L")
    start = str(tmp_path / "run")
    for freeze in (True, False):
        plan = replace(QUICK, model=None, start=start, freeze=freeze)
        problem = pose(read_folder(other), plan)
        assert problem.form == first.form  # what the network has learnt to see
        (tmp_path / str(freeze)).mkdir()
        network = learn(problem, plan, tmp_path / str(freeze)).network
        assert network.notes["class_names"] == ["cross", "disc"]
        kept = np.array_equal(
            network.get_layer("conv").get_weights()[0],
            base.get_layer("conv").get_weights()[0],
        )
        assert kept is freeze
    assert plan.highest_rate == 0.01
    assert Plan(start="x").highest_rate == Plan().highest_rate / 4


def test_only_what_tells_pictures_goes_on(tmp_path: Path) -> None:
    Sequential([Input((4,)), Dense(2)]).save(tmp_path / "m.chainrule")
    with pytest.raises(ArgumentError, match="does not tell what pictures show"):
        load_start(str(tmp_path / "m.chainrule"))


def test_no_picture_can_be_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of the pictures"):
        pose(read_folder(tmp_path), QUICK)


# ---- measures and drawings -----------------------------------------------------------


def test_measures_of_classes() -> None:
    said = np.eye(3, dtype=np.float32)[[0, 0, 1, 2, 0]] * 0.7 + 0.1
    measures = measure(np.array([0, 0, 1, 1, 1]), said)
    assert measures.accuracy == pytest.approx(0.6)
    assert measures.balanced_accuracy == pytest.approx((1 + 1 / 3) / 2)
    first, second, third = measures.by_class()
    assert first["precision"] == pytest.approx(2 / 3)
    assert second == {"precision": 1.0, "recall": 1 / 3, "f1": 0.5, "pictures": 3}
    assert third["pictures"] == 0
    assert measures.worst(5) == [3, 4]
    assert measures.mixed_up(9) == [(1, 0, 1), (1, 2, 1)]
    assert measures.among_first(2) == pytest.approx(1.0)
    assert measures.loss == pytest.approx(-np.log([0.8, 0.8, 0.8, 0.1, 0.1]).mean())


@pytest.mark.parametrize("classes", [2, 12, 150])
def test_confusion_is_drawn_for_any_number_of_classes(classes: int) -> None:
    counts = np.diag(np.arange(classes))
    drawn = draw_confusion(counts, [f"a class called {k}" for k in range(classes)])
    assert drawn is not None
    assert drawn.startswith(b"\x89PNG")


def test_filters_are_drawn_with_what_they_find() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 20)).astype(np.float32)
    assert draw_filters(kernel) is not None
    found = draw_filters(kernel, np.zeros((8, 6, 20), np.float32))
    assert found is not None
    with Image.open(io.BytesIO(found)) as image:
        assert image.size == (16 * 52 + 4, 2 * 110 + 4)


def test_a_sheet_of_pictures() -> None:
    pictures = [np.zeros((5, 7, 3), np.uint8), np.zeros((200, 300, 1), np.uint8)]
    assert draw_sheet(pictures, [["a"], ["a caption of great length", "b"]]) is not None
    assert draw_sheet([], []) is None


def test_the_kinds_can_be_told_apart() -> None:
    numbers = np.random.default_rng(0)
    made = {kind: np.asarray(draw_class(numbers, kind)) for kind in KINDS}
    assert len({pixels.tobytes() for pixels in made.values()}) == len(KINDS)
