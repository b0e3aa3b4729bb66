"""One training step, opened: forward, loss, backward, update, in numbers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.explain import report
from chainrule.explain.compute import Computed, compute_step
from chainrule.explain.document import Section, to_html, to_text
from chainrule.explain.formulas import (
    loss_derivative,
    loss_formula,
    optimizer_formula,
)
from chainrule.explain.step_trace import LayerTrace, LossTrace, OptimizerTrace
from chainrule.functional import random
from chainrule.ir import tree
from chainrule.ir.trace import constant
from chainrule.models.fitting import read, train_runtime
from chainrule.models.intake import Given
from chainrule.models.prepare import Preparation


@dataclass(frozen=True)
class StepTrace:
    """One training step in numbers. `print` shows it; so does a notebook.

    Attributes:
        layers: every layer, in the order in which they were called: what went in and
            came out, the error signals, and its weights with their gradients, before
            and after the update.
        loss: the loss, with labels and predictions.
        optimizer: the optimizer and its formula.
        applied: whether the model was changed by this step.
    """

    layers: Sequence[LayerTrace]
    loss: LossTrace
    optimizer: OptimizerTrace
    applied: bool

    def __getitem__(self, name: str) -> LayerTrace:
        """The layer of this name."""
        found = [layer for layer in self.layers if layer.name == name]
        if not found:
            raise KeyError(f"{name!r}; the layers are {[x.name for x in self.layers]}")
        return found[0]

    def sections(self, every_number: bool | None = None) -> list[Section]:
        """The document: forward, loss, backward, update.

        Args:
            every_number: whether to show every number rather than statistics; by
                default where no tensor has more than 60.
        """
        layers, loss = self.layers, self.loss
        tiny = report.is_tiny(layers, loss) if every_number is None else every_number
        return [
            report.forward_section(layers, tiny),
            report.loss_section(loss, tiny),
            report.backward_section(layers, loss, tiny),
            report.update_section(layers, self.optimizer, loss, tiny),
        ]

    def __str__(self) -> str:
        rows = len(self.loss.predictions)
        count = "1 sample" if rows == 1 else f"{rows} samples"
        applied = "the model took it" if self.applied else "the model is left as it was"
        return f"One training step on {count}; {applied}.\n\n{to_text(self.sections())}"

    def __repr__(self) -> str:
        return (
            f"<StepTrace: {len(self.layers)} layers, loss {self.loss.value:.6g} -> "
            f"{self.loss.after:.6g}>"
        )

    def _repr_html_(self) -> str:
        return to_html(self.sections())


def trace_step(
    model: Any,
    x: Any,
    y: Any,
    *,
    apply: bool = False,
    seed: int = 0,
    verbose: bool = True,
) -> StepTrace:
    """One training step of a compiled model, shown in its four phases.

    1. forward: the output of every layer, before and after its activation;
    2. loss: its formula and its value;
    3. backward: for every layer the error signal, the derivative of the loss with
       respect to its output, and the gradients of its weights;
    4. update: what the optimizer makes of the gradients, and how much that is against
       the weight.

    The numbers are those of the step that `fit` takes, from the same code: all rows are
    one batch, in training mode, and the optimizer goes on from the state that training
    left. For a tiny network every number is shown, for others statistics.

    Args:
        model: a compiled model.
        x: inputs, rows first.
        y: targets.
        apply: whether the model and its optimizer take the step. By default both stay
            as they were.
        seed: decides what dropout drops: as in the first step of `fit` with this seed.
        verbose: whether to print.

    Raises:
        DataError: naming every mistake in data, labels, loss and network.
        ArgumentError: when the model was not compiled.

    Example:
        >>> import chainrule
        >>> model = chainrule.Sequential([chainrule.layers.Dense(1, input_shape=(1,))])
        >>> model.set_weights([[[2.0]], [0.0]])
        >>> model.compile(optimizer=chainrule.optimizers.SGD(0.5), loss="mse")
        >>> step = trace_step(model, [[1.0]], [[1.0]], verbose=False)
        >>> step.loss.value, step.layers[0].weights[0].gradient.tolist()
        (1.0, [[2.0]])
    """
    objective = model._compiled("trace_step")
    preparation = Preparation(model._preparable(objective), "trace_step")
    examples = read(preparation, Given(x, y))
    runtime = train_runtime(model, objective, examples)
    _, key = random.split(random.key(seed), 2)
    state = runtime.store.training(key, constant(np.array(0, np.int64)))
    batch = tree.tree_map(constant, examples.tree)
    computed = compute_step(runtime.parts, model.layers, state, batch)
    assert runtime.parts.targets is not None
    view = objective.views(runtime.parts.targets.names)[0]
    trace = _trace(view, computed, examples.y, state["optimizer"], apply)
    if apply:
        runtime.store.keep(computed.state)
    if verbose and not in_notebook():
        print(trace)
    return trace


def _trace(
    objective: Any, computed: Computed, labels: Any, state: Any, applied: bool
) -> StepTrace:
    loss, optimizer = objective.loss, objective.whole.optimizer
    reduction = getattr(loss, "reduction", None)
    how = (objective.name, reduction, objective.from_logits)
    kind = type(optimizer).__name__
    return StepTrace(
        computed.layers,
        LossTrace(
            objective.name,
            loss_formula(*how),
            loss_derivative(*how, computed.predictions.size),
            objective.from_logits,
            computed.loss,
            labels,
            computed.predictions,
            computed.loss_after,
        ),
        OptimizerTrace(
            kind,
            optimizer_formula(kind, optimizer.get_config()),
            float(state["learning_rate"].data),
            int(state["step"].data) + 1,
        ),
        applied,
    )


def in_notebook() -> bool:
    """Whether a notebook will show what a cell returns, so that nothing is printed."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
