"""The arguments that all optimizers share, and their checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from chainrule.configurable import Configurable
from chainrule.errors import ArgumentError


class ClippingOptions(TypedDict, total=False):
    """What every optimizer takes.

    Attributes:
        clipnorm: the most that the gradient of one parameter may measure.
        clipvalue: the most that one number of a gradient may measure.
        global_clipnorm: the most that all gradients together may measure.
        use_ema: whether to keep a moving average of the weights, which takes their
            place at the end of training.
        ema_momentum: how slowly that average forgets.
        ema_overwrite_frequency: after so many updates the average takes the weights'
            place during training as well; None for never.
        loss_scale_factor: the number that `scale_loss` multiplies losses with, and
            `update` divides gradients by.
        gradient_accumulation_steps: the weights change at every so many steps, by the
            mean of the gradients since then.
        learning_rate_multipliers: learning rates of single layers, as shares of the
            learning rate, by patterns of the variables' paths: `{"dense_1": 0.1,
            "encoder/*": 0.01}`. The first pattern that fits counts; one that fits no
            variable is an error.
        name: its name; that of the class in lower case by default.
    """

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    learning_rate_multipliers: Mapping[str, float] | None
    name: str | None


class OptimizerOptions(ClippingOptions, total=False):
    """What every optimizer takes, with a weight decay that is off by default.

    Attributes:
        weight_decay: at each step weights shrink by this share of the learning rate.
    """

    weight_decay: float | None


class Checked(Configurable):
    """Checks of arguments, which name the optimizer."""

    name: str

    def _check_not_negative(self, argument: str) -> None:
        value = getattr(self, argument)
        if value is not None and not value >= 0:
            self._refuse(argument, "must not be negative", "0 or more")

    def _check_positive(self, argument: str) -> None:
        value = getattr(self, argument)
        if value is not None and not value > 0:
            self._refuse(argument, "must be positive", "more than 0")

    def _check_count(self, argument: str, least: int) -> None:
        value = getattr(self, argument)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (whole and value >= least):
            self._refuse(argument, "counts steps", f"a whole number, {least} or more")

    def _check_share(self, argument: str, limit_included: bool = False) -> None:
        """Refuse a decay rate outside of 0 to 1."""
        value = getattr(self, argument)
        if not (0 <= value < 1 or (limit_included and value == 1)):
            sign = "<=" if limit_included else "<"
            self._refuse(argument, "is a share", f"0 <= {argument} {sign} 1")

    def _check_one_of(self, *arguments: str) -> None:
        """Refuse gradients that would be clipped in two ways."""
        given = {name: getattr(self, name) for name in arguments}
        if sum(value is not None for value in given.values()) > 1:
            raise ArgumentError(
                "gradients are clipped in one way",
                where=self.name,
                got=", ".join(f"{name}={value}" for name, value in given.items()),
                expected="one of them",
            )

    def _refuse(self, argument: str, problem: str, expected: str) -> Any:
        raise ArgumentError(
            f"{argument} {problem}",
            where=self.name,
            got=f"{argument}={getattr(self, argument)!r}",
            expected=expected,
        )
