"""What a model is measured by: a loss and metrics for each of its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.ir import tree
from chainrule.ir.dtype import float64
from chainrule.ir.trace import constant
from chainrule.ops import add, cast, multiply

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Output:
    """What one output is measured by.

    Attributes:
        name: the name of the output; None where it is the only one.
        loss: `loss(y_true, y_pred, sample_weight)`; None for an output without one.
        weight: what its loss is multiplied by in the sum of all; None for 1.
        metrics: metrics that count every sample alike, by their names in the logs.
        weighted: metrics that use the weights of samples, by their names in the logs.
    """

    name: str | None = None
    loss: Any = None
    weight: float | None = None
    metrics: Metrics = field(default_factory=dict)
    weighted: Metrics = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Whether labels of this output are used."""
        return self.loss is not None or bool(self.metrics or self.weighted)


class Targets:
    """The loss and the metrics of all outputs.

    Args:
        outputs: one for each output, in the order of the leaves of what the model
            returns.
        names: the names of the outputs in labels given as a dict; by default those
            of `outputs`.

    Example:
        >>> from chainrule.functional import asarray
        >>> from chainrule.losses import MeanSquaredError
        >>> both = Targets([
        ...     Output("a", MeanSquaredError()), Output("b", MeanSquaredError(), 0.5)
        ... ])
        >>> truth = {"a": asarray([[1.0]]), "b": asarray([[2.0]])}
        >>> total, each = both.losses(truth, [asarray([[0.0]]), asarray([[0.0]])])
        >>> total.item(), each["b_loss"].item()
        (3.0, 4.0)
    """

    def __init__(
        self, outputs: Sequence[Output], names: Sequence[str] | None = None
    ) -> None:
        self.outputs = list(outputs)
        self.names = list(names or default_names(outputs))
        self.several = sum(output.loss is not None for output in outputs) > 1

    @property
    def metrics(self) -> dict[str, Any]:
        """All metrics by their names in the logs."""
        found: dict[str, Any] = {}
        for output in self.outputs:
            found.update(output.metrics)
        for output in self.outputs:
            found.update(output.weighted)
        return found

    @property
    def loss_names(self) -> list[str]:
        """The names of the losses in the logs: that of all, then those of several."""
        names = [f"{o.name}_loss" for o in self.outputs if o.loss is not None]
        return ["loss", *names] if self.several else ["loss"]

    def losses(
        self, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> tuple[Any, dict[str, Any]]:
        """The weighted sum of the losses, and each by its name in the logs.

        The sum is None where no output has a loss. A single loss has no other name than
        `loss`, so that nothing is by name then.
        """
        rows = self._lined_up(y, y_pred, sample_weight)
        total, named = None, {}
        for output, true, predicted, weight in rows:
            if output.loss is None:
                continue
            value = _scalar(output.loss(true, predicted, weight), output)
            if self.several:
                named[f"{output.name}_loss"] = value
            if output.weight is not None:
                value = multiply(value, output.weight)
            total = (
                value
                if total is None
                else add(total, cast(value, dtype=total.spec.dtype))
            )
        return total, named

    def init(self) -> dict[str, Any]:
        """The state of all measures before any batch."""
        zero = np.zeros((), np.float64)
        state: dict[str, Any] = {
            name: {"total": constant(zero), "count": constant(zero)}
            for name in self.loss_names
        }
        for name, metric in self.metrics.items():
            state[name] = metric.init()
        return state

    def update(
        self,
        state: Mapping[str, Any],
        losses: Mapping[str, Any],
        y: Any,
        y_pred: Any,
        sample_weight: Any = None,
    ) -> dict[str, Any]:
        """The measures with one more batch; `losses` holds `loss` and those by name.

        A batch counts by its samples, so that a smaller last batch weighs less.
        """
        count = float(tree.flatten(y_pred)[0][0].spec.shape[0])
        new: dict[str, Any] = {}
        for name, value in losses.items():
            mean = state[name]
            weighted = cast(value, dtype=float64) * count
            new[name] = {
                "total": mean["total"] + weighted,
                "count": mean["count"] + count,
            }
        for output, *parts in self._lined_up(y, y_pred, sample_weight):
            for name, metric in output.metrics.items():
                new[name] = metric.update(state[name], *parts[:2])
            for name, metric in output.weighted.items():
                new[name] = metric.update(state[name], *parts)
        return {name: new[name] for name in state}

    def update_metrics(self, y: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take a batch into account in the state that metrics keep themselves."""
        for output, *parts in self._lined_up(y, y_pred, sample_weight):
            for metric in output.metrics.values():
                metric.update_state(*parts[:2])
            for metric in output.weighted.values():
                metric.update_state(*parts)

    def read(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """What was measured: the mean loss over the samples, then the others."""
        metrics, logs = self.metrics, {}
        for name, part in state.items():
            if name in metrics:
                logs[name] = plain(metrics[name].compute(part))
            else:
                total, count = part["total"].data, part["count"].data
                logs[name] = float(total / count) if count else 0.0
        return logs

    def read_passes(
        self, columns: Mapping[str, Any], count: int
    ) -> list[dict[str, Any]]:
        """What was measured in each of several passes; see `step.read_passes`.

        Example:
            >>> targets = Targets([Output(loss=abs)])
            >>> sums = {"total": np.array([6.0, 2.0]), "count": np.array([3.0, 0.0])}
            >>> targets.read_passes({"loss": sums}, 2)
            [{'loss': 2.0}, {'loss': 0.0}]
        """
        if self.metrics:
            return [self.read(at_pass(columns, number)) for number in range(count)]
        logs: list[dict[str, Any]] = [{} for _ in range(count)]
        for name, part in columns.items():
            pairs = zip(part["total"].tolist(), part["count"].tolist(), strict=True)
            for each, (total, rows) in zip(logs, pairs, strict=True):
                each[name] = total / rows if rows else 0.0
        return logs

    def _lined_up(
        self, y: Any, y_pred: Any, sample_weight: Any
    ) -> list[tuple[Output, Any, Any, Any]]:
        predicted = tree.flatten(y_pred)[0]
        true = by_output(y, self.names, "y")
        weights = spread(sample_weight, self.names)
        return list(zip(self.outputs, true, predicted, weights, strict=True))


def at_pass(columns: Any, number: int) -> Any:
    """The state that stood in a tree of columns after one of several passes."""
    return tree.tree_map(lambda column: constant(np.asarray(column[number])), columns)


def default_names(outputs: Sequence[Output]) -> list[str]:
    """The names of outputs; those without one are numbered."""
    return [output.name or f"output_{i}" for i, output in enumerate(outputs)]


def plain(value: Any) -> Any:
    """A measured value as a Python number, or lists of several.

    Example:
        >>> from chainrule.functional import asarray
        >>> plain(asarray(0.5)), plain(asarray([1.0, 2.0]))
        (0.5, [1.0, 2.0])
    """
    array = value.numpy()
    return float(array.reshape(())) if array.size == 1 else array.tolist()


def _scalar(value: Any, output: Output) -> Any:
    if value.spec.shape == ():
        return value
    whose = "" if output.name is None else f" of output '{output.name}'"
    raise ArgumentError(
        f"the loss{whose} must give one number a batch",
        where="loss",
        got=f"{value.spec}, reduction={getattr(output.loss, 'reduction', None)!r}",
        expected="a scalar",
        fix="reduction='sum_over_batch_size'",
    )


def by_output(data: Any, names: Sequence[str], what: str) -> list[Any]:
    """The part of `data` for each output; None for outputs that it says nothing about.

    Args:
        data: an array for a single output; a list in the order of the outputs, or a
            dict by their names; or None.
        names: the names of the outputs.
        what: what messages call the data.

    Raises:
        ArgumentError: when there are other parts than outputs.

    Example:
        >>> by_output({"b": 2}, ["a", "b"], "y"), by_output(5, ["out"], "y")
        ([None, 2], [5])
    """
    if data is None:
        return [None] * len(names)
    if isinstance(data, Mapping):
        unknown = [str(key) for key in data if key not in names]
        if unknown:
            raise ArgumentError(
                f"{what} has parts that are no outputs of the model",
                where=what,
                got=", ".join(unknown),
                expected=", ".join(names),
            )
        return [data.get(name) for name in names]
    if isinstance(data, (list, tuple)):
        if len(data) != len(names):
            raise ArgumentError(
                f"{what} must have one part for each output",
                where=what,
                got=f"{len(data)} parts",
                expected=f"{len(names)}: {', '.join(names)}",
            )
        return list(data)
    if len(names) == 1:
        return [data]
    raise ArgumentError(
        f"the model has {len(names)} outputs, and {what} is a single one",
        where=what,
        expected=f"a list of {len(names)}, or a dict by name: {', '.join(names)}",
        fix=f"{what}={{{', '.join(f'{name!r}: ...' for name in names)}}}",
    )


def spread(weights: Any, names: Sequence[str]) -> list[Any]:
    """The weights of samples for each output: one array counts for all of them.

    Example:
        >>> spread(3, ["a", "b"]), spread({"a": 3}, ["a", "b"])
        ([3, 3], [3, None])
    """
    if weights is not None and not isinstance(weights, (Mapping, list, tuple)):
        return [weights] * len(names)
    return by_output(weights, names, "sample_weight")
