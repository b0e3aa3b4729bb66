"""What callbacks have in common that watch one measured number."""

from __future__ import annotations

import math
import re
import warnings
from typing import Any

from chainrule.configurable import snake_case
from chainrule.errors import ArgumentError
from chainrule.training.callbacks.base import Callback, Logs

MODES = ("auto", "min", "max")
# Words in the names of measured numbers that say whether more of it is better.
HIGHER = (
    "accuracy|acc|auc|precision|recall|f1|f1_score|fbeta|fbeta_score|f_beta_score|iou"
    "|io_u|r2|r2_score|sensitivity|specificity|cosine_similarity|true_positives"
    "|true_negatives|dice|kappa|correlation"
)
LOWER = (
    "loss|error|mse|mae|mape|msle|rmse|crossentropy|entropy|hinge|divergence|kl"
    "|poisson|log_cosh|logcosh|false_positives|false_negatives|perplexity|brier"
)


def find_direction(name: str) -> str | None:
    """Whether a number of this name should fall (`min`) or rise (`max`).

    Example:
        >>> find_direction("val_loss"), find_direction("val_out_accuracy_1")
        ('min', 'max')
        >>> find_direction("throughput") is None
        True
    """
    for words, mode in ((HIGHER, "max"), (LOWER, "min")):
        if re.search(f"_({words})_", f"_{name}_"):
            return mode
    return None


class Monitor(Callback):
    """Base of callbacks that compare a measured number with the best so far.

    Args:
        monitor: the name of the number in the logs, such as `val_loss`.
        mode: `min` where less is better, `max` where more is; `auto` asks the name.
        min_delta: an improvement of less than this counts as none.

    Attributes:
        best: the best number so far.

    Raises:
        ArgumentError: for a mode that does not exist.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        super().__init__()
        if mode not in MODES:
            raise ArgumentError(
                "there is no such mode",
                where=type(self).__name__,
                got=f"mode={mode!r}",
                expected=" or ".join(map(repr, MODES)),
                fix="mode='auto'",
            )
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(min_delta)
        self.best = math.nan

    @property
    def direction(self) -> str:
        """`min` or `max`.

        Raises:
            ArgumentError: where the mode is `auto` and the name does not tell.
        """
        if self.mode != "auto":
            return self.mode
        name = self.monitor.removeprefix("val_")
        metrics = {m.name: type(m) for m in getattr(self.model, "metrics", ())}
        if name in metrics:
            name = f"{name}_{snake_case(metrics[name].__name__)}"
        found = find_direction(name)
        if found is None:
            raise ArgumentError(
                f"the name {self.monitor!r} does not tell whether more or less of it "
                "is better",
                where=type(self).__name__,
                got="mode='auto'",
                fix=f"{type(self).__name__}(monitor={self.monitor!r}, mode='max')  # "
                "or mode='min'",
            )
        return found

    @property
    def worst(self) -> float:
        """What any number is better than."""
        return math.inf if self.direction == "min" else -math.inf

    def improves(self, number: float, reference: float) -> bool:
        """Whether `number` is better than `reference`, by more than `min_delta`."""
        if self.direction == "min":
            return bool(number + self.min_delta < reference)
        return bool(number - self.min_delta > reference)

    def read(self, logs: Logs | None, consequence: str) -> Any:
        """The number to watch; None with a warning where it was not measured."""
        found = (logs or {}).get(self.monitor)
        if found is None:
            warnings.warn(
                f"{consequence} on metric `{self.monitor}` which is not available. "
                f"Available metrics are: {','.join(logs or {})}",
                stacklevel=3,
            )
        return found
