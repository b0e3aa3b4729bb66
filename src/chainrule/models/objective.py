"""What `compile` was told, and how its line of code is corrected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chainrule import losses, metrics, optimizers
from chainrule.configurable import Configurable, serialize, snake_case
from chainrule.errors import ArgumentError
from chainrule.training.augmentation import Augmenter
from chainrule.training.case import SampleShape
from chainrule.training.checks import BINARY, MARGINS
from chainrule.training.targets import Output, Targets, by_output

ACCURACY = ("accuracy", "acc")
CROSSENTROPY = ("crossentropy", "ce")


@dataclass(frozen=True)
class Settings:
    """The arguments of `compile` beside optimizer, loss and metrics.

    Attributes:
        run_eagerly: whether steps run on the reference interpreter, operation by
            operation.
        jit_compile: False is the same; True and "auto" compile.
        steps_per_execution: accepted; the loop runs as many steps at once as fit
            between two looks of Python.
        auto_scale_loss: whether the loss is scaled where layers give float16.
    """

    run_eagerly: bool = False
    jit_compile: bool | str = "auto"
    steps_per_execution: int = 1
    auto_scale_loss: bool = True

    @property
    def backend(self) -> str | None:
        """The backend that steps run on; None for the one that is set."""
        eager = self.run_eagerly or self.jit_compile is False
        return "interpret" if eager else None


class Objective:
    """Losses, metrics and optimizer of a model.

    Args:
        optimizer: a name, a config or an optimizer.
        loss: a name, a config, a loss, a function, or None; or one for each output, as
            a list or as a dict by name.
        measures: one metric or several, in the same ways; with several outputs, a list
            or a dict of those.
        loss_weights: what the losses are multiplied by, as a list or a dict.
        weighted: metrics that use the weights of samples.
        settings: the other arguments of `compile`.
        augmentation: layers that change what is trained on.

    Raises:
        ArgumentError: for names that do not exist.
    """

    def __init__(
        self,
        optimizer: Any,
        loss: Any,
        measures: Any = None,
        loss_weights: Any = None,
        weighted: Any = None,
        settings: Settings | None = None,
        augmentation: Any = None,
    ) -> None:
        self.metrics, self.weighted = _as_list(measures), _as_list(weighted)
        self.given = {"optimizer": optimizer, "loss": loss, "metrics": self.metrics}
        if loss_weights is not None:
            self.given["loss_weights"] = loss_weights
        if self.weighted:
            self.given["weighted_metrics"] = self.weighted
        self.settings = settings or Settings()
        self.augmentation = None
        if augmentation is not None:
            self.augmentation = Augmenter(augmentation)
            self.given["augmentation"] = self.augmentation.layers
        self.optimizer = optimizers.get(optimizer)
        self.loss = _map(loss, _get_loss)
        self.loss_weights = _map(loss_weights, _check_weight)
        _map(self.metrics, _check_metric)
        _map(self.weighted, _check_metric)
        self._resolved: dict[Any, Targets] = {}

    def views(self, names: Sequence[str]) -> list[View]:
        """The objective of each output, for the checks before the first step.

        Args:
            names: the names of the outputs.

        Raises:
            ArgumentError: when losses or metrics do not fit the outputs.
        """
        wanted = _each(self.loss, names, "loss", shared=True)
        weights = _each(self.loss_weights, names, "loss_weights")
        plain = _each_list(self.metrics, names, "metrics")
        weighted = _each_list(self.weighted, names, "weighted_metrics")
        rows = zip(names, wanted, weights, plain, weighted, strict=True)
        single = len(names) == 1
        return [
            View(self, None if single else name, loss, weight, some, others)
            for name, loss, weight, some, others in rows
        ]

    def targets(
        self,
        names: Sequence[str],
        y_shapes: Sequence[SampleShape | None],
        output_shapes: Sequence[SampleShape],
    ) -> Targets:
        """The losses and metrics of outputs of these shapes, for the steps.

        What `accuracy` means depends on labels and outputs, as in Keras: one output
        counts against a threshold, class numbers and one-hot labels by the largest.
        """
        key = tuple(names), tuple(y_shapes), tuple(output_shapes)
        if key not in self._resolved:
            taken = {"loss"}
            views = self.views(names)
            taken |= {f"{v.output}_loss" for v in views if v.output and v.loss}
            rows = list(zip(views, y_shapes, output_shapes, strict=True))
            plain = [v.resolve(v.metrics, y, p, taken) for v, y, p in rows]
            weighted = [v.resolve(v.weighted, y, p, taken, True) for v, y, p in rows]
            outputs = [
                Output(v.output, v.loss_for(y, p), v.weight, some, others)
                for (v, y, p), some, others in zip(rows, plain, weighted, strict=True)
            ]
            self._resolved[key] = Targets(outputs, names)
        return self._resolved[key]

    def change(self, **arguments: str) -> Callable[[], str]:
        """The corrected line of `compile`."""
        shown = {
            name: repr(value)
            for name, value in self.given.items()
            if name != "metrics" or value
        }
        shown.update(arguments)
        inside = ", ".join(f"{name}={value}" for name, value in shown.items())
        return lambda: f"model.compile({inside})"

    def get_config(self) -> dict[str, Any]:
        """What `compile` was told, fit for JSON."""
        changes = self.augmentation
        more = {} if changes is None else {"augmentation": serialize(changes.layers)}
        return {
            **more,
            "optimizer": serialize(self.optimizer),
            "loss": serialize(self.loss),
            "loss_weights": serialize(self.loss_weights),
            "metrics": serialize(self.metrics),
            "weighted_metrics": serialize(self.weighted),
        }


@dataclass
class View:
    """The objective of one output; see `training.case.Objective`.

    Attributes:
        whole: what `compile` was told.
        output: the name of the output; None where it is the only one.
        loss: its loss, or None.
        weight: what the loss is multiplied by.
        metrics: its metrics, as they were given.
        weighted: its metrics with weights of samples, as they were given.
    """

    whole: Objective
    output: str | None
    loss: Any
    weight: float | None
    metrics: list[Any]
    weighted: list[Any]
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = _loss_name(self.loss)
        self.from_logits = bool(getattr(self.loss, "from_logits", False))
        self.ignore_class: int | None = getattr(self.loss, "ignore_class", None)
        self.accuracy = any(map(_is_accuracy, self.metrics))

    def change(self, **arguments: str) -> Callable[[], str]:
        """The corrected line of `compile`; of several outputs, with this one's part."""
        if self.output is None:
            return self.whole.change(**arguments)
        inside = {
            key: f"{{{self.output!r}: {value}, ...}}"
            for key, value in arguments.items()
        }
        return self.whole.change(**inside)

    def loss_for(self, y: SampleShape | None, predicted: SampleShape) -> Any:
        """The loss; `crossentropy` means one of three, by the shapes."""
        if not isinstance(self.loss, str):
            return self.loss
        return losses.resolve(self.loss, (None, *(y or ())), (None, *predicted))

    def meant(self, y: SampleShape, predicted: SampleShape | None) -> View:
        """The objective with the loss that these shapes make of its name."""
        if predicted is None or not isinstance(self.loss, str):
            return self
        return replace(self, loss=self.loss_for(y, predicted))

    def resolve(
        self,
        given: Sequence[Any],
        y: SampleShape | None,
        predicted: SampleShape,
        taken: set[str],
        weighted: bool = False,
    ) -> dict[str, Any]:
        """Metrics by their names in the logs; names in `taken` are not used again."""
        resolved: dict[str, Any] = {}
        for each in given:
            metric = self._metric(each, y or (), predicted)
            name = self._free_name(metric.name, taken, weighted)
            taken.add(name)
            resolved[name] = metric
        return resolved

    def _free_name(self, name: str, taken: set[str], weighted: bool) -> str:
        prefix = "" if self.output is None else f"{self.output}_"
        found = f"{prefix}{name}"
        if weighted and found in taken:
            found = f"{prefix}weighted_{name}"
        number, stem = 0, found
        while found in taken:
            number += 1
            found = f"{stem}_{number}"
        return found

    def _metric(
        self, given: Any, y_shape: SampleShape, output_shape: SampleShape
    ) -> Any:
        if _is_accuracy(given) and self.name in (*BINARY, *MARGINS):
            # one yes or no for each output, also where there are several
            signed = self.from_logits or self.name in MARGINS
            return metrics.BinaryAccuracy(0.0 if signed else 0.5, name=given)
        y, predicted = (None, *y_shape), (None, *output_shape)
        return metrics.resolve(given, y, predicted, self.from_logits)


