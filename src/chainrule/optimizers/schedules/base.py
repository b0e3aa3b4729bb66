"""The base of all schedules, and their lookup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule import functional
from chainrule.configurable import Configurable, Registry
from chainrule.errors import ArgumentError
from chainrule.functional.promotion import Tensor

REGISTRY = Registry("schedule", "learning_rate")


class LearningRateSchedule(Configurable):
    """A learning rate that is a function of the number of steps so far.

    Subclasses define `rate`. It is computed inside the compiled training step, in
    float64, so that the step is exact however long training goes on.

    Example:
        >>> class Halving(LearningRateSchedule):
        ...     def rate(self, step):
        ...         return 0.1 * 0.5 ** step
        >>> round(Halving()(2).item(), 6)
        0.025
    """

    def __call__(self, step: Any) -> Tensor:
        """The learning rate after `step` steps (float32, 0-d)."""
        count = functional.astype(functional.asarray(step), "float64")
        return functional.astype(functional.asarray(self.rate(count)), "float32")

    def rate(self, step: Tensor) -> Any:
        """The learning rate after `step` steps (float64, 0-d)."""
        raise NotImplementedError

    def _check_positive(self, *arguments: str) -> None:
        for argument in arguments:
            self._check(argument, getattr(self, argument) > 0, "more than 0")

    def _check_not_negative(self, *arguments: str) -> None:
        for argument in arguments:
            self._check(argument, getattr(self, argument) >= 0, "0 or more")

    def _check(self, argument: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ArgumentError(
                f"{argument} is out of range",
                where=type(self).__name__,
                got=f"{argument}={getattr(self, argument)!r}",
                expected=expected,
            )


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
) -> LearningRateSchedule:
    """The schedule that a config describes.

    Args:
        config: what `serialize` gave.
        custom_objects: classes of your own, by their names in the config.

    Raises:
        ArgumentError: for the name of a class that is not known.

    Example:
        >>> from chainrule.optimizers import schedules
        >>> schedule = schedules.CosineDecay(0.1, decay_steps=100)
        >>> schedules.deserialize(schedules.serialize(schedule))
        CosineDecay(0.1, 100)
    """
    name = str(config.get("class_name"))
    if custom_objects and name in custom_objects:
        made: LearningRateSchedule = custom_objects[name].from_config(config["config"])
        return made
    found: LearningRateSchedule = REGISTRY.get(config)
    return found
