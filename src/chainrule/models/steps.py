"""What happens to one batch, as methods that a model may replace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.autodiff.reverse import zeros
from chainrule.errors import ArgumentError
from chainrule.ir import tree
from chainrule.ir.dtype import float64
from chainrule.layers import Layer
from chainrule.layers.collected import collector
from chainrule.metrics import Mean, Metric
from chainrule.models.objective import Objective
from chainrule.models.own import Own
from chainrule.ops import add, cast
from chainrule.training.step import differentiate, no_loss
from chainrule.training.streams import unpack
from chainrule.training.targets import Targets
from chainrule.variable import current_values, substitute


class Steps(Layer):
    """A layer with the steps that `fit`, `evaluate` and `predict` take.

    A subclass may replace `train_step`, `test_step`, `predict_step`, `compute_loss` and
    `compute_metrics`. They are traced once and compiled with everything that they call,
    and run without Python between batches.

    Attributes:
        notes: what is to be known beside the network, such as the names of the classes;
            anything that JSON has. It is saved with the model, and changes nothing.
    """

    def __init__(self, *, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self._objective: Objective | None = None
        self._targets: Targets | None = None
        self._last_losses: dict[str, Any] = {}
        self._loss_trackers: dict[str, Mean] = {}
        self.notes: dict[str, Any] = {}

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """None: the layers inside hang masks on what they give."""
        return None

    def reset_states(self) -> None:
        """Let all stateful layers begin the next batch with states of zeros.

        Example:
            >>> from chainrule import Sequential, layers
            >>> start = layers.Input(batch_shape=(1, None, 2))
            >>> model = Sequential([start, layers.GRU(2, stateful=True)])
            >>> first = model([[[1.0, 2.0]]]).tolist()
            >>> model.reset_states()
            >>> model([[[1.0, 2.0]]]).tolist() == first
            True
        """
        for variable in self.weights:
            if variable.carried:
                variable.assign(zeros(variable.spec))

    @property
    def metrics(self) -> list[Metric]:
        """The metrics: of the loss, those that `compile` was given, then its own."""
        found: list[Metric] = [*self._trackers().values()]
        if self._targets is not None:
            found += self._targets.metrics.values()
        found += [each for each in vars(self).values() if isinstance(each, Metric)]
        return list({id(metric): metric for metric in found}.values())

    @property
    def trainable_variables(self) -> list[Any]:
        """The variables that training changes."""
        return self.trainable_weights

    def train_step(self, data: Any) -> dict[str, Any]:
        """Train on one batch.

        Args:
            data: `x`, `(x, y)` or `(x, y, sample_weight)`, tensors.

        Returns:
            What is reported, by name. The logs of an epoch are those of its last step.

        Example:
            >>> import chainrule
            >>> class Twice(chainrule.Model):
            ...     def __init__(self):
            ...         super().__init__()
            ...         self.dense = chainrule.layers.Dense(1)
            ...     def call(self, inputs):
            ...         return self.dense(inputs)
            ...     def train_step(self, data):
            ...         x, y = data
            ...         def loss_of():
            ...             return chainrule.mean((self(x, training=True) - y) ** 2)
            ...         loss, gradients = self.value_and_grad(loss_of)
            ...         doubled = [2 * gradient for gradient in gradients]
            ...         self.optimizer.apply(doubled, self.trainable_variables)
            ...         return {"loss": loss}
            >>> model = Twice()
            >>> model.compile("sgd")
            >>> list(model.fit([[1.0]], [[2.0]], verbose=0).history)
            ['loss']
        """
        assert self._objective is not None
        optimizer = self._objective.optimizer
        x, y, sample_weight = unpack(data)

        def loss_of() -> Any:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight)
            self._last_losses["loss"] = loss
            return optimizer.scale_loss(loss), y_pred

        (_, y_pred), gradients = self.value_and_grad(loss_of, has_aux=True)
        optimizer.apply(gradients, self.trainable_variables)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure one batch; see `train_step`."""
        x, y, sample_weight = unpack(data)
        y_pred = self(x, training=False)
        loss = self.compute_loss(x, y, y_pred, sample_weight, training=False)
        self._last_losses["loss"] = loss
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, data: Any) -> Any:
        """The outputs for one batch of inputs."""
        return self(unpack(data)[0], training=False)

    def value_and_grad(
        self, function: Callable[[], Any], has_aux: bool = False, variables: Any = None
    ) -> tuple[Any, list[Any]]:
        """The value of a function without arguments, and its gradients.

        Args:
            function: gives a scalar, or `(scalar, anything)` with `has_aux`; it uses
                the variables as they are.
            has_aux: whether it gives more beside the scalar.
            variables: the variables to differentiate by, `trainable_variables` where
                None.

        Returns:
            What the function gave, and a gradient for each variable; a `RowGradient`
            where the variable is that of an `Embedding(sparse=True)`.
        """
        chosen = self.trainable_variables if variables is None else list(variables)
        ids = {id(variable) for variable in chosen}
        others = [each for each in self.weights if id(each) not in ids]

        def inner(values: Any) -> Any:
            with substitute([*chosen, *others], [*values, *current_values(others)]):
                result = function()
                value, aux = result if has_aux else (result, None)
                return value, (aux, current_values(others))

        values = current_values(chosen)
        (value, (aux, left)), gradients = differentiate(inner, chosen, values)
        for variable, new in zip(others, left, strict=True):
            if new is not variable.value:
                variable.assign(new)  # moving statistics
        return ((value, aux) if has_aux else value), gradients

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """What training makes small, a scalar.

        The losses that `compile` was given, those that layers added while they were
        called, and the regularizers of the trainable variables.
        """
        total: Any = None
        named: dict[str, Any] = {}
        targets = self._targets
        if targets is not None:
            total, named = targets.losses(y, y_pred, sample_weight)
        extras = list(collector() or ())
        extras += [
            variable.regularizer(variable.value)
            for variable in self.trainable_variables
            if variable.regularizer is not None
        ]
        for extra in extras:
            same = extra if total is None else cast(extra, dtype=total.spec.dtype)
            total = same if total is None else add(total, same)
        if total is None:
            raise no_loss(self.name)
        self._last_losses = {"loss": total, **named}
        return total

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Take a batch into account, and give all that was measured so far, by name."""
        if self._targets is None:
            raise ArgumentError(
                "the metrics belong to outputs, and the model has no `call`",
                where=self.name,
                fix="return {'loss': loss} from train_step",
            )
        rows = float(tree.flatten(y_pred)[0][0].spec.shape[0])
        trackers = self._trackers()
        for name, value in self._last_losses.items():
            tracker = trackers[name]
            mean = tracker.init() if tracker._state is None else tracker._state
            tracker._state = {
                "total": mean["total"] + cast(value, dtype=float64) * rows,
                "count": mean["count"] + rows,
            }
        self._last_losses = {}
        self._targets.update_metrics(y, y_pred, sample_weight)
        own = [each for each in vars(self).values() if isinstance(each, Metric)]
        found = {**trackers, **self._targets.metrics, **{m.name: m for m in own}}
        return {name: metric.result() for name, metric in found.items()}

    def _trackers(self) -> dict[str, Mean]:
        """The means of the losses, by their names in the logs."""
        names = ["loss"] if self._targets is None else self._targets.loss_names
        if list(self._loss_trackers) != names:
            self._loss_trackers = {name: Mean(name) for name in names}
        return self._loss_trackers

    def _own_steps(self) -> Own:
        """The steps that a subclass has replaced."""
        return Own.of(self, Steps)
