"""The base of all optimizers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Self

from chainrule import functional
from chainrule.autodiff.rows import dense
from chainrule.configurable import Registry, parameters, snake_case
from chainrule.errors import ArgumentError
from chainrule.functional.promotion import Tensor
from chainrule.ir import tree
from chainrule.optimizers.groups import Exclusions, excluded, multipliers_of
from chainrule.optimizers.options import Checked, ClippingOptions, OptimizerOptions
from chainrule.optimizers.rates import as_rate, rate_at
from chainrule.optimizers.rows import Gradient, merged
from chainrule.optimizers.transforms import (
    Moment,
    Transformation,
    chain,
    clip_by_global_norm,
    clip_by_norm,
    clip_by_value,
    like,
    mix,
)
from chainrule.variable import Variable

__all__ = ["REGISTRY", "ClippingOptions", "Optimizer", "OptimizerOptions"]

REGISTRY = Registry("optimizer", "optimizer")
LearningRate = float | Callable[[Tensor], Any]
PLAIN = frozenset((bool, int, float, str, type(None)))
EXCLUSIONS = "exclude_from_weight_decay"


@cache
def _arguments_of(owner: Hashable) -> tuple[str, ...]:
    """The arguments that make an optimizer, but for its rate."""
    assert isinstance(owner, type)
    return tuple(name for name in parameters(owner) if name != "learning_rate")


class Optimizer(Checked):
    """Base of optimizers: subclasses define `transformation`.

    `init` and `update` are pure functions of trees; training steps use these. `apply`
    changes variables in place, for loops written by hand.

    Of a table whose gradient is a `RowGradient`, that of `Embedding(sparse=True)`, the
    rows that the step used are moved, with their part of all that the optimizer
    remembers, by the very formula for a whole parameter; other rows stay as they are,
    and so do their moving means, momentum and weight decay. `clipnorm` and
    `global_clipnorm` measure the whole gradient. With `gradient_accumulation_steps` all
    rows are moved, and `use_ema` averages all, used or not.

    Args:
        learning_rate: the step size, or a function of the number of steps so far.
        weight_decay: at each step weights shrink by this share of the learning rate.
        clipnorm: see `ClippingOptions`, like all that follow.
        clipvalue: see there.
        global_clipnorm: see there.
        use_ema: see there.
        ema_momentum: see there.
        ema_overwrite_frequency: see there.
        loss_scale_factor: see there.
        gradient_accumulation_steps: see there.
        learning_rate_multipliers: see there.
        name: its name.

    Raises:
        ArgumentError: when an argument is out of range, or gradients would be clipped
            in two ways.
    """

    full_batch = False  # whether all rows must be one batch
    moves_rows = False  # whether it can move single rows of a table

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        learning_rate_multipliers: Mapping[str, float] | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or snake_case(type(self).__name__)
        self._learning_rate: LearningRate = as_rate(self.name, learning_rate)
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.learning_rate_multipliers = learning_rate_multipliers
        self._state: Any = None
        self._variables: list[Variable] = []
        self._exclusions = Exclusions()
        self._check_options()

    def transformation(self) -> Transformation:
        """From gradients to what is added to the parameters."""
        raise NotImplementedError

    def build(self, variables: Sequence[Variable]) -> None:
        """Learn which variables the parameters are; called before `init`.

        Their paths decide about exclusions from weight decay and about learning rates
        of their own.

        Raises:
            ArgumentError: when a pattern of `learning_rate_multipliers` fits none, or a
                variable is `sparse` and this optimizer cannot move single rows.
        """
        self._variables = list(variables)
        self._check_rows()
        multipliers_of(self.name, self._paths(), self.learning_rate_multipliers or {})

    def exclude_from_weight_decay(
        self,
        var_list: Sequence[Variable] | None = None,
        var_names: Sequence[str] | None = None,
    ) -> None:
        """Variables that weight decay leaves alone; call it before training.

        A later call replaces what an earlier one said.

        Args:
            var_list: variables.
            var_names: regular expressions; a variable is left alone when one of them is
                found in its path, such as `dense_1/bias`.

        Example:
            >>> from chainrule.optimizers import SGD
            >>> weight = Variable([2.0], name="kernel")
            >>> bias = Variable([2.0], name="bias")
            >>> optimizer = SGD(1.0, weight_decay=0.5)
            >>> optimizer.exclude_from_weight_decay(var_names=["bias"])
            >>> optimizer.apply([functional.zeros(1)] * 2, [weight, bias])
            >>> weight.numpy().item(), bias.numpy().item()
            (1.0, 2.0)
        """
        self._exclusions = excluded(self.name, var_list, var_names)

    def init(self, params: Sequence[Tensor]) -> dict[str, Any]:
        """The state before the first update.

        Returns:
            A tree: `step` (int64, the number of steps), `learning_rate` (float32),
            `slots` (what the transformations remember); `average` with `use_ema`, and
            `accumulated` with `gradient_accumulation_steps`.
        """
        step = functional.asarray(0, dtype="int64")
        state = {
            "step": step,
            "learning_rate": rate_at(self._learning_rate, step),
            "slots": self._begin(list(params)),
        }
        if self.use_ema:
            state["average"] = list(params)
        if self.gradient_accumulation_steps:
            state["accumulated"] = [functional.zeros_like(p) for p in params]
        return state

    def update(
        self,
        grads: Sequence[Gradient],
        state: Any,
        params: Sequence[Tensor],
        value: Tensor | None = None,
    ) -> tuple[list[Tensor], dict[str, Any]]:
        """The parameters and the state after one update.

        Args:
            grads: a gradient for each parameter, a tensor or a `RowGradient`.
            state: of `init`, or of the update before.
            params: the parameters.
            value: the loss at `params`, for optimizers that search along a line.
        """
        step, rate = state["step"], state["learning_rate"]
        if callable(self._learning_rate):
            rate = rate_at(self._learning_rate, step)
        if self.loss_scale_factor is not None:
            grads = [g / self.loss_scale_factor for g in grads]
        state = {**state, "learning_rate": rate}
        if self.gradient_accumulation_steps:
            new, state = self._accumulate(
                [dense(g) for g in grads], state, params, value
            )
        else:
            count = functional.astype(step + 1, "float64")
            new, slots = self._step(grads, state, params, Moment(count, [], value))
            state = {**state, "slots": slots}
        if self.use_ema:
            new, state = self._average(new, state)
        return new, {**state, "step": step + 1}

    def finalize(self, params: Sequence[Tensor], state: Any) -> list[Tensor]:
        """The parameters that training ends with: their average, with `use_ema`."""
        return list(state["average"] if self.use_ema else params)

    def scale_loss(self, loss: Tensor, state: Any = None) -> Tensor:
        """The loss to take gradients of, `loss_scale_factor` times as large.

        Args:
            loss: the loss.
            state: of the optimizer, for those whose factor changes.
        """
        factor = self.loss_scale_factor
        return loss if factor is None else loss * factor

    def built_in(self) -> tuple[Any, ...]:
        """What a compiled step has built in: all but a rate that is a number."""
        rate = self._learning_rate
        owner: type = type(self)
        arguments: list[Any] = [(rate, repr(rate))] if callable(rate) else []
        for name in _arguments_of(owner):
            value = getattr(self, name)
            kind = type(value)
            arguments.append((kind, value if kind in PLAIN else repr(value)))
        return (*arguments, repr(self._exclusions) if self._exclusions else "")

    def refresh(self, state: dict[str, Any]) -> dict[str, Any]:
        """`state` with the learning rate that is set now."""
        return {**state, "learning_rate": rate_at(self._learning_rate, state["step"])}

    def apply(self, grads: Sequence[Gradient], variables: Sequence[Variable]) -> None:
        """Update variables in place.

        Example:
            >>> from chainrule.optimizers import SGD
            >>> weight = Variable([1.0, 2.0])
            >>> SGD(0.5).apply([functional.asarray([1.0, 1.0])], [weight])
            >>> weight.numpy().tolist()
            [0.5, 1.5]
        """
        params = [variable.value for variable in variables]
        self.build(variables)
        if self.state is None:
            self.state = self.init(params)
        # in a compiled step the rate is part of the state, and not a constant
        traced = self.state["step"].data is None
        state = self.state if traced else self.refresh(self.state)
        new, self.state = self.update(list(grads), state, params)
        for variable, value in zip(variables, new, strict=True):
            variable.assign(value)

    def apply_gradients(
        self, grads_and_variables: Iterable[tuple[Gradient, Variable]]
    ) -> None:
        """`apply`, with pairs of a gradient and its variable."""
        pairs = list(grads_and_variables)
        self.apply([grad for grad, _ in pairs], [variable for _, variable in pairs])

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """Give variables the values that training ends with; `fit` does it itself."""
        params = [variable.value for variable in var_list]
        if self.state is not None:
            final = self.finalize(params, self.state)
            for variable, value in zip(var_list, final, strict=True):
                variable.assign(value)

    @property
    def state(self) -> Any:
        """What it remembers; a function without arguments, if set, is asked for it."""
        state = self._state
        return state() if callable(state) else state

    @state.setter
    def state(self, state: Any) -> None:
        self._state = state

    @property
    def iterations(self) -> int:
        """How many updates were made, as far as `state` knows."""
        steps = 0 if self.state is None else int(self.state["step"])
        return steps // (self.gradient_accumulation_steps or 1)

    @property
    def learning_rate(self) -> float:
        """The step size now; a new one, or a schedule, may be set.

        Raises:
            ArgumentError: when a number is to take the place of a schedule, which the
                compiled step would not notice.
        """
        if not callable(self._learning_rate):
            return self._learning_rate
        steps = 0 if self.state is None else self.state["step"]
        return float(rate_at(self._learning_rate, functional.asarray(steps)))

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        rate = as_rate(self.name, value)
        if callable(self._learning_rate) and not callable(rate):
            raise ArgumentError(
                "the learning rate follows a schedule, and cannot be set to a number",
                where=self.name,
                got=f"learning_rate={value!r}",
                expected="another schedule",
                fix=f"make it with a number: {type(self).__name__}({value!r})",
            )
        self._learning_rate = rate

    @property
    def fixed_learning_rate(self) -> float | None:
        """The step size where it is a number; None where it follows a schedule."""
        return None if callable(self._learning_rate) else self._learning_rate

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal optimizer, and exclusions, fit for JSON."""
        config = super().get_config()
        if self._exclusions:
            config[EXCLUSIONS] = self._exclusions.get_config()
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The optimizer that `get_config` described.

        Raises:
            ArgumentError: when `config` has an argument that this class does not take.
        """
        arguments = dict(config)
        apart = arguments.pop(EXCLUSIONS, None)
        made = super().from_config(arguments)
        if apart is not None:
            made._exclusions = excluded(made.name, None, apart.get("var_names"))
            made._exclusions.paths = list(apart.get("paths", []))
        return made

    def _accumulate(
        self, grads: Any, state: Any, params: Any, value: Any
    ) -> tuple[list[Tensor], dict[str, Any]]:
        """An update by the mean gradient at the last of so many steps, else none."""
        every = self.gradient_accumulation_steps
        assert every is not None
        due = functional.remainder(state["step"] + 1, every) == 0
        total = [a + g for a, g in zip(state["accumulated"], grads, strict=True)]
        count = functional.astype(
            functional.floor_divide(state["step"], every) + 1, "float64"
        )
        mean = [g / every for g in total]
        new, slots = self._step(mean, state, params, Moment(count, [], value))

        def choose(then: Tensor, otherwise: Tensor) -> Tensor:
            return functional.where(due, then, otherwise)

        return [choose(n, p) for n, p in zip(new, params, strict=True)], {
            **state,
            "slots": tree.tree_map(choose, slots, state["slots"]),
            "accumulated": [choose(functional.zeros_like(g), g) for g in total],
        }

    def _begin(self, params: list[Tensor]) -> Any:
        """What is remembered before the first update."""
        return self._chain().init(params)

    def _step(
        self, grads: Any, state: Any, params: Any, moment: Moment
    ) -> tuple[list[Tensor], Any]:
        """The parameters after weight decay and the transformations."""
        rates = self._rates(state["learning_rate"], params)
        decays = self._decays(params)
        rows, grads = merged(grads)
        moment = Moment(moment.step, rates, moment.value, rows)
        read = [moment.read(place, p) for place, p in enumerate(params)]
        decayed = [
            p - p * (rate * decay) if decay else p
            for p, rate, decay in zip(read, rates, decays, strict=True)
        ]
        updates, slots = self._chain().update(grads, state["slots"], decayed, moment)
        columns = enumerate(zip(params, decayed, updates, strict=True))
        return [moment.write(place, p, d + u) for place, (p, d, u) in columns], slots

    def _average(
        self, params: list[Tensor], state: Any
    ) -> tuple[list[Tensor], dict[str, Any]]:
        """The moving average with the new parameters; both, where it replaces them."""
        updates = state["step"]
        if self.gradient_accumulation_steps:
            updates = functional.floor_divide(updates, self.gradient_accumulation_steps)
        first = updates == 0  # the average begins with the parameters themselves
        average = [
            functional.where(first, p, mix(a, p, self.ema_momentum))
            for a, p in zip(state["average"], params, strict=True)
        ]
        if self.ema_overwrite_frequency:
            due = functional.remainder(updates + 1, self.ema_overwrite_frequency) == 0
            pairs = zip(average, params, strict=True)
            params = [functional.where(due, a, p) for a, p in pairs]
        return params, {**state, "average": average}

    def _rates(self, rate: Tensor, params: Sequence[Tensor]) -> list[Tensor]:
        """The learning rate of each parameter, in its dtype."""
        if not self.learning_rate_multipliers:
            return [like(rate, p) for p in params]
        self._know(params, "learning_rate_multipliers")
        shares = multipliers_of(
            self.name, self._paths(), self.learning_rate_multipliers
        )
        pairs = zip(params, shares, strict=True)
        return [like(rate, p) * share for p, share in pairs]

    def _decays(self, params: Sequence[Tensor]) -> list[float]:
        """The weight decay of each parameter."""
        decays = self._weight_decays(params)
        if self._exclusions and any(decays):
            self._know(params, "exclude_from_weight_decay")
            columns = zip(decays, self._variables, strict=True)
            return [
                0.0 if self._exclusions.have(v.path, id(v)) else decay
                for decay, v in columns
            ]
        return decays

    def _weight_decays(self, params: Sequence[Tensor]) -> list[float]:
        """The weight decay of each parameter, were none excluded."""
        return [self.weight_decay or 0.0] * len(params)

    def _check_rows(self) -> None:
        """Refuse tables of which single rows are moved, where that cannot be."""
        for variable in self._variables:
            if variable.sparse and not self._can_move_rows(variable):
                kinds = {kind.__name__: kind for kind in REGISTRY.entries.values()}
                able = [name for name, kind in kinds.items() if kind.moves_rows]
                raise ArgumentError(
                    "a step of this optimizer depends on all rows of a table, and "
                    "cannot move only those that a batch used",
                    where=self.name,
                    got=f"{variable.path}, of an Embedding(..., sparse=True)",
                    expected=f"one of {', '.join(able)}",
                    fix="sparse=False, or optimizer='adam'",
                )

    def _can_move_rows(self, variable: Variable) -> bool:
        return self.moves_rows

    def _know(self, params: Sequence[Tensor], why: str) -> None:
        """Refuse to go on when it is not known which variables the parameters are."""
        if len(self._variables) != len(params):
            raise ArgumentError(
                f"{why} goes by the paths of variables, which are not known",
                where=self.name,
                fix="optimizer.build(variables), before init",
            )

    def _paths(self) -> list[str]:
        return [variable.path for variable in self._variables]

    def _chain(self) -> Transformation:
        parts = []
        if self.clipvalue:
            parts.append(clip_by_value(self.clipvalue))
        if self.clipnorm:
            parts.append(clip_by_norm(self.clipnorm))
        if self.global_clipnorm:
            parts.append(clip_by_global_norm(self.global_clipnorm))
        return chain(*parts, self.transformation())

    def _argument(self, name: str) -> Any:
        return self._learning_rate if name == "learning_rate" else getattr(self, name)

    def _check_options(self) -> None:
        for argument in ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm"):
            self._check_not_negative(argument)
        self._check_one_of("clipnorm", "clipvalue", "global_clipnorm")
        self._check_share("ema_momentum", limit_included=True)
        self._check_count("ema_overwrite_frequency", 1)
        self._check_count("gradient_accumulation_steps", 2)
        self._check_positive("loss_scale_factor")
        for share in (self.learning_rate_multipliers or {}).values():
            if not (isinstance(share, (int, float)) and share >= 0):
                self._refuse(
                    "learning_rate_multipliers",
                    "are shares of the learning rate",
                    "numbers, 0 or more, by patterns of paths",
                )
