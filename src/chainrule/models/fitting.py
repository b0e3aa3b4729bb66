"""One run of a model over data: what `fit`, `evaluate` and `predict` do."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, DataError
from chainrule.functional import random
from chainrule.ir import tree
from chainrule.ir.trace import constant
from chainrule.models.intake import Feed, Given, Selection, open_stream
from chainrule.models.objective import Objective
from chainrule.models.own import own_parts, own_test_parts
from chainrule.models.prepare import Examples, Outputs, Preparation, as_mistake
from chainrule.models.run_facts import describe_run
from chainrule.models.runtime import Runtime, make_parts, step_key
from chainrule.training.callbacks import CallbackList, TerminateOnNaN
from chainrule.training.data import Array, split_rows
from chainrule.training.history import History
from chainrule.training.loop import Fit, measure
from chainrule.training.loop import predict as run_predict
from chainrule.training.mistakes import Mistake
from chainrule.training.progress import Silent, make_progress
from chainrule.training.resume import EVERY_SECONDS, Resume, open_run
from chainrule.training.resume_fingerprint import flatten_config
from chainrule.training.splits import Split
from chainrule.training.streams import is_stream

DEFAULT_BATCH = 32
# parts of a plan that change no number of the epochs that are run
NOT_DECIDING = (
    "epochs",
    "verbose",
    "max_time",
    "sanity_steps",
    "resume",
    "checkpoint_every",
)


@dataclass(frozen=True)
class Plan:
    """How a run of `fit` goes; see there."""

    batch_size: int | None = None
    epochs: int = 1
    verbose: str | int = "auto"
    shuffle: bool = True
    initial_epoch: int = 0
    steps_per_epoch: int | None = None
    validation_steps: int | None = None
    validation_batch_size: int | None = None
    validation_freq: int | Collection[int] = 1
    max_time: float | timedelta | None = None
    measure_train: bool = False
    sanity_steps: int = 2
    overfit_batches: int = 0
    fast_dev_run: bool | int = False
    resume: str | os.PathLike[str] | None = None
    checkpoint_every: float | str = EVERY_SECONDS

    def checked(self, preparation: Preparation) -> Plan:
        """The plan with its defaults; what is wrong goes to `preparation`."""
        size = DEFAULT_BATCH if self.batch_size is None else self.batch_size
        plan = self if size == self.batch_size else replace(self, batch_size=size)
        for name, least in _WHOLE_NUMBERS.items():
            value = getattr(plan, name)
            if value is not None and not (type(value) is int and value >= least):
                preparation.check_whole(name, value, least)
        if not isinstance(plan.validation_freq, Collection):
            preparation.check_whole("validation_freq", plan.validation_freq, 1)
        return plan if preparation.mistakes else plan._shortened()

    @property
    def validation_size(self) -> int | None:
        """Rows of a batch in validation."""
        own = self.validation_batch_size
        return self.batch_size if own is None else own

    def _shortened(self) -> Plan:
        """The plan of a smoke run, where one was asked for."""
        if self.fast_dev_run:
            steps = int(self.fast_dev_run)
            epochs = min(self.epochs, self.initial_epoch + 1)
            return replace(
                self, epochs=epochs, steps_per_epoch=steps, validation_steps=steps
            )
        if self.overfit_batches:
            return replace(self, steps_per_epoch=None, shuffle=False)
        return self

    def validates(self, epoch: int) -> bool:
        """Whether to validate after this epoch, counted from 0."""
        if isinstance(self.validation_freq, Collection):
            return epoch + 1 in self.validation_freq
        return (epoch + 1) % self.validation_freq == 0

    @property
    def seconds(self) -> float | None:
        """The time that training may take."""
        if isinstance(self.max_time, timedelta):
            return self.max_time.total_seconds()
        return self.max_time


_WHOLE_NUMBERS = {
    "batch_size": 1,
    "epochs": 0,
    "initial_epoch": 0,
    "steps_per_epoch": 1,
    "validation_steps": 1,
    "validation_batch_size": 1,
    "sanity_steps": 0,
    "overfit_batches": 0,
}


def fit(
    model: Any, given: Given, plan: Plan, callbacks: Any, seed: int | None
) -> History:
    """Train a model; see `Model.fit`."""
    objective = model._compiled("fit")
    key = key_of(seed)
    preparation = Preparation(model._preparable(objective, key), "fit")
    plan = plan.checked(preparation)
    train, validation = _read_both(preparation, given, plan)
    runtime = train_runtime(model, objective, train.examples)
    called = CallbackList(callbacks, model)
    kept = open_run(plan.resume, plan.checkpoint_every, key, called)
    if kept is not None:
        _identify(kept, model, plan, (train, validation), seed)
        key = kept.key if seed is None else key
    order_key, step_key = map(constant, random.split(key, 2).numpy())
    source = train.source(
        plan.batch_size, plan.steps_per_epoch, order_key if plan.shuffle else None
    )
    check_batches(objective.optimizer, source.steps, plan)
    model.stop_training = False
    model.history = History()
    params = {"epochs": plan.epochs, "steps": source.steps, "verbose": plan.verbose}
    called.set_params(params)
    run = Fit(
        runtime.train,
        runtime.store,
        source,
        plan.epochs,
        step_key,
        plan.initial_epoch,
        measures=_measures(runtime, plan, train, validation, called),
        callbacks=called,
        progress=make_progress(plan.verbose),
        stopped=lambda: bool(model.stop_training),
        max_time=plan.seconds,
        resume=kept,
        guard=_guard(called, model),
    )
    if validation is not None and not validation.once and plan.sanity_steps:
        steps = min(plan.sanity_steps, plan.validation_steps or plan.sanity_steps)
        first = validation.source(plan.validation_size, steps)
        measure(runtime.test, runtime.test_store, first)
    return run.run(model.history)


def _guard(callbacks: CallbackList, model: Any) -> TerminateOnNaN:
    """What ends training that makes NaN: that among the callbacks, or one more."""
    for callback in callbacks.callbacks:
        if isinstance(callback, TerminateOnNaN):
            return callback
    guard = TerminateOnNaN()
    guard.set_model(model)
    return guard


def _identify(
    kept: Resume,
    model: Any,
    plan: Plan,
    data: tuple[Feed, Feed | None],
    seed: int | None,
) -> None:
    """Tell the checkpoints what run this is."""
    settings = asdict(plan)
    for name in NOT_DECIDING:
        del settings[name]
    parts = dict(zip(("train", "validation"), data, strict=True))
    described = {name: part and part.description for name, part in parts.items()}
    facts = describe_run(model, model._objective, described)
    kept.facts = {**flatten_config(settings, "fit"), "fit.seed": seed, **facts}
    kept.optimizer = model.optimizer


def check_batches(optimizer: Any, steps: int | None, plan: Plan) -> None:
    """Refuse batches for an optimizer that must see all rows at once."""
    whole = steps == 1 and plan.steps_per_epoch is None
    if optimizer.full_batch and not whole:
        raise ArgumentError(
            f"{type(optimizer).__name__} needs all rows in one batch",
            where="fit",
            got=f"batches of {plan.batch_size} rows, {steps} an epoch",
            expected="arrays in memory, and no steps_per_epoch",
            fix="batch_size=len(x)",
        )


def _measures(
    runtime: Runtime,
    plan: Plan,
    train: Feed,
    validation: Feed | None,
    callbacks: CallbackList,
) -> Callable[[int, Callable[[], None]], dict[str, Any]] | None:
    """What is measured after an epoch."""
    if validation is None and not plan.measure_train:
        return None

    def run(epoch: int, check: Callable[[], None]) -> dict[str, Any]:
        logs: dict[str, Any] = {}
        if plan.measure_train:
            source = train.source(plan.batch_size, plan.steps_per_epoch)
            logs |= measure(
                runtime.test, runtime.store, source, check=check, callbacks=callbacks
            )
        if validation is not None and plan.validates(epoch):
            source = validation.source(plan.validation_size, plan.validation_steps)
            found = measure(
                runtime.test, runtime.store, source, check=check, callbacks=callbacks
            )
            logs |= {f"val_{name}": number for name, number in found.items()}
        return logs

    return run


def _read_both(
    preparation: Preparation, given: Given, plan: Plan
) -> tuple[Feed, Feed | None]:
    """Data to train on and, where it is wanted, data to validate with.

    Raises:
        DataError: naming every mistake, with the corrected lines.
    """
    assert plan.batch_size is not None
    share = given.validation_split
    usable = isinstance(share, Split) or check_fraction(preparation, share)
    train: Feed | None = None
    if is_stream(given.x):
        train = open_stream(preparation, given, plan.batch_size)
    else:
        found = preparation.read(*given.training)
        train = None if found is None else Selection(found, found.rows)
    preparation.finish_training(train is not None)
    held_out: Feed | None = None
    if given.validation_data is not None:
        held_out = _read_validation(preparation, given.validation_data, plan)
    elif usable and share and train is not None and not preparation.mistakes:
        train, held_out = split(preparation, train, share)
    preparation.finish()
    assert train is not None
    if plan.overfit_batches:
        return train.first(plan.overfit_batches, plan.batch_size), None
    return train, held_out


def _read_validation(preparation: Preparation, given: Any, plan: Plan) -> Feed | None:
    if is_stream(given):
        assert plan.validation_size is not None
        return open_stream(preparation, Given(given), plan.validation_size, "_val")
    found = preparation.read_validation(given)
    return None if found is None else Selection(found, found.rows)


def check_fraction(preparation: Preparation, fraction: Any) -> bool:
    """Whether `validation_split` is a share of the rows."""
    number = isinstance(fraction, (int, float, np.number))
    share = number and bool(0 <= fraction < 1)
    if not share:
        preparation.mistakes.append(
            Mistake(
                "the part for validation must be a share of the rows",
                "validation_split",
                got=repr(fraction),
                expected="0 <= validation_split < 1, or a Split",
                fix="validation_split=0.2",
            )
        )
    return share


def split(
    preparation: Preparation, whole: Feed, share: float | Split
) -> tuple[Feed, Feed | None]:
    """The rows to train on, and those to validate with: the last ones, or a `Split`."""
    if not isinstance(whole, Selection):
        preparation.mistakes.append(
            Mistake(
                "only arrays can be split: how many rows a stream has is not known",
                "validation_split",
                got=repr(share),
                fix="validation_data=other_batches",
            )
        )
        return whole, None
    examples = whole.examples
    if isinstance(share, Split):
        try:
            first, second = share.rows(examples.rows, examples.y)
        except ArgumentError as error:
            preparation.mistakes.append(as_mistake(error))
            return whole, None
        return Selection(examples, first), Selection(examples, second)
    start = split_rows(examples.rows, share)
    if start in (0, examples.rows):
        preparation.mistakes.append(
            Mistake(
                f"{examples.rows} rows cannot be split: one part would be empty",
                "validation_split",
                got=repr(share),
                expected="at least one row to train on, and one to validate with",
            )
        )
        return whole, None
    train, held_out = (
        examples.take(slice(None, start)),
        examples.take(slice(start, None)),
    )
    return Selection(train, train.rows), Selection(held_out, held_out.rows)


def evaluate(
    model: Any,
    given: Given,
    batch_size: int | None,
    steps: int | None,
    verbose: str | int,
    callbacks: Any,
) -> dict[str, Any]:
    """Measure a model; see `Model.evaluate`."""
    objective = model._compiled("evaluate")
    selection, batch_size = _prepare(model, given, batch_size, objective, "evaluate")
    runtime = train_runtime(model, objective, selection.examples)
    source = selection.source(batch_size, steps)
    called = CallbackList(callbacks, model, {"verbose": verbose})
    progress = make_progress(verbose)
    progress.begin("evaluate", source.rows)
    try:
        logs = measure(
            runtime.test, runtime.test_store, source, progress, callbacks=called
        )
    finally:
        progress.end()
        source.close()
    return logs


def predict(
    model: Any,
    x: Any,
    batch_size: int | None,
    steps: int | None,
    verbose: str | int,
    callbacks: Any,
) -> Any:
    """The outputs of a model; see `Model.predict`."""
    selection, batch_size = _prepare(model, Given(x), batch_size, None, "predict")
    runtime = predict_runtime(model)
    source = selection.source(batch_size, steps)
    called = CallbackList(callbacks, model, {"verbose": verbose})
    progress = make_progress(verbose)
    if not progress.live and verbose != 2:
        progress = Silent()
    progress.begin("predict", source.rows)
    try:
        pieces = run_predict(runtime.predict, runtime.store, source, progress, called)
    finally:
        progress.end()
        source.close()
    return joined(pieces)


def joined(pieces: list[Any]) -> Any:
    """Outputs of several pieces as one, in NumPy arrays.

    Raises:
        DataError: where batches of other lengths have outputs of other lengths.
    """
    return tree.tree_map(lambda *parts: _joined([p.numpy() for p in parts]), *pieces)


def _joined(parts: list[Array]) -> Array:
    shapes = sorted({part.shape[1:] for part in parts})
    if len(shapes) > 1:
        raise DataError(
            "batches of different lengths have outputs that do not make one array",
            where="predict",
            got=f"samples of shapes {', '.join(map(str, shapes))}",
            expected="outputs of one shape",
            fix="outputs = [model.predict_on_batch(x) for x in batches]",
        )
    return np.concatenate(parts)


def _prepare(
    model: Any, given: Given, batch_size: int | None, objective: Any, task: str
) -> tuple[Feed, int]:
    batch_size = DEFAULT_BATCH if batch_size is None else batch_size
    preparation = Preparation(model._preparable(objective), task)
    preparation.check_whole("batch_size", batch_size, 1)
    if not is_stream(given.x):
        examples = read(preparation, given)
        return Selection(examples, examples.rows), batch_size
    preparation.finish()
    feed = open_stream(preparation, given, batch_size)
    preparation.finish()
    assert feed is not None
    return feed, batch_size


def read(preparation: Preparation, given: Given) -> Examples:
    """Data that a model can be given.

    Raises:
        DataError: naming every mistake, with the corrected lines.
    """
    examples = preparation.read(*given.training)
    preparation.finish()
    assert examples is not None
    return examples


def train_runtime(model: Any, objective: Objective, data: Examples) -> Runtime:
    """The steps for training and measuring on data like this."""
    outputs: Outputs | None = model._outputs()
    own = model._own_steps()
    targets = None
    if outputs is not None:
        shapes = target_shapes(data.y, outputs)
        targets = objective.targets(outputs.names, shapes, outputs.shapes)
    model._targets = targets
    rest = objective.optimizer, objective.augmentation
    basis = make_parts(model, model._forward, targets, *rest)
    old = model._runtime
    if old is not None and old.fits(basis):
        return old
    state = model._loaded_state if old is None else old.optimizer_state_for(basis)
    model._loaded_state = None
    backend = objective.settings.backend
    if own.train is None and own.test is None:
        shared = step_key(model, basis)
        model._runtime = Runtime(basis, state, backend, shared)
        return model._runtime
    parts = basis
    if own.train is not None:
        parts = own_parts(model, own, basis, data)
        basis = make_parts(model, model._forward, targets, *rest)
        state = None if state is None or len(parts.optimizer.members) > 1 else [state]
    test = own_test_parts(model, own, basis, data) if own.test is not None else None
    model._runtime = Runtime(parts, state, backend, None, own, basis, test)
    return model._runtime


def target_shapes(y: Any, outputs: Outputs) -> list[Any]:
    """The shape of a sample of each target; None where there is none."""
    single = not isinstance(y, list)
    parts = [y] * len(outputs.names) if single else y
    return [None if part is None else part.shape[1:] for part in parts]


def predict_runtime(model: Any) -> Runtime:
    """The steps for predicting."""
    parts = make_parts(model, model._forward)
    if model._predictor is None or not model._predictor.fits(parts):
        objective = model._objective
        backend = None if objective is None else objective.settings.backend
        shared = step_key(model, parts)
        own = model._own_steps()
        shared = None if own.predict else shared
        model._predictor = Runtime(parts, None, backend, shared, own)
    return model._predictor


def key_of(seed: Any) -> Any:
    """The random key of one run: that of its seed, or else the next of all."""
    if seed is None:
        return random.next_key()
    if not isinstance(seed, (int, np.integer)):
        raise ArgumentError(
            "a seed is a whole number", where="seed", got=repr(seed), fix="seed=0"
        )
    return random.key(int(seed))