def _as_list(given: Any) -> Any:
    if given is None:
        return []
    single = isinstance(given, (str, Configurable)) or callable(given)
    if single or _is_config(given):
        return [given]
    return given if isinstance(given, Mapping) else list(given)


def _is_config(given: Any) -> bool:
    """Whether a dict describes an object, and not outputs by name."""
    return isinstance(given, Mapping) and "class_name" in given


def _map(given: Any, function: Callable[[Any], Any]) -> Any:
    """`function` of each part of nested lists and dicts."""
    if isinstance(given, Mapping) and not _is_config(given):
        return {name: _map(part, function) for name, part in given.items()}
    if isinstance(given, (list, tuple)):
        return [_map(part, function) for part in given]
    return None if given is None else function(given)


def _get_loss(given: Any) -> Any:
    known = isinstance(given, str) and given.lower() in CROSSENTROPY
    return given.lower() if known else losses.get(given)


def _check_weight(given: Any) -> Any:
    if isinstance(given, (int, float, np.number)):
        return given
    raise ArgumentError(
        "the weight of a loss is a number",
        where="loss_weights",
        got=repr(given),
        expected="a number for each output; metrics are given by their name",
        fix=f"model.compile(optimizer, loss, metrics=[{given!r}])",
    )


def _check_metric(given: Any) -> None:
    by_shape = isinstance(given, str) and given.lower() in CROSSENTROPY
    if not by_shape and not _is_accuracy(given):
        metrics.get(given)


def _each(
    given: Any, names: Sequence[str], what: str, shared: bool = False
) -> list[Any]:
    """What was given for each output; a single thing counts for all if `shared`."""
    if isinstance(given, (Mapping, list, tuple)):
        return by_output(given, names, what)
    if given is None or shared or len(names) == 1:
        return [given] * len(names)
    return by_output(given, names, what)


def _each_list(given: Any, names: Sequence[str], what: str) -> list[list[Any]]:
    """The metrics of each output."""
    if len(names) == 1:
        parts = list(given.values()) if isinstance(given, Mapping) else [given]
        flat: list[Any] = []
        for part in parts:
            for each in part if isinstance(part, (list, tuple)) else [part]:
                flat += _as_list(each)
        return [flat]
    if not given:
        return [[] for _ in names]
    return [_as_list(part) for part in by_output(given, names, what)]


def _loss_name(loss: Any) -> str:
    """The loss as Keras names it, whether given as a class or as a function.

    Empty for a loss that the checks know nothing about.
    """
    if loss is None or isinstance(loss, str) or getattr(loss, "axis", -1) != -1:
        return ""  # classes along another axis are not checked
    if isinstance(loss, losses.LossFunctionWrapper):
        return str(loss.name)
    return snake_case(type(loss).__name__)


def _is_accuracy(given: Any) -> bool:
    return isinstance(given, str) and given in ACCURACY
