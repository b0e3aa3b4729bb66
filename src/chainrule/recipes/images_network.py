"""Networks for labelled pictures, and how pictures are changed while training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import applications, layers
from chainrule.applications.building import INITIALIZER
from chainrule.errors import ArgumentError
from chainrule.models import Model, Sequential
from chainrule.recipes.images_survey import Form

Array = np.ndarray[Any, Any]

TASK = "classify"
PLAIN = "cnn"
FEATURES = "features"  # the layer whose output the classes are told by
SMALL = 40  # pixels of the longer side up to which pictures are small
STAGE_END = 8  # pixels at which no stage is added
WIDTHS = (32, 64, 128, 192, 256)
SHIFT = 8  # pictures are moved by an eighth of their sides
DROPOUT = 0.3
BRIGHTEST = 255.0


def plain_network(start: Any, classes: int) -> Any:
    """Convolutions 3x3, normalized, and poolings; the mean of positions; classes.

    Stages are added until no more than 8 x 8 positions are left; from the second on a
    large picture is halved before it is looked at closely.
    """
    x = start
    height, width = start.shape[1:3]
    for stage, filters in enumerate(WIDTHS, 1):
        if stage > 1:
            x = layers.MaxPooling2D(name=f"stage{stage}_pool")(x)
            height, width = height // 2, width // 2
        last = max(height, width) <= STAGE_END or stage == len(WIDTHS)
        for number in range(1, 1 + (2 if last else 1)):
            x = _convolved(x, filters, f"stage{stage}_conv{number}")
        if last or min(height, width) < 2:
            break
    x = layers.GlobalAveragePooling2D(name=FEATURES)(x)
    x = layers.Dropout(DROPOUT, name="dropout")(x)
    return layers.Dense(classes, "softmax", name="predictions")(x)


def _convolved(x: Any, filters: int, name: str) -> Any:
    x = layers.Conv2D(
        filters,
        3,
        padding="same",
        use_bias=False,
        kernel_initializer=INITIALIZER,
        name=name,
    )(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _built(build: Callable[..., Model], **options: Any) -> Callable[[Any, int], Any]:
    def make(start: Any, classes: int) -> Any:
        return build(input_tensor=start, classes=classes, **options).output

    return make


def _resnet18(start: Any, classes: int) -> Any:
    small = max(start.shape[1:3]) <= 2 * SMALL
    build = _built(applications.ResNet18, small_pictures=small)
    return build(start, classes)


BUILDERS: dict[str, Callable[[Any, int], Any]] = {
    PLAIN: plain_network,
    "lenet5": _built(applications.LeNet5, activation="relu"),
    "resnet20": _built(applications.ResNet20),
    "resnet32": _built(applications.ResNet32),
    "resnet18": _resnet18,
    "mobilenet": _built(applications.MobileNetSmall, alpha=0.5),
}


def choose_model(form: Form) -> str:
    """The network for pictures of this form.

    Small pictures in colours get a residual network, shades of grey and larger pictures
    plain convolutions.

    Example:
        >>> choose_model(Form(28, 28, 1)), choose_model(Form(32, 32, 3))
        ('cnn', 'resnet20')
    """
    small = max(form.height, form.width) <= SMALL and min(form.shape[:2]) >= 8
    return "resnet20" if small and form.channels == 3 else PLAIN


def check_kind(kind: str) -> None:
    """Refuse a network that there is not.

    Raises:
        ArgumentError: with those that there are.
    """
    if kind not in BUILDERS:
        raise ArgumentError(
            "there is no such network",
            where="model",
            got=repr(kind),
            expected=f"auto, {', '.join(BUILDERS)}",
        )


def build_network(
    kind: str, form: Form, class_names: Sequence[str], levels: tuple[Any, Any]
) -> Model:
    """A network: bytes of a picture in, the probabilities of the classes out.

    Args:
        kind: a key of `BUILDERS`.
        form: of the pictures.
        class_names: of what they show.
        levels: the mean and the variance of each channel, of pixels from 0 to 255.

    Raises:
        ArgumentError: when there is no such network.
        ShapeError: when the pictures are too small for it.
    """
    check_kind(kind)
    start = layers.Input(form.shape, name="picture")
    mean, variance = levels
    normal = layers.Normalization(mean=mean, variance=variance, name="levels")
    outputs = BUILDERS[kind](normal(start), len(class_names))
    network = Model(start, outputs, name=kind)
    network.notes = {
        "task": TASK,
        "class_names": list(class_names),
        "form": list(form.shape),
    }
    return network


def is_classifier(model: Any) -> bool:
    """Whether a model is one that tells what pictures show."""
    return bool(model.notes.get("task") == TASK)


def form_of(network: Any) -> Form:
    """The form of the pictures that a classifier takes."""
    return Form(*network.notes["form"])


def measure_levels(pixels: Array) -> tuple[list[float], list[float]]:
    """Mean and variance of every channel; of a constant channel 0 and 255 squared.

    Example:
        >>> measure_levels(np.uint8([[[[0], [4]]]]))
        ([2.0], [4.0])
    """
    axes = tuple(range(pixels.ndim - 1))
    parts = [pixels[k : k + 1000] for k in range(0, len(pixels), 1000)]
    count = pixels.size / pixels.shape[-1]
    mean = sum(part.sum(axis=axes, dtype=np.float64) for part in parts) / count
    squares = sum(np.square(part - mean).sum(axis=axes) for part in parts) / count
    flat = squares < 1
    mean, squares = np.where(flat, 0, mean), np.where(flat, BRIGHTEST**2, squares)
    return [round(v, 4) for v in mean.tolist()], [round(v, 4) for v in squares.tolist()]


# ---- changes while training ----------------------------------------------------------

CHANGES = ("crop", "flip", "flip_vertical", "rotate", "zoom", "light")
TURN = 15 / 360  # of a full circle, either way
ZOOM = 0.15
LIGHT = 0.2


def check_changes(names: Sequence[str]) -> tuple[str, ...]:
    """The changes by these names, each once.

    Raises:
        ArgumentError: for a name of none.
    """
    odd = [name for name in names if name not in (*CHANGES, "none")]
    if odd:
        raise ArgumentError(
            "there is no such change of pictures",
            where="augment",
            got=", ".join(odd),
            expected=f"none, or some of {', '.join(CHANGES)}",
        )
    return tuple(dict.fromkeys(name for name in names if name != "none"))


def choose_changes(form: Form, class_names: Sequence[str]) -> tuple[str, ...]:
    """What pictures like these may be changed by, and still show the same.

    All are moved a little. Those in colours are mirrored as well, unless classes are
    single characters or speak of sides.

    Example:
        >>> choose_changes(Form(32, 32, 3), ["cat", "dog"])
        ('crop', 'flip')
        >>> choose_changes(Form(32, 32, 3), ["arrow left", "arrow right"])
        ('crop',)
    """
    names = [name.lower() for name in class_names]
    characters = sum(len(name) == 1 for name in names) * 2 > len(names)
    sides = any("left" in name or "right" in name for name in names)
    if form.channels == 1 or characters or sides:
        return ("crop",)
    return ("crop", "flip")


def changing_layers(changes: Sequence[str], form: Form) -> list[Any]:
    """The layers that change pictures while training."""
    made: list[Any] = []
    if "crop" in changes:
        border = (max(1, form.height // SHIFT), max(1, form.width // SHIFT))
        made.append(layers.ZeroPadding2D(border))
        made.append(layers.RandomCrop(form.height, form.width))
    if "flip" in changes:
        made.append(layers.RandomFlip("horizontal"))
    if "flip_vertical" in changes:
        made.append(layers.RandomFlip("vertical"))
    if "rotate" in changes:
        made.append(layers.RandomRotation(TURN, fill_mode="nearest"))
    if "zoom" in changes:
        made.append(layers.RandomZoom((-ZOOM, ZOOM), fill_mode="nearest"))
    if "light" in changes:
        made.append(layers.RandomBrightness(LIGHT, value_range=(0, 255)))
        made.append(layers.RandomContrast(LIGHT, value_range=(0, 255)))
    return made


def with_changes(network: Model, changes: Sequence[str], form: Form) -> Model:
    """The network behind layers that change pictures, to be trained; it is shared.

    It is for training alone: what is measured and kept is the network.
    """
    made = changing_layers(changes, form)
    if not made:
        return network
    return Sequential([layers.Input(form.shape), *made, network], name="training")
