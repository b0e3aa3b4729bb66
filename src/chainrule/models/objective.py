"""What `compile` was told, and how its line of code is corrected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule import losses, metrics, optimizers
from chainrule.configurable import Configurable, serialize, snake_case
from chainrule.training.checks import SampleShape

ACCURACY = ("accuracy", "acc")


class Objective:
    """Loss, metrics and optimizer of a model; see `training.checks.Objective`.

    Args:
        optimizer: a name, a config or an optimizer.
        loss: a name, a config, a loss, a function, or None.
        measures: one metric or several, in the same ways.

    Raises:
        ArgumentError: for names that do not exist, and for metrics of the same name.
    """

    def __init__(self, optimizer: Any, loss: Any, measures: Any = None) -> None:
        if measures is None:
            measures = []
        single = isinstance(measures, (str, Configurable)) or callable(measures)
        self.metrics: list[Any] = [measures] if single else list(measures)
        self.given = {"optimizer": optimizer, "loss": loss, "metrics": self.metrics}
        self.optimizer = optimizers.get(optimizer)
        self.loss = None if loss is None else losses.get(loss)
        for metric in self.metrics:
            if not _is_accuracy(metric):
                metrics.get(metric)
        self._resolved: dict[Any, dict[str, Any]] = {}
        self.name = _loss_name(self.loss)
        self.from_logits = bool(getattr(self.loss, "from_logits", False))
        self.ignore_class: int | None = getattr(self.loss, "ignore_class", None)
        self.accuracy = any(map(_is_accuracy, self.metrics))

    def change(self, **arguments: str) -> Callable[[], str]:
        """The corrected line of `compile`."""
        shown = {
            "optimizer": repr(self.given["optimizer"]),
            "loss": repr(self.given["loss"]),
        }
        if self.metrics:
            shown["metrics"] = repr(self.metrics)
        shown.update(arguments)
        inside = ", ".join(f"{name}={value}" for name, value in shown.items())
        return lambda: f"model.compile({inside})"

    def resolve_metrics(
        self, y_shape: SampleShape, output_shape: SampleShape
    ) -> dict[str, Any]:
        """Metrics by their names in the logs.

        What `accuracy` means depends on labels and outputs, as in Keras: one output
        counts against a threshold, class numbers and one-hot labels by the largest.
        """
        key = (y_shape, output_shape)
        if key not in self._resolved:
            self._resolved[key] = self._resolve(y_shape, output_shape)
        return self._resolved[key]

    def _resolve(
        self, y_shape: SampleShape, output_shape: SampleShape
    ) -> dict[str, Any]:
        resolved: dict[str, Any] = {}
        for given in self.metrics:
            metric = self._metric(given, y_shape, output_shape)
            name = metric.name
            while name in resolved or name == "loss":
                name += "_1"
            resolved[name] = metric
        return resolved

    def _metric(
        self, given: Any, y_shape: SampleShape, output_shape: SampleShape
    ) -> metrics.Metric:
        if _is_accuracy(given) and self.name == "binary_crossentropy":
            # one yes or no for each output, also where there are several
            return metrics.BinaryAccuracy(0.0 if self.from_logits else 0.5, name=given)
        y, predicted = (None, *y_shape), (None, *output_shape)
        return metrics.resolve(given, y, predicted, self.from_logits)

    def get_config(self) -> dict[str, Any]:
        """What `compile` was told, fit for JSON."""
        return {
            "optimizer": serialize(self.optimizer),
            "loss": serialize(self.loss),
            "metrics": [serialize(metric) for metric in self.metrics],
        }


def _loss_name(loss: Any) -> str:
    """The loss as Keras names it, whether given as a class or as a function.

    Empty for a loss that the checks know nothing about.
    """
    if loss is None or getattr(loss, "axis", -1) != -1:
        return ""  # classes along another axis are not checked
    if isinstance(loss, losses.LossFunctionWrapper):
        return str(loss.name)
    return snake_case(type(loss).__name__)


def _is_accuracy(given: Any) -> bool:
    return isinstance(given, str) and given in ACCURACY
