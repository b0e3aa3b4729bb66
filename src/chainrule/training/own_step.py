"""Steps that a model computes itself: `train_step`, `test_step` and `predict_step`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.functional import random
from chainrule.ir import tree
from chainrule.ir.spec import Spec
from chainrule.ir.trace import trace
from chainrule.loops import Lent
from chainrule.training.step import (
    Parts,
    State,
    Step,
    augmented,
    autocast,
    constrain,
)
from chainrule.training.targets import at_pass, plain
from chainrule.variable import Variable, current_values, substitute

Run = Callable[[Any], Any]


class OwnMeasures:
    """The logs of steps that a model computes itself, in the place of `Targets`.

    Metrics keep their state from step to step; the logs of an epoch are those that its
    last step returned.

    Args:
        metrics: the metrics that the step may use.
        logs: names and specs of what the step returns.
    """

    def __init__(self, metrics: Sequence[Any], logs: Mapping[str, Spec]) -> None:
        self.metrics = list(metrics)
        self.logs = dict(logs)
        self.names: list[str] = []

    def init(self) -> dict[str, Any]:
        """The state before any batch."""
        return {
            "metrics": [metric.init() for metric in self.metrics],
            "logs": {
                name: functional.zeros(spec.shape, dtype=spec.dtype)
                for name, spec in self.logs.items()
            },
        }

    def read(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """What the last step returned."""
        return {name: plain(value) for name, value in state["logs"].items()}

    def read_passes(
        self, columns: Mapping[str, Any], count: int
    ) -> list[dict[str, Any]]:
        """What the last step of each of several passes returned."""
        return [self.read(at_pass(columns, number)) for number in range(count)]

    @contextmanager
    def bound(self, state: Mapping[str, Any]) -> Iterator[None]:
        """Within the block the metrics go on from this state."""
        with bound(self.metrics, "_state", state["metrics"]):
            yield

    def after(self, logs: Mapping[str, Any]) -> dict[str, Any]:
        """The state after a step that returned `logs`."""
        found = named_logs(logs)
        return {
            "metrics": [
                metric.init() if metric._state is None else metric._state
                for metric in self.metrics
            ],
            "logs": {name: found[name] for name in self.logs},
        }


class Together:
    """Several optimizers as one, for steps that apply them themselves.

    Args:
        members: optimizers that were applied once, so that they know their variables.
    """

    def __init__(self, members: Sequence[Any]) -> None:
        self.members = list(members)
        self._all: list[Variable] = []

    @property
    def state(self) -> list[Any]:
        """The states of all."""
        return [member.state for member in self.members]

    @state.setter
    def state(self, states: Sequence[Any] | Callable[[], Sequence[Any]]) -> None:
        for place, member in enumerate(self.members):
            if callable(states):
                member.state = Lent(partial(_item, states, place))
            else:
                member.state = states[place]

    @property
    def fixed_learning_rate(self) -> tuple[float | None, ...]:
        """The step sizes of all that have fixed ones."""
        return tuple(member.fixed_learning_rate for member in self.members)

    def build(self, variables: Sequence[Variable]) -> None:
        """Learn which variables there are."""
        self._all = list(variables)

    def init(self, params: Sequence[Any]) -> list[Any]:
        """Fresh states, or those that there are."""
        return [
            member.init([variable.value for variable in member._variables])
            for member in self.members
        ]

    def refresh(self, states: Sequence[Any]) -> list[Any]:
        """The states with the learning rates that are set now."""
        pairs = zip(self.members, states, strict=True)
        return [member.refresh(state) for member, state in pairs]

    def finalize(self, params: Sequence[Any], states: Sequence[Any]) -> list[Any]:
        """The parameters that training ends with."""
        values = dict(zip(map(id, self._all), params, strict=True))
        for member, state in zip(self.members, states, strict=True):
            keys = [id(variable) for variable in member._variables]
            final = member.finalize([values[key] for key in keys], state)
            values.update(zip(keys, final, strict=True))
        return [values[id(variable)] for variable in self._all]

    @contextmanager
    def bound(self, states: Sequence[Any]) -> Iterator[None]:
        """Within the block the optimizers go on from these states."""
        with bound(self.members, "state", states):
            yield


def _item(states: Callable[[], Sequence[Any]], place: int) -> Any:
    return states()[place]


@contextmanager
def bound(
    objects: Sequence[Any], attribute: str, values: Sequence[Any]
) -> Iterator[None]:
    """Within the block the attribute of each object has its value."""
    before = [getattr(each, attribute) for each in objects]
    try:
        for each, value in zip(objects, values, strict=True):
            setattr(each, attribute, value)
        yield
    finally:
        for each, value in zip(objects, before, strict=True):
            setattr(each, attribute, value)


def named_logs(logs: Any) -> dict[str, Any]:
    """What a step returned, as tensors by name.

    Raises:
        ArgumentError: when it returned something else than a dict.
    """
    if not isinstance(logs, Mapping):
        raise ArgumentError(
            "a step returns what it measured by name",
            where="train_step",
            got=type(logs).__name__,
            expected="a dict of numbers",
            fix="return {'loss': loss}",
        )
    return {str(name): functional.asarray(value) for name, value in logs.items()}


def pack(batch: Mapping[str, Any]) -> Any:
    """A batch as steps get it: `x`, `(x, y)` or `(x, y, sample_weight)`."""
    x, y, weight = (batch.get(key) for key in ("x", "y", "sample_weight"))
    if weight is not None:
        return x, y, weight
    return x if y is None else (x, y)


@dataclass(frozen=True)
class Outline:
    """What a step does, found without computing anything.

    Attributes:
        logs: names and specs of what it returns.
        applied: the optimizers that it applies.
    """

    logs: dict[str, Spec]
    applied: list[Any]


def outline_step(
    run: Run,
    batch: Any,
    variables: Callable[[], Sequence[Variable]],
    metrics: Sequence[Any],
    optimizers: Sequence[Any],
) -> Outline:
    """Trace a step once, to learn what it returns and which optimizers it applies.

    Args:
        run: the step.
        batch: a tree of specs.
        variables: the variables of the model; layers may make theirs in the step.
        metrics: the metrics that the step may use.
        optimizers: the optimizers that it may apply.
    """
    leaves, structure = tree.flatten(batch)
    found: list[Any] = []

    def flat(*values: Any) -> list[Any]:
        known = variables()
        with (
            substitute(known, current_values(known)),
            random.stream(random.key(0)),
            bound(metrics, "_state", [None] * len(metrics)),
            bound(optimizers, "state", [None] * len(optimizers)),
        ):
            logs = named_logs(run(pack(tree.unflatten(structure, values))))
            found[:] = [list(logs), [x for x in optimizers if x.state is not None]]
            return list(logs.values())

    specs = [leaf.spec for leaf in leaves]
    count = None
    while count != len(variables()):  # again, where layers made their weights
        count = len(variables())
        graph, _ = trace(flat, specs, name="outline")
    names, applied = found
    return Outline(dict(zip(names, graph.output_specs, strict=True)), applied)


def make_own_train_step(parts: Parts, run: Run) -> Step:
    """A step that trains as `run` says; see `make_train_step`."""
    measures: Any = parts.targets

    def step(state: State, batch: Any) -> tuple[State, Any]:
        key = random.fold_in(state["key"], state["step"])
        batch = augmented(parts, batch, key)
        values = [*state["trainable"], *state["frozen"]]
        with ExitStack() as stack:
            stack.enter_context(substitute(parts.variables, values))
            stack.enter_context(random.stream(key))
            stack.enter_context(measures.bound(state["metrics"]))
            stack.enter_context(parts.optimizer.bound(state["optimizer"]))
            metrics = measures.after(run(pack(batch)))
            return {
                "trainable": constrain(parts, current_values(parts.trainable)),
                "frozen": current_values(parts.frozen),
                "optimizer": parts.optimizer.state,
                "metrics": metrics,
                "key": state["key"],
                "step": state["step"] + 1,
            }, None

    return step


def make_own_test_step(parts: Parts, run: Run) -> Step:
    """A step that measures as `run` says; see `make_test_step`."""
    measures: Any = parts.targets

    def step(state: State, batch: Any) -> tuple[State, Any]:
        batch = {name: autocast(part, parts.dtype) for name, part in batch.items()}
        with (
            substitute(parts.variables, state["variables"]),
            measures.bound(state["metrics"]),
        ):
            metrics = measures.after(run(pack(batch)))
            after = current_values(parts.variables)
        return {"variables": after, "metrics": metrics}, None

    return step


def make_own_predict_step(parts: Parts, run: Run) -> Step:
    """A step that predicts as `run` says; see `make_predict_step`."""

    def step(state: State, batch: Any) -> tuple[State, Any]:
        with substitute(parts.variables, state["variables"]):
            y_pred = run(autocast(batch["x"], parts.dtype))
            return {"variables": current_values(parts.variables)}, y_pred

    return step
