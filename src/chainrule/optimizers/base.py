"""The base of all optimizers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypedDict

from chainrule import functional
from chainrule.configurable import Configurable, Registry, snake_case
from chainrule.errors import ArgumentError
from chainrule.functional.promotion import Tensor
from chainrule.optimizers.transforms import (
    Moment,
    Transformation,
    chain,
    clip_by_global_norm,
    clip_by_norm,
    clip_by_value,
    decay_weights,
)
from chainrule.variable import Variable

REGISTRY = Registry("optimizer", "optimizer")
LearningRate = float | Callable[[Tensor], Any]


class ClippingOptions(TypedDict, total=False):
    """What every optimizer takes.

    Attributes:
        clipnorm: the most that the gradient of one parameter may measure.
        clipvalue: the most that one number of a gradient may measure.
        global_clipnorm: the most that all gradients together may measure.
        name: its name; that of the class in lower case by default.
    """

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    name: str | None


class OptimizerOptions(ClippingOptions, total=False):
    """What every optimizer takes, with a weight decay that is off by default.

    Attributes:
        weight_decay: after each step weights shrink by this share of the learning rate.
    """

    weight_decay: float | None


class Optimizer(Configurable):
    """Base of optimizers: subclasses define `transformation`.

    `init` and `update` are pure functions of trees; training steps use these. `apply`
    changes variables in place, for loops written by hand.

    Args:
        learning_rate: the step size, or a function of the number of updates so far.
        weight_decay: after each step weights shrink by this share of the learning rate.
        clipnorm: the most that the gradient of one parameter may measure.
        clipvalue: the most that one number of a gradient may measure.
        global_clipnorm: the most that all gradients together may measure.
        name: its name.

    Raises:
        ArgumentError: when an argument is out of range, or gradients would be clipped
            in two ways.
    """

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or snake_case(type(self).__name__)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.state: Any = None
        self._paths: list[str] = []
        for argument in ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm"):
            self._check_not_negative(argument)
        clips = [clipnorm, clipvalue, global_clipnorm]
        if sum(limit is not None for limit in clips) > 1:
            raise ArgumentError(
                "gradients are clipped in one way",
                where=self.name,
                got=f"{clipnorm=}, {clipvalue=}, {global_clipnorm=}",
                expected="one of them",
            )

    def transformation(self) -> Transformation:
        """From gradients to what is added to the parameters."""
        raise NotImplementedError

    def build(self, variables: Sequence[Variable]) -> None:
        """Learn which variables the parameters are; called before `init`.

        Their paths decide about exclusions and about learning rates of their own.
        """
        self._paths = [variable.path for variable in variables]

    def init(self, params: Sequence[Tensor]) -> dict[str, Any]:
        """The state before the first update.

        Returns:
            A tree: `step` (int64, the number of updates), `learning_rate` (float32) and
            `slots` (what the transformations remember).
        """
        step = functional.asarray(0, dtype="int64")
        return {
            "step": step,
            "learning_rate": self._rate_at(step),
            "slots": self._chain().init(list(params)),
        }

    def update(
        self,
        grads: Sequence[Tensor],
        state: Any,
        params: Sequence[Tensor],
        value: Tensor | None = None,
    ) -> tuple[list[Tensor], dict[str, Any]]:
        """The parameters and the state after one update.

        Args:
            grads: a gradient for each parameter.
            state: of `init`, or of the update before.
            params: the parameters.
            value: the loss at `params`, for optimizers that search along a line.
        """
        step, rate = state["step"], state["learning_rate"]
        if callable(self._learning_rate):
            rate = self._rate_at(step)
        moment = Moment(functional.astype(step + 1, "float32"), rate)
        updates, slots = self._chain().update(grads, state["slots"], params, moment)
        new = [p + u for p, u in zip(params, updates, strict=True)]
        return new, {"step": step + 1, "learning_rate": rate, "slots": slots}

    def finalize(self, params: Sequence[Tensor], state: Any) -> list[Tensor]:
        """The parameters that training ends with; `params` themselves by default."""
        return list(params)

    def refresh(self, state: dict[str, Any]) -> dict[str, Any]:
        """`state` with the learning rate that is set now."""
        return {**state, "learning_rate": self._rate_at(state["step"])}

    def apply(self, grads: Sequence[Tensor], variables: Sequence[Variable]) -> None:
        """Update variables in place.

        Example:
            >>> from chainrule.optimizers import SGD
            >>> weight = Variable([1.0, 2.0])
            >>> SGD(0.5).apply([functional.asarray([1.0, 1.0])], [weight])
            >>> weight.numpy().tolist()
            [0.5, 1.5]
        """
        params = [variable.value for variable in variables]
        if self.state is None:
            self.state = self.init(params)
        new, self.state = self.update(list(grads), self.refresh(self.state), params)
        for variable, value in zip(variables, new, strict=True):
            variable.assign(value)

    def apply_gradients(
        self, grads_and_variables: Iterable[tuple[Tensor, Variable]]
    ) -> None:
        """`apply`, with pairs of a gradient and its variable."""
        pairs = list(grads_and_variables)
        self.apply([grad for grad, _ in pairs], [variable for _, variable in pairs])

    @property
    def iterations(self) -> int:
        """How many updates were made, as far as `state` knows."""
        return 0 if self.state is None else int(self.state["step"])

    @property
    def learning_rate(self) -> float:
        """The step size now; a new one, or a schedule, may be set."""
        if not callable(self._learning_rate):
            return self._learning_rate
        return float(self._rate_at(functional.asarray(self.iterations, dtype="int64")))

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        rate = value if callable(value) else _as_number(self.name, value)
        self._learning_rate: LearningRate = rate

    def _rate_at(self, step: Tensor) -> Tensor:
        rate = self._learning_rate
        found = rate(step) if callable(rate) else rate
        return functional.astype(functional.asarray(found), "float32")

    def _chain(self) -> Transformation:
        parts = []
        if self.clipvalue is not None:
            parts.append(clip_by_value(self.clipvalue))
        if self.clipnorm is not None:
            parts.append(clip_by_norm(self.clipnorm))
        if self.global_clipnorm is not None:
            parts.append(clip_by_global_norm(self.global_clipnorm))
        parts.append(self.transformation())
        if self.weight_decay:
            parts.append(decay_weights(self.weight_decay))
        return chain(*parts)

    def _argument(self, name: str) -> Any:
        return self._learning_rate if name == "learning_rate" else getattr(self, name)

    def _check_not_negative(self, argument: str) -> None:
        value = getattr(self, argument)
        if value is not None and not value >= 0:
            raise ArgumentError(
                f"{argument} must not be negative",
                where=self.name,
                got=f"{argument}={value!r}",
                expected="0 or more",
            )

    def _check_share(self, argument: str, limit_included: bool = False) -> None:
        """Refuse a decay rate outside of 0 to 1."""
        value = getattr(self, argument)
        if not (0 <= value < 1 or (limit_included and value == 1)):
            raise ArgumentError(
                f"{argument} is a share",
                where=self.name,
                got=f"{argument}={value!r}",
                expected=f"0 <= {argument} {'<=' if limit_included else '<'} 1",
            )


def _as_number(where: str, value: Any) -> float:
    try:
        rate = float(value)
    except (TypeError, ValueError):
        rate = -1.0
    if not rate >= 0:
        raise ArgumentError(
            "the learning rate is a number, or a function of the step",
            where=where,
            got=f"learning_rate={value!r}",
            expected="0 or more, such as 0.001",
        )
    return rate
