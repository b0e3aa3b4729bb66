"""The scale of the loss, so that gradients in float16 neither vanish nor overflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.functional.promotion import Tensor
from chainrule.ir import tree
from chainrule.optimizers.base import REGISTRY, LearningRate, Optimizer
from chainrule.optimizers.rows import Gradient, numbers
from chainrule.optimizers.transforms import like
from chainrule.variable import Variable

SCALE, GOOD = "loss_scale", "good_steps"


class LossScaleOptimizer(Optimizer):
    """An optimizer that takes gradients of a scaled loss, and finds the scale itself.

    In float16 what is below 6e-8 is 0 and what is above 65504 infinite. The loss is
    multiplied by a scale before its gradients are taken, and they are divided by it
    afterwards, in float32. Where a gradient is not finite the step is skipped, with
    all state as it was, and the scale halved; after `dynamic_growth_steps` steps
    without that it is doubled. Micikevicius et al., "Mixed precision training",
    ICLR 2018.

    `compile` wraps its optimizer in one for models with the policy `mixed_float16`,
    unless `auto_scale_loss=False`.

    Args:
        inner_optimizer: a name, a config, or the optimizer that makes the steps.
        initial_scale: the scale of the first step.
        dynamic_growth_steps: how many steps without overflow double the scale.
        name: its name.

    Raises:
        ArgumentError: for a scale or a count that is not positive, and for optimizers
            that search along a line, or scale the loss themselves.

    Example:
        >>> from chainrule.optimizers import SGD
        >>> weight = Variable([1.0])
        >>> optimizer = LossScaleOptimizer(SGD(0.5), initial_scale=4.0)
        >>> optimizer.apply([functional.asarray([float("inf")])], [weight])
        >>> optimizer.apply([functional.asarray([2.0])], [weight])
        >>> weight.numpy().item(), optimizer.scale
        (0.5, 2.0)
    """

    def __init__(
        self,
        inner_optimizer: Any,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
    ) -> None:
        inner = REGISTRY.get(inner_optimizer)
        self.inner_optimizer: Optimizer = inner
        super().__init__(inner._learning_rate, name=name)
        self.initial_scale = float(initial_scale)
        self.dynamic_growth_steps = int(dynamic_growth_steps)
        self._check_positive("initial_scale")
        self._check_count("dynamic_growth_steps", 1)
        if inner.full_batch or inner.loss_scale_factor or hasattr(inner, SCALE):
            raise ArgumentError(
                "an optimizer that sees the loss, or scales it, cannot be wrapped",
                where=self.name,
                got=repr(inner),
                expected="a plain one, such as Adam()",
            )
        self.gradient_accumulation_steps = inner.gradient_accumulation_steps
        self.learning_rate_multipliers = inner.learning_rate_multipliers
        self._exclusions = inner._exclusions

    loss_scale = True  # no optimizer is wrapped twice

    @property
    def _learning_rate(self) -> LearningRate:
        return self.inner_optimizer._learning_rate

    @_learning_rate.setter
    def _learning_rate(self, value: LearningRate) -> None:
        self.inner_optimizer._learning_rate = value

    @property
    def scale(self) -> float:
        """What the loss is multiplied by in the next step, as far as `state` knows."""
        return self.initial_scale if self.state is None else float(self.state[SCALE])

    def _can_move_rows(self, variable: Variable) -> bool:
        return self.inner_optimizer._can_move_rows(variable)

    def build(self, variables: Sequence[Variable]) -> None:
        """Learn which variables the parameters are; see `Optimizer.build`."""
        super().build(variables)
        self.inner_optimizer.build(variables)

    def exclude_from_weight_decay(
        self,
        var_list: Sequence[Variable] | None = None,
        var_names: Sequence[str] | None = None,
    ) -> None:
        """Variables that weight decay leaves alone; see `Optimizer`."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)
        self._exclusions = self.inner_optimizer._exclusions

    def init(self, params: Sequence[Tensor]) -> dict[str, Any]:
        """The state of the inner optimizer, the scale, and how many steps went well."""
        return {
            **self.inner_optimizer.init(params),
            SCALE: functional.asarray(self.initial_scale, dtype="float32"),
            GOOD: functional.asarray(0, dtype="int64"),
        }

    def scale_loss(self, loss: Tensor, state: Any = None) -> Tensor:
        """The loss, or a gradient, multiplied by the scale."""
        state = self.state if state is None else state
        scale = self.initial_scale if state is None else like(state[SCALE], loss)
        return loss * scale

    def update(
        self,
        grads: Sequence[Gradient],
        state: Any,
        params: Sequence[Tensor],
        value: Tensor | None = None,
    ) -> tuple[list[Tensor], dict[str, Any]]:
        """The parameters and the state after one update, or as they were."""
        scale, good = state[SCALE], state[GOOD]
        given = {name: x for name, x in state.items() if name not in (SCALE, GOOD)}
        plain = [g / like(scale, g) for g in grads]
        finite = reduce(
            functional.logical_and,
            [functional.all(functional.isfinite(numbers(g))) for g in plain],
        )

        def choose(then: Tensor, otherwise: Tensor) -> Tensor:
            return functional.where(finite, then, otherwise)

        new, after = self.inner_optimizer.update(plain, given, params, value)
        good = choose(good + 1, functional.zeros_like(good))
        grows = good >= self.dynamic_growth_steps
        larger = functional.where(grows, scale * 2.0, scale)
        return [choose(n, p) for n, p in zip(new, params, strict=True)], {
            **tree.tree_map(choose, after, given),
            SCALE: choose(larger, scale * 0.5),
            GOOD: functional.where(grows, functional.zeros_like(good), good),
        }

    def finalize(self, params: Sequence[Tensor], state: Any) -> list[Tensor]:
        """The parameters that training ends with."""
        return self.inner_optimizer.finalize(params, state)

    def built_in(self) -> tuple[Any, ...]:
        """What a compiled step has built in."""
        own = type(self), self.initial_scale, self.dynamic_growth_steps
        return (*own, *self.inner_optimizer.built_in())

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal optimizer, fit for JSON."""
        inner = self.inner_optimizer
        described = {"class_name": type(inner).__name__, "config": inner.get_config()}
        return {
            "inner_optimizer": described,
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LossScaleOptimizer:
        """The optimizer that `get_config` described."""
        return cls(**config)
