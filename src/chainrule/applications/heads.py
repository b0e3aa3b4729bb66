"""A new head on a network that has learnt something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule import layers
from chainrule.errors import ArgumentError
from chainrule.functional.recording import Symbol
from chainrule.models import Model, Sequential

HEAD = "predictions"
POOLINGS = {
    1: layers.GlobalAveragePooling1D,
    2: layers.GlobalAveragePooling2D,
    3: layers.GlobalAveragePooling3D,
}


def with_new_head(
    base: Model,
    classes: int | Sequence[str],
    classifier_activation: Any = "softmax",
    freeze: bool = False,
    features: str | None = None,
    name: str | None = None,
) -> Model:
    """A network with a fresh last layer for other classes; all else is kept.

    The last dense layer, with activations and the like behind it, makes way for a new
    one: `Dense(classes, classifier_activation)`. The other layers are those of `base`
    itself, with what they have learnt: training the new network changes them there as
    well, unless they are frozen.

    Args:
        base: a `Functional` or a `Sequential` that knows its input and ends in a dense
            layer.
        classes: how many there are, or their names.
        classifier_activation: of the new layer; None for scores.
        freeze: whether only the new layer learns. `layer.trainable = False` freezes
            single layers, and True lets them learn again.
        features: the layer whose output the new one takes, by its name; of feature maps
            the mean over all positions. By default what the old last layer took.
        name: of the network; that of `base` by default.

    Returns:
        The new network, to be compiled. It has the notes of `base`, with the names of
        the new classes.

    Raises:
        ArgumentError: when `base` does not end in a dense layer, has no layer of the
            name in `features`, or there are no classes.

    Example:
        >>> from chainrule.applications import LeNet5
        >>> base = LeNet5()
        >>> model = with_new_head(base, classes=["cat", "dog"], freeze=True)
        >>> model.output_shape, model.notes["class_names"]
        ((None, 2), ['cat', 'dog'])
        >>> [layer.name for layer in model.layers if layer.trainable_weights]
        ['predictions']
    """
    names = _names(classes)
    if not names or (len(names) < 2 and classifier_activation == "softmax"):
        raise ArgumentError(
            "a head tells two classes or more",
            where="with_new_head",
            got=f"classes={classes!r}",
            fix="classes=2, or classes=['cat', 'dog']",
        )
    head = layers.Dense(len(names), classifier_activation, name=HEAD)
    model = _rebuilt(base, head, features, name or base.name)
    if freeze:
        _freeze_all_but(model, head)
    model.notes = {**base.notes, "class_names": names}
    return model


def _names(classes: int | Sequence[str]) -> list[str]:
    if isinstance(classes, int):
        return [str(number) for number in range(classes)]
    return [str(name) for name in classes]


def _rebuilt(base: Model, head: Any, features: str | None, name: str) -> Model:
    """The network up to its last dense layer, or to the features, and the head."""
    if isinstance(base, Sequential) and isinstance(base.layers[-1], Model):
        inner = _rebuilt(base.layers[-1], head, features, base.layers[-1].name)
        return Sequential([*base._layers[:-1], inner], name=name)
    start = getattr(base, "input", None)
    end = getattr(base, "output", None)
    if not isinstance(end, Symbol):
        raise _no_head(base, "a model without a drawing of its layers, or several ends")
    if features is not None:
        found = base.get_layer(features).output
        maps = len(found.shape) - 2
        if maps:
            found = POOLINGS[maps](name="features")(found)
        return Model(start, head(found), name=name)
    call = end.call
    while not isinstance(call.target, layers.Dense):
        plain = isinstance(call.target, layers.Layer) and not call.target.weights
        if not plain or len(call.inputs) != 1:
            raise _no_head(base, call.name)
        call = call.inputs[0].call
    return Model(start, head(call.inputs[0]), name=name)


def _no_head(base: Model, found: str) -> ArgumentError:
    return ArgumentError(
        "the network does not end in a dense layer that a new one could replace",
        where=base.name,
        got=found,
        fix="chainrule.Model(base.input, Dense(classes)(base.get_layer(NAME).output))",
    )


def _freeze_all_but(model: Model, head: Any) -> None:
    for layer in model.layers:
        if isinstance(layer, Model) and head in layer.layers:
            _freeze_all_but(layer, head)
        elif layer is not head:
            layer.trainable = False
