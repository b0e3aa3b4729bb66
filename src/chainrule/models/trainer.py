"""What every model can do with data: compile, fit, evaluate, predict."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any

from chainrule import optimizers
from chainrule.errors import ArgumentError
from chainrule.layers.host import entered
from chainrule.models import batches, fitting
from chainrule.models.batches import Answers
from chainrule.models.intake import Given
from chainrule.models.objective import Objective, Settings
from chainrule.models.runtime import Runtime
from chainrule.models.steps import Steps
from chainrule.training.callbacks import Callback
from chainrule.training.history import History
from chainrule.training.resume import EVERY_SECONDS

Callbacks = Callback | Iterable[Callback] | None


class Trainer(Steps):
    """A layer that can be trained: the methods of `Model` that take data.

    Attributes:
        optimizer: the optimizer that `compile` was given.
        loss: the loss that `compile` was given.
        history: the History of the last `fit`.
        stop_training: set by callbacks to end `fit` after this epoch.
    """

    def __init__(self, *, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self.history: History | None = None
        self.stop_training = False
        self._runtime: Runtime | None = None
        self._predictor: Runtime | None = None
        self._answers: Answers | None = None
        self._loaded_state: Any = None

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
        augmentation: Any = None,
    ) -> None:
        """Say what training makes small, how, and what it measures.

        With several outputs, `loss`, `loss_weights`, `metrics` and `weighted_metrics`
        are lists with a part for each output, or dicts by the names of the outputs; a
        single loss counts for all of them.

        Args:
            optimizer: a name such as `adam`, or an optimizer.
            loss: a name such as `sparse_categorical_crossentropy`, a loss, or a
                function of `(y_true, y_pred)`; None where layers add losses.
            loss_weights: what the loss of each output is multiplied by in their sum.
            metrics: names such as `accuracy`, metrics, or functions. What `accuracy`
                means follows from labels and outputs, as in Keras; with
                `binary_crossentropy` every output is one yes or no. They count every
                sample alike.
            weighted_metrics: the same, with the weights of samples.
            run_eagerly: whether to run steps operation by operation, on the reference
                interpreter, and not as one native program.
            steps_per_execution: accepted as in Keras. The loop runs as many steps at
                once as fit between two looks of Python.
            jit_compile: False is `run_eagerly=True`; True and "auto" compile.
            auto_scale_loss: whether the optimizer of a model with the policy
                `mixed_float16` is wrapped in a `LossScaleOptimizer`.
            augmentation: a layer, or a list of layers, that change what is trained on
                and nothing else: the pictures x inside the compiled step, each time
                anew; labels and weights where samples are mixed, as by `MixUp`; labels
                that are pictures, as in segmentation, move along. Measuring and
                predicting see pictures as they are.

        Raises:
            ArgumentError: for a name that does not exist, with the nearest that does.

        Example:
            >>> import chainrule
            >>> model = chainrule.Sequential([chainrule.layers.Dense(1)])
            >>> model.compile(optimizer="adam", loss="mse", metrics=["mae"])
            >>> model.optimizer
            Adam()
        """
        settings = Settings(
            run_eagerly, jit_compile, steps_per_execution, auto_scale_loss
        )
        self._objective = Objective(
            self._scaling(optimizer) if auto_scale_loss else optimizer,
            loss,
            metrics,
            loss_weights,
            weighted_metrics,
            settings,
            augmentation,
        )

    def _scaling(self, optimizer: Any) -> Any:
        """The optimizer, in one that scales the loss where layers give float16."""
        if self.dtype_policy.name != "mixed_float16":
            return optimizer
        plain = optimizers.get(optimizer)
        sees = plain.full_batch or plain.loss_scale_factor is not None
        if sees or isinstance(plain, optimizers.LossScaleOptimizer):
            return plain
        return optimizers.LossScaleOptimizer(plain)

    @property
    def optimizer(self) -> Any:
        """The optimizer; None before `compile`."""
        return None if self._objective is None else self._objective.optimizer

    @property
    def loss(self) -> Any:
        """The loss; None before `compile`."""
        return None if self._objective is None else self._objective.loss

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Callbacks = None,
        validation_split: Any = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Collection[int] = 1,
        *,
        seed: int | None = None,
        max_time: float | timedelta | None = None,
        measure_train: bool = False,
        sanity_steps: int = 2,
        overfit_batches: int = 0,
        fast_dev_run: bool | int = False,
        resume: str | os.PathLike[str] | None = None,
        checkpoint_every: float | str = EVERY_SECONDS,
    ) -> History:
        """Train for `epochs` passes over the data.

        Everything is checked before the first step, and all mistakes are told at once.
        Ctrl-C ends training after the step in progress; History and weights are whole,
        and the script goes on.

        Args:
            x: inputs, rows first: NumPy arrays, lists, tensors, tables of numbers; for
                several inputs a list of those, or a dict by the names of the inputs.
                Or a stream: a generator, a loader or another iterable of batches
                `(x, y)` or `(x, y, sample_weight)`, or a data set with `__len__` and
                `__getitem__`, which gives samples.
            y: targets, one row for each row of `x`; for several outputs a list, or a
                dict by name.
            batch_size: rows of a step, 32 by default. The last batch of an epoch may be
                smaller, and counts by its rows.
            epochs: the number of the last epoch.
            verbose: 0 shows nothing, 2 one line an epoch; 1 and "auto" a bar where the
                output is a terminal, and lines elsewhere.
            callbacks: called at the joints of training.
            validation_split: this share of the rows, the last ones, is not trained on
                but measured after each epoch, as in Keras; a `Split` chooses other
                rows.
            validation_data: `(x, y)` or `(x, y, sample_weight)` to measure after each
                epoch.
            shuffle: whether every epoch has its own order of the rows.
            class_weight: a weight by the number of the class, or "balanced": every
                class counts alike then. With several outputs a list or a dict of those.
                It multiplies `sample_weight`.
            sample_weight: how much each sample counts in the loss and in weighted
                metrics: one number a sample, or one for each of its time steps; with
                several outputs also a list or a dict of those.
            initial_epoch: how many epochs are done already; with the same seed, a run
                in two parts is the run in one.
            steps_per_epoch: batches of an epoch; the next epoch goes on behind them.
            validation_steps: how many batches to validate with.
            validation_batch_size: rows of a batch in validation, `batch_size` by
                default.
            validation_freq: validate after every so many epochs, or after the epochs of
                these numbers, counted from 1.
            seed: decides the order of rows, dropout, and the weights where they are not
                made yet. The same seed gives the same bits. By default the next key of
                `chainrule.set_seed`.
            max_time: seconds, or a timedelta: training ends with the step after them,
                and the epoch in progress counts as done.
            measure_train: whether loss and metrics of the training data are measured
                after the epoch, as those of validation are, and not during it.
            sanity_steps: so many batches of the validation data are measured before the
                first epoch, so that an error there shows at once.
            overfit_batches: train on the first so many batches only, in one order and
                without validation: a network that cannot learn them by heart has a
                mistake.
            fast_dev_run: run one batch (or so many) of training and of validation, for
                one epoch, to see that everything runs.
            resume: the folder of this run. Checkpoints are written there while it
                trains; where there are some, the run goes on from the newest, to the
                very bits of a run that never ended.
            checkpoint_every: seconds between two checkpoints within an epoch, or a text
                such as `500 steps`. One is written at the end of epochs as well.

        Returns:
            The numbers of every epoch.

        Raises:
            DataError: naming every mistake in data, labels, loss and network, with the
                corrected lines.
            ArgumentError: when the model was not compiled.
            ResumeError: when the folder holds checkpoints of another model, other data
                or other settings.

        Example:
            >>> import numpy as np, chainrule
            >>> x = np.linspace(-1, 1, 64)[:, None]
            >>> model = chainrule.Sequential([chainrule.layers.Dense(1)])
            >>> model.compile(chainrule.optimizers.SGD(0.1), loss="mse")
            >>> history = model.fit(x, 2 * x + 1, epochs=50, verbose=0, seed=0)
            >>> history.history["loss"][-1] < 1e-3
            True
        """
        plan = fitting.Plan(
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            shuffle=shuffle,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
            validation_freq=validation_freq,
            max_time=max_time,
            measure_train=measure_train,
            sanity_steps=sanity_steps,
            overfit_batches=overfit_batches,
            fast_dev_run=fast_dev_run,
            resume=resume,
            checkpoint_every=checkpoint_every,
        )
        given = Given(
            x, y, sample_weight, class_weight, validation_data, validation_split
        )
        return fitting.fit(self, given, plan, callbacks, seed)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Callbacks = None,
        return_dict: bool = False,
    ) -> Any:
        """Measure loss and metrics, without training.

        Args:
            x: inputs, rows first.
            y: targets.
            batch_size: rows of a step, 32 by default.
            verbose: as for `fit`.
            sample_weight: how much each sample counts.
            steps: how many batches to measure; all of them by default.
            callbacks: called before and after.
            return_dict: whether to return numbers by name.

        Returns:
            The loss, or `[loss, metric, ...]` where there are metrics, or a dict.

        Raises:
            DataError: as for `fit`.

        Example:
            >>> import chainrule
            >>> model = chainrule.Sequential([chainrule.layers.Rescaling(2.0)])
            >>> model.compile(loss="mse", metrics=["mae"])
            >>> model.evaluate([[1.0], [2.0]], [[2.0], [5.0]], verbose=0)
            [0.5, 0.5]
        """
        given = Given(x, y, sample_weight)
        logs = fitting.evaluate(self, given, batch_size, steps, verbose, callbacks)
        return _results(logs, return_dict)

    def predict(
        self,
        x: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Callbacks = None,
    ) -> Any:
        """The outputs for all rows of `x`, as NumPy arrays.

        Args:
            x: inputs, rows first.
            batch_size: rows of a step, 32 by default.
            verbose: as for `fit`; nothing is shown where the output is no terminal,
                unless it is 2.
            steps: how many batches to predict; all of them by default.
            callbacks: called before and after.

        Returns:
            An array; a list or a dict of them where the model returns that.

        Raises:
            DataError: when `x` does not fit the model.

        Example:
            >>> import chainrule
            >>> model = chainrule.Sequential([chainrule.layers.Rescaling(2.0)])
            >>> model.predict([[1.0], [2.5]], verbose=0).tolist()
            [[2.0], [5.0]]
        """
        return fitting.predict(self, x, batch_size, steps, verbose, callbacks)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Take one training step on one batch.

        Loss and metrics are those of this batch, measured before the step, as in Keras.

        Args:
            x: the inputs of the batch.
            y: the targets of the batch.
            sample_weight: how much each sample counts.
            class_weight: a weight by the number of the class, or "balanced".
            return_dict: whether to return numbers by name.

        Returns:
            The loss, or `[loss, metric, ...]` where there are metrics, or a dict.

        Raises:
            OutOfBoundsError: when a number, such as that of a word, points outside a
                table. The step was taken to its end by then, as in `fit`: weights that
                nobody has read since the step before are those that it left.

        Example:
            >>> import chainrule
            >>> dense = chainrule.layers.Dense(1, kernel_initializer="zeros")
            >>> model = chainrule.Sequential([dense])
            >>> model.compile(chainrule.optimizers.SGD(0.25), loss="mse")
            >>> model.train_on_batch([[1.0]], [[2.0]])
            4.0
        """
        given = Given(x, y, sample_weight, class_weight)
        return _results(batches.train(self, given), return_dict)

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Measure one batch, without training; see `train_on_batch`.

        Example:
            >>> import chainrule
            >>> model = chainrule.Sequential([chainrule.layers.Rescaling(2.0)])
            >>> model.compile(loss="mse")
            >>> model.test_on_batch([[1.0]], [[3.0]])
            1.0
        """
        given = Given(x, y, sample_weight)
        return _results(batches.test(self, given), return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays.

        Example:
            >>> import chainrule
            >>> model = chainrule.Sequential([chainrule.layers.Rescaling(2.0)])
            >>> model.predict_on_batch([[1.0]]).tolist()
            [[2.0]]
        """
        return batches.predict(self, x)

    def reset_metrics(self) -> None:
        """Have metrics that were updated by hand forget what they saw.

        Every epoch, evaluation and single batch starts its metrics anew by itself.
        """
        for metric in self.metrics:
            metric.reset_state()

    def _compiled(self, task: str) -> Objective:
        if self._objective is None:
            raise ArgumentError(
                f"the model must be compiled with a loss before {task}",
                where=self.name,
                fix="model.compile(optimizer='adam', "
                "loss='sparse_categorical_crossentropy', metrics=['accuracy'])",
            )
        return self._objective

    def _forward(self, x: Any, training: bool) -> Any:
        with entered():
            return self(x, training=training)

    def _optimizer_state(self) -> Any:
        """The optimizer's state; None before the first step."""
        if self._runtime is None:
            return self._loaded_state
        return self._runtime.optimizer_state

    def _resume(self, optimizer_state: Any) -> None:
        """Go on from this state of the optimizer."""
        self._runtime, self._loaded_state = None, optimizer_state


def _results(logs: Mapping[str, Any], as_dict: bool) -> Any:
    """Numbers as Keras returns them."""
    if as_dict:
        return dict(logs)
    numbers = list(logs.values())
    return numbers if len(numbers) > 1 else numbers[0]
