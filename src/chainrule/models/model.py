"""Models: layers that can be compiled, trained, measured, summarised and saved."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.functional import random
from chainrule.layers import Layer
from chainrule.layers.host import entered
from chainrule.layers.layer import as_tensors
from chainrule.models import prepare
from chainrule.models.ends import Ends, sample_shape
from chainrule.models.objective import Objective
from chainrule.models.runtime import Runtime, make_parts
from chainrule.models.storage import save_model
from chainrule.models.summary import summarize
from chainrule.training.callbacks import Callback, CallbackList
from chainrule.training.checks import SampleShape
from chainrule.training.data import Array
from chainrule.training.history import History
from chainrule.training.loop import Fit, measure, predict
from chainrule.training.progress import make_progress

DEFAULT_BATCH = 32
Shape = tuple[int | None, ...]


class Model(Layer):
    """A layer that can be trained: the base of `Sequential`, and of models of your own.

    `Model(inputs, outputs)` is a `Functional`: what leads from some symbols to others.

    Args:
        inputs: a symbol, or a list or dict of symbols; see `Input`. None for a model
            that defines `call`.
        outputs: what was made of them.
        name: its name.
        trainable: whether training changes the weights.

    Attributes:
        optimizer: the optimizer that `compile` was given.
        loss: the loss that `compile` was given.
        history: the History of the last `fit`.
        stop_training: set by callbacks to end `fit` after this epoch.

    Example:
        >>> import chainrule
        >>> class Line(Model):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.dense = chainrule.layers.Dense(1)
        ...     def call(self, inputs):
        ...         return self.dense(inputs)
        >>> model = Line()
        >>> model.compile(chainrule.optimizers.SGD(0.1), loss="mse")
        >>> history = model.fit([[0.0], [1.0]], [[1.0], [3.0]], epochs=300, verbose=0)
        >>> history.history["loss"][-1] < 0.1
        True
    """

    drawn: ClassVar[type[Model]]  # `Functional`, which is built on this class

    def __init__(
        self,
        inputs: Any = None,
        outputs: Any = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        is_drawn = inputs is not None or outputs is not None
        if is_drawn:
            self.__class__ = _drawn_class(type(self))
        super().__init__(name=name, trainable=trainable)
        self.inputs: Any = None
        self.outputs: Any = None
        self.history: History | None = None
        self.stop_training = False
        self._objective: Objective | None = None
        self._runtime: Runtime | None = None
        self._predictor: Runtime | None = None
        self._seen_shape: SampleShape | None = None
        self._loaded_state: Any = None
        if is_drawn:
            self._draw(inputs, outputs)

    def compile(
        self, optimizer: Any = "rmsprop", loss: Any = None, metrics: Any = None
    ) -> None:
        """Say what training makes small, how, and what it measures.

        Args:
            optimizer: a name such as `adam`, or an optimizer.
            loss: a name such as `sparse_categorical_crossentropy`, a loss, or a
                function of `(y_true, y_pred)`.
            metrics: names such as `accuracy`, metrics, or functions. What `accuracy`
                means follows from labels and outputs, as in Keras; with
                `binary_crossentropy` every output is one yes or no.

        Raises:
            ArgumentError: for a name that does not exist, with the nearest that does.

        Example:
            >>> import chainrule
            >>> model = chainrule.Sequential([chainrule.layers.Dense(1)])
            >>> model.compile(optimizer="adam", loss="mse", metrics=["mae"])
            >>> model.optimizer
            Adam()
        """
        self._objective = Objective(optimizer, loss, metrics)

    @property
    def optimizer(self) -> Any:
        """The optimizer; None before `compile`."""
        return None if self._objective is None else self._objective.optimizer

    @property
    def loss(self) -> Any:
        """The loss; None before `compile`."""
        return None if self._objective is None else self._objective.loss

    @property
    def layers(self) -> list[Layer]:
        """The layers that it is made of."""
        found = [part for part in vars(self).values() if isinstance(part, Layer)]
        return list(dict.fromkeys(found))

    @property
    def output_shape(self) -> Shape | None:
        """The shape of the output, rows first; None while the input is not known."""
        shape = self._sample_shape()
        if shape is None or not self.built:
            return None
        return self.compute_output_shape((None, *shape))

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of this name, or at this place.

        Raises:
            ArgumentError: when there is none.

        Example:
            >>> import chainrule
            >>> layers = [chainrule.layers.Dense(3, name="hidden")]
            >>> chainrule.Sequential(layers).get_layer("hidden") is layers[0]
            True
        """
        layers = self.layers
        if index is not None and -len(layers) <= index < len(layers):
            return layers[index]
        found = [layer for layer in layers if layer.name == name]
        if not found:
            raise ArgumentError(
                "there is no such layer",
                where=self.name,
                got=f"name={name!r}" if index is None else f"index={index}",
                expected=", ".join(layer.name for layer in layers),
            )
        return found[0]

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Callback | Iterable[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        *,
        initial_epoch: int = 0,
        seed: int | None = None,
    ) -> History:
        """Train for `epochs` passes over the data.

        Everything is checked before the first step, and all mistakes are told at once.
        Ctrl-C ends training after the step in progress; History and weights are whole,
        and the script goes on.

        Args:
            x: inputs, rows first: NumPy arrays, lists, tensors, tables of numbers.
            y: targets, one row for each row of `x`.
            batch_size: rows of a step, 32 by default. The last batch of an epoch may be
                smaller, and counts by its rows.
            epochs: the number of the last epoch.
            verbose: 0 shows nothing, 2 one line an epoch; 1 and "auto" a bar where the
                output is a terminal, and lines elsewhere.
            callbacks: called at the joints of training.
            validation_split: this share of the rows, the last ones, is not trained on
                but measured after each epoch, as in Keras; shuffle sorted data first.
            validation_data: `(x, y)` to measure after each epoch.
            shuffle: whether every epoch has its own order of the rows.
            initial_epoch: how many epochs are done already; with the same seed, a run
                in two parts is the run in one.
            seed: decides the order of rows, dropout, and the weights where they are not
                made yet. The same seed gives the same bits. By default the next key of
                `chainrule.set_seed`.

        Returns:
            The numbers of every epoch.

        Raises:
            DataError: naming every mistake in data, labels, loss and network, with the
                corrected lines.
            ArgumentError: when the model was not compiled.

        Example:
            >>> import numpy as np, chainrule
            >>> x = np.linspace(-1, 1, 64)[:, None]
            >>> model = chainrule.Sequential([chainrule.layers.Dense(1)])
            >>> model.compile(chainrule.optimizers.SGD(0.1), loss="mse")
            >>> history = model.fit(x, 2 * x + 1, epochs=50, verbose=0, seed=0)
            >>> history.history["loss"][-1] < 1e-3
            True
        """
        objective = self._compiled("fit")
        key = _key_of(seed)
        batch_size = DEFAULT_BATCH if batch_size is None else batch_size
        preparation = prepare.Preparation(self._preparable(objective, key), "fit")
        preparation.check_whole("batch_size", batch_size, 1)
        preparation.check_whole("epochs", epochs, 0)
        preparation.check_whole("initial_epoch", initial_epoch, 0)
        train, validation = preparation.read_both(
            x, y, validation_data, validation_split
        )
        runtime = self._train_runtime(objective, train)
        steps = -(-train.rows // batch_size)
        params = {"epochs": epochs, "steps": steps, "verbose": verbose}
        self.stop_training = False
        self.history = History()

        def validate(check: Callable[[], None]) -> dict[str, float]:
            assert validation is not None
            rows = validation.rows
            return measure(
                runtime.test,
                runtime.store,
                validation.tree,
                rows,
                batch_size,
                check=check,
            )

        run = Fit(
            runtime.train,
            runtime.store,
            train.tree,
            train.rows,
            batch_size,
            epochs,
            key,
            initial_epoch,
            shuffle,
            validate=None if validation is None else validate,
            callbacks=CallbackList(callbacks, self, params),
            progress=make_progress(verbose),
            stopped=lambda: self.stop_training,
        )
        return run.run(self.history)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        callbacks: Callback | Iterable[Callback] | None = None,
        *,
        return_dict: bool = False,
    ) -> Any:
        """Measure loss and metrics, without training.

        Args:
            x: inputs, rows first.
            y: targets.
            batch_size: rows of a step, 32 by default.
            verbose: as for `fit`.
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
        objective = self._compiled("evaluate")
        examples, batch_size = self._prepare(x, y, batch_size, objective, "evaluate")
        runtime = self._train_runtime(objective, examples)
        called = CallbackList(callbacks, self, {"verbose": verbose})
        progress = make_progress(verbose)
        called.call("on_test_begin", {})
        progress.begin("evaluate", examples.rows)
        try:
            logs = measure(
                runtime.test,
                runtime.store,
                examples.tree,
                examples.rows,
                batch_size,
                progress,
            )
        finally:
            progress.end()
        called.call("on_test_end", logs)
        numbers = list(logs.values())
        if return_dict:
            return logs
        return numbers if len(numbers) > 1 else numbers[0]

    def predict(
        self,
        x: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        callbacks: Callback | Iterable[Callback] | None = None,
    ) -> Array:
        """The outputs for all rows of `x`, as a NumPy array.

        Args:
            x: inputs, rows first.
            batch_size: rows of a step, 32 by default.
            verbose: as for `fit`; nothing is shown where the output is no terminal,
                unless it is 2.
            callbacks: called before and after.

        Raises:
            DataError: when `x` does not fit the model.

        Example:
            >>> import chainrule
            >>> model = chainrule.Sequential([chainrule.layers.Rescaling(2.0)])
            >>> model.predict([[1.0], [2.5]], verbose=0).tolist()
            [[2.0], [5.0]]
        """
        examples, batch_size = self._prepare(x, None, batch_size, None, "predict")
        runtime = self._predict_runtime()
        called = CallbackList(callbacks, self, {"verbose": verbose})
        progress = make_progress(verbose)
        if not progress.live and verbose != 2:
            progress = make_progress(0)
        called.call("on_predict_begin", {})
        progress.begin("predict", examples.rows)
        try:
            pieces = predict(
                runtime.predict,
                runtime.store,
                examples.tree,
                examples.rows,
                batch_size,
                progress,
            )
        finally:
            progress.end()
        called.call("on_predict_end", {})
        return np.concatenate([piece.numpy() for piece in pieces])

    def summary(
        self,
        line_length: int | None = None,
        print_fn: Callable[[str], object] | None = None,
    ) -> None:
        """Print the layers with their output shapes, parameters and memory.

        Args:
            line_length: width of the table.
            print_fn: is given the text instead of `print`.

        Example:
            >>> import chainrule
            >>> dense = chainrule.layers.Dense(2, input_shape=(3,), name="out")
            >>> chainrule.Sequential([dense], name="tiny").summary(line_length=50)
            Model: tiny
            -------------------------------------------------
            Layer (type)          Output shape     Parameters
            -------------------------------------------------
            out (Dense)           (None, 2)                 8
            -------------------------------------------------
            Parameters: 8 (32 B)
              trainable: 8 (32 B)
              frozen:    0 (0 B)
            Memory of a training step: about 576 B with 32 rows, and the optimizer's
        """
        (print_fn or print)(summarize(self, line_length))

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = True,
        include_optimizer: bool = True,
    ) -> Path:
        """Write the model to one file, which `load_model` reads.

        The file is a zip of JSON and safetensors. It is written under a temporary name
        and renamed, so that nobody meets half of it.

        Args:
            path: where to.
            overwrite: whether an existing file is replaced.
            include_optimizer: whether to save the optimizer's state as well, so that
                training can go on where it was.

        Raises:
            ArgumentError: when it has no weights yet, exists already, or has a part
                that no config describes.

        Example:
            >>> import chainrule, tempfile
            >>> dense = chainrule.layers.Dense(2, input_shape=(3,))
            >>> model = chainrule.Sequential([dense])
            >>> path = model.save(f"{tempfile.mkdtemp()}/model.chainrule")
            >>> chainrule.load_model(path).count_params()
            8
        """
        return save_model(self, path, overwrite, include_optimizer)

    def enter(self, inputs: Any) -> Any:
        """What the host layers at its front make of raw data; without any, the same."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal model, fit for JSON."""
        config = super().get_config()
        if self.inputs is None:  # it was not drawn, and cannot be given them
            config.pop("inputs", None), config.pop("outputs", None)
        return config

    def _draw(self, inputs: Any, outputs: Any) -> None:
        """Find what leads from inputs to outputs."""
        raise NotImplementedError

    def _convert(self, inputs: Any) -> Any:
        """Arrays as tensors; their dtype is the business of the layers inside."""
        return as_tensors(inputs)

    def _sample_shape(self) -> Any:
        """The shape of a sample, declared or seen; behind the host layers."""
        return self._seen_shape

    def _build_for_samples(self, shape: tuple[int, ...]) -> None:
        """Make the weights for samples of this shape."""
        self._seen_shape = shape
        if not self.built:
            self.compute_output_shape((None, *shape))

    def _describe(self) -> Ends:
        """The network for the checks."""
        output = sample_shape(self.output_shape)
        return Ends(self._flat_layers(), self._sample_shape(), output, self.name)

    def _flat_layers(self) -> Sequence[Layer]:
        """Layers in the order of the data, where there is such an order."""
        return ()

    def _compiled(self, task: str) -> Objective:
        objective = self._objective
        if objective is None or objective.loss is None:
            raise ArgumentError(
                f"the model must be compiled with a loss before {task}",
                where=self.name,
                fix="model.compile(optimizer='adam', "
                "loss='sparse_categorical_crossentropy', metrics=['accuracy'])",
            )
        return objective

    def _preparable(
        self, objective: Objective | None, key: Any = None
    ) -> prepare.Model:
        def build(shape: tuple[int, ...]) -> None:
            if key is None:
                self._build_for_samples(shape)
                return
            with random.stream(random.fold_in(key, 0)):
                self._build_for_samples(shape)

        return prepare.Model(
            self._sample_shape,
            build,
            self._describe,
            objective,
            enter=self.enter,
            trainable=lambda: bool(self.trainable_weights),
        )

    def _prepare(
        self, x: Any, y: Any, batch_size: int | None, objective: Any, task: str
    ) -> tuple[prepare.Examples, int]:
        batch_size = DEFAULT_BATCH if batch_size is None else batch_size
        preparation = prepare.Preparation(self._preparable(objective), task)
        preparation.check_whole("batch_size", batch_size, 1)
        examples = preparation.read(x, y)
        preparation.finish()
        assert examples is not None
        return examples, batch_size

    def _forward(self, x: Any, training: bool) -> Any:
        with entered():
            return self(x, training=training)

    def _train_runtime(self, objective: Objective, data: prepare.Examples) -> Runtime:
        """The steps for training and measuring on data like this."""
        output = sample_shape(self.output_shape)
        assert output is not None
        parts = dataclasses.replace(
            make_parts(self, self._forward, objective),
            metrics=objective.resolve_metrics(data.target_shape, output),
        )
        old = self._runtime
        if old is not None and old.fits(parts):
            return old
        state = self._loaded_state if old is None else old.optimizer_state_for(parts)
        self._runtime, self._loaded_state = Runtime(parts, state), None
        return self._runtime

    def _optimizer_state(self) -> Any:
        """The optimizer's state; None before the first step."""
        if self._runtime is None:
            return self._loaded_state
        return self._runtime.store.optimizer_state

    def _resume(self, optimizer_state: Any) -> None:
        """Go on from this state of the optimizer."""
        self._runtime, self._loaded_state = None, optimizer_state

    def _predict_runtime(self) -> Runtime:
        parts = make_parts(self, self._forward)
        if self._predictor is None or not self._predictor.fits(parts):
            self._predictor = Runtime(parts)
        return self._predictor


_drawn_classes: dict[type, type[Model]] = {}


def _drawn_class(given: type[Model]) -> type[Model]:
    """The class of a model that was drawn, and is of the given class as well."""
    if given is Model or issubclass(given, Model.drawn):
        return Model.drawn if given is Model else given
    if given not in _drawn_classes:
        about = {key: getattr(given, key) for key in ("__module__", "__doc__")}
        made = type(given.__name__, (given, Model.drawn), about)
        _drawn_classes[given] = made
    return _drawn_classes[given]


def _key_of(seed: Any) -> Any:
    """The random key of one run: that of its seed, or else the next of all."""
    if seed is None:
        return random.next_key()
    if not isinstance(seed, (int, np.integer)):
        raise ArgumentError(
            "a seed is a whole number", where="seed", got=repr(seed), fix="seed=0"
        )
    return random.key(int(seed))
