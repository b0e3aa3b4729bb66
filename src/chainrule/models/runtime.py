"""The compiled steps of a model, kept from one run to the next."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import cached_property
from typing import Any

from chainrule.ir import tree
from chainrule.likeness import likeness
from chainrule.loops import Loop
from chainrule.models.own import Own
from chainrule.training.own_step import (
    make_own_predict_step,
    make_own_test_step,
    make_own_train_step,
)
from chainrule.training.step import (
    Parts,
    make_predict_step,
    make_test_step,
    make_train_step,
)
from chainrule.training.store import Store
from chainrule.training.targets import Targets


class Runtime:
    """Loops for the steps of one model, traced once and used by every later run.

    Args:
        parts: what the steps are made of.
        optimizer_state: a state to go on from.
        backend: what runs the steps; the one that is set where None.
        shared: equal for models whose steps compute the same; see `likeness`.
        own: the steps that the model computes itself.
        basis: what the model was compiled to, where `parts` are those of its own steps.
        testing: what the test step is made of, where it is one of its own.

    Attributes:
        store: where the numbers of training live.
        test_store: where those of testing live.
    """

    def __init__(
        self,
        parts: Parts,
        optimizer_state: Any = None,
        backend: str | None = None,
        shared: Hashable | None = None,
        own: Own | None = None,
        basis: Parts | None = None,
        testing: Parts | None = None,
    ) -> None:
        self.parts = parts
        self.backend = backend
        self.shared = shared
        self.own = own or Own()
        self.basis = basis or parts
        self._built_in = _built_in(self.basis)
        self.store = Store(parts, optimizer_state)
        self.test_store = self.store
        if testing is not None or self.own.train is not None:
            self.test_store = Store(replace(testing or self.basis, optimizer=None))

    @cached_property
    def train(self) -> Loop:
        """The loop of the train step."""
        own = self.own.train
        step = (
            make_own_train_step(self.parts, own) if own else make_train_step(self.parts)
        )
        return self._loop(step, "train")

    @cached_property
    def test(self) -> Loop:
        """The loop of the test step."""
        parts, own = self.test_store.parts, self.own.test
        step = make_own_test_step(parts, own) if own else make_test_step(parts)
        return self._loop(step, "test")

    @cached_property
    def predict(self) -> Loop:
        """The loop of the predict step."""
        return self._predict_loop()

    @cached_property
    def answer(self) -> Loop:
        """One more, which keeps the weights from one single batch to the next."""
        return self._predict_loop()

    def _predict_loop(self) -> Loop:
        parts, own = self.parts, self.own.predict
        step = make_own_predict_step(parts, own) if own else make_predict_step(parts)
        return self._loop(step, "predict")

    def _loop(self, step: Any, name: str) -> Loop:
        return Loop(step, name, self.backend, self.shared)

    def fits(self, parts: Parts) -> bool:
        """Whether steps made of `parts` would be the same."""
        mine = self.basis
        return (
            _same(mine.trainable, parts.trainable)
            and _same(mine.frozen, parts.frozen)
            and mine.targets is parts.targets
            and mine.optimizer is parts.optimizer
            and mine.modes == parts.modes
            and mine.augmentation is parts.augmentation
            and self._built_in == _built_in(parts)
        )

    def optimizer_state_for(self, parts: Parts) -> Any:
        """The optimizer's state where it still applies, or None."""
        same = self.basis.optimizer is parts.optimizer
        if not (same and _same(self.basis.trainable, parts.trainable)):
            return None
        state = self.optimizer_state
        if self._built_in == _built_in(parts):
            return state
        # an argument was set to another value: the state may be another tree now
        fresh = Store(parts).optimizer_state
        return state if tree.flatten(state)[1] == tree.flatten(fresh)[1] else None

    @property
    def optimizer_state(self) -> Any:
        """The state of the optimizer; None where the step applies several."""
        state = self.store.optimizer_state
        if self.own.train is None:
            return state
        return state[0] if len(state) == 1 else None


def _built_in(parts: Parts) -> Any:
    """What the steps have of the optimizer's arguments."""
    return None if parts.optimizer is None else parts.optimizer.built_in()


def _same(first: Any, second: Any) -> bool:
    return len(first) == len(second) and all(
        a is b for a, b in zip(first, second, strict=True)
    )


def step_key(model: Any, parts: Parts) -> Hashable | None:
    """Equal for models whose steps compute the same; None where nobody knows."""
    places = {id(variable): i for i, variable in enumerate(parts.variables)}
    network = likeness(model, places)
    if network is None or parts.targets is None or parts.optimizer is None:
        return None if network is None else (network, len(parts.trainable))
    outputs = [
        (x.name, x.loss, x.weight, dict(x.metrics), dict(x.weighted))
        for x in parts.targets.outputs
    ]
    names = parts.targets.names if len(outputs) > 1 else []
    augmentation: Any = parts.augmentation
    changes = [] if augmentation is None else augmentation.layers
    rest = likeness([outputs, names, changes]), _optimizer_key(parts.optimizer)
    return None if None in rest else (network, len(parts.trainable), *rest)


def _optimizer_key(optimizer: Any) -> Hashable | None:
    """Equal for optimizers whose updates compute the same from their states."""
    if optimizer._exclusions or optimizer.learning_rate_multipliers:
        return None  # they go by the names of variables
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        own = optimizer.initial_scale, optimizer.dynamic_growth_steps
        key = _optimizer_key(inner)
        return None if key is None else (type(optimizer), *own, key)
    return likeness(optimizer)


def make_parts(
    model: Any,
    call: Callable[..., Any],
    targets: Targets | None = None,
    optimizer: Any = None,
    augmentation: Any = None,
) -> Parts:
    """The parts of a model; one that only predicts has no targets."""
    trained: dict[int, Any] = {}
    others: dict[int, Any] = {}
    reached: list[tuple[bool, Any]] = []
    layers: dict[int, Any] = {}
    model._find_parts(True, reached, layers)  # in one walk over the layers
    for on, variable in reached:
        kind = trained if on and variable.trainable else others
        kind[id(variable)] = variable
    frozen = [variable for key, variable in others.items() if key not in trained]
    modes = tuple([layer.trainable for layer in layers.values()])
    return Parts(
        call, [*trained.values()], frozen, targets, optimizer, modes, augmentation
    )
