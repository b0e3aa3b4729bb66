"""A step trace as a document in four sections.

A tiny network is shown with every number, like a worked example in a textbook; a larger
one with the statistics of each tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chainrule.explain.document import (
    Array,
    Block,
    Equation,
    Line,
    Section,
    Table,
    Title,
    format_scalar,
)
from chainrule.explain.step_trace import (
    LayerTrace,
    LossTrace,
    OptimizerTrace,
    Statistics,
    Weight,
)

TINY = 60  # numbers in a tensor; with more, statistics are shown
SHORT = {"kernel": "W", "bias": "b"}
FORWARD = ("tensor", "shape", "mean", "spread", "zeros")
BACKWARD = ("tensor", "shape", "norm", "mean", "zeros")
UPDATE = ("weight", "shape", "norm", "norm of change", "change / weight", "norm after")


def is_tiny(layers: Sequence[LayerTrace], loss: LossTrace) -> bool:
    """Whether every number can be shown."""
    arrays = [loss.predictions]
    for layer in layers:
        arrays += [layer.input, layer.output, *(w.before for w in layer.weights)]
    return all(array.size <= TINY for array in arrays)


def forward_section(layers: Sequence[LayerTrace], tiny: bool) -> Section:
    """What each layer made of what it got."""
    heading = "1. Forward: each layer computes its output from the layer before"
    if not tiny:
        return Section(heading, [Table(FORWARD, list(_forward_rows(layers)))])
    blocks: list[Block] = []
    for position, layer in enumerate(layers):
        blocks.append(Title(layer.name, describe(layer)))
        if not position:
            blocks.append(Equation("x", layer.input))
        blocks += [Equation(_short(w), w.before) for w in layer.weights]
        blocks += _forward_equations(layer, _source(layers, position))
    return Section(heading, blocks)


def _source(layers: Sequence[LayerTrace], position: int) -> str:
    """What the input of a layer is called."""
    if not position:
        return "x"
    before = layers[position - 1]
    chained = layers[position].input is before.output
    return f"a({before.name})" if chained else "input"


def describe(layer: LayerTrace) -> str:
    """The class of a layer, its width and its activation."""
    inside = [str(layer.output.shape[-1])] if layer.kind == "Dense" else []
    if layer.activation is not None:
        inside.append(layer.activation)
    return layer.kind + (f"({', '.join(inside)})" if inside else "")


def _forward_equations(layer: LayerTrace, source: str) -> Iterator[Block]:
    names = [_short(weight) for weight in layer.weights]
    formula = ""
    if layer.kind == "Dense" and names and names[0] == "W":
        formula = f" = {source} @ W" + (" + b" if "b" in names else "")
    if layer.pre_activation is None:
        yield Equation(f"a{formula}", layer.output)
        return
    yield Equation(f"z{formula or f' = {source}'}", layer.pre_activation)
    yield Equation(f"a = {layer.activation}(z)", layer.output)


def _short(weight: Weight) -> str:
    return SHORT.get(weight.name, weight.name)


def _forward_rows(layers: Sequence[LayerTrace]) -> Iterator[list[str]]:
    yield ["input", *_spread_cells(layers[0].input)]
    for layer in layers:
        title = f"{layer.name}: {describe(layer)}"
        if layer.pre_activation is None:
            yield [title, *_spread_cells(layer.output)]
            continue
        yield [title, "", "", "", ""]
        yield ["  z, before the activation", *_spread_cells(layer.pre_activation)]
        yield ["  a, after it", *_spread_cells(layer.output)]


def _spread_cells(array: Array) -> list[str]:
    found = Statistics.of(array)
    return [
        str(array.shape),
        format_scalar(found.mean, 4),
        format_scalar(found.spread, 4),
        f"{found.zeros:.1%}",
    ]


def loss_section(loss: LossTrace, tiny: bool) -> Section:
    """The formula and the value."""
    blocks: list[Block] = [
        Line(f"{loss.name}" + f":  {loss.formula}" * bool(loss.formula))
    ]
    if tiny:
        blocks.append(Equation("y", loss.labels))
        name = "output" if loss.from_logits else "p"
        blocks.append(Equation(name, loss.predictions))
    blocks.append(Line(f"  L = {format_scalar(loss.value, 6)}"))
    return Section("2. Loss: how wrong the output is, as one number", blocks)


def backward_section(
    layers: Sequence[LayerTrace], loss: LossTrace, tiny: bool
) -> Section:
    """The error signals, last layer first, and the gradients of the weights."""
    heading = "3. Backward: the error goes from the last layer to the first"
    if not tiny:
        return Section(heading, [Table(BACKWARD, list(_backward_rows(layers)))])
    blocks: list[Block] = []
    for position in range(len(layers) - 1, -1, -1):
        layer = layers[position]
        arrived = f" = {loss.derivative}" * bool(loss.derivative)
        if position + 1 < len(layers):
            arrived = _error_rule(layers[position + 1])
        blocks.append(Title(layer.name))
        blocks.append(Equation(f"dL/da{arrived}", layer.output_error))
        blocks += _backward_equations(layer, _source(layers, position))
    return Section(heading, blocks)


def _error_rule(following: LayerTrace) -> str:
    """How the error of a layer comes from the one behind it."""
    if not _is_affine(following):
        return ""
    name = following.name
    signal = "dL/dz" if following.pre_activation is not None else "dL/da"
    return f" = {signal}({name}) @ W({name})^T"


def _backward_equations(layer: LayerTrace, source: str) -> Iterator[Block]:
    signal = "dL/da"
    if layer.pre_activation_error is not None:
        elementwise = layer.activation not in ("softmax", "log_softmax")
        rule = f" = dL/da * {layer.activation}'(z)" * elementwise
        yield Equation(f"dL/dz{rule}", layer.pre_activation_error)
        signal = "dL/dz"
    rules = {
        "kernel": f" = {source}^T @ {signal}",
        "bias": f" = sum of rows of {signal}",
    }
    for weight in layer.weights:
        rule = rules.get(weight.name, "") if _is_affine(layer) else ""
        yield Equation(f"dL/d{_short(weight)}{rule}", weight.gradient)


def _is_affine(layer: LayerTrace) -> bool:
    """Whether the formulas of a dense layer on rows hold."""
    names = [weight.name for weight in layer.weights]
    return layer.kind == "Dense" and layer.input.ndim == 2 and "kernel" in names


def _backward_rows(layers: Sequence[LayerTrace]) -> Iterator[list[str]]:
    for layer in reversed(layers):
        yield [layer.name, "", "", "", ""]
        yield ["  dL/da, error of the output", *_norm_cells(layer.output_error)]
        if layer.pre_activation_error is not None:
            cells = _norm_cells(layer.pre_activation_error)
            yield ["  dL/dz, before the activation", *cells]
        for weight in layer.weights:
            name = f"  dL/d{_short(weight)}, gradient of {weight.name}"
            yield [name, *_norm_cells(weight.gradient)]


def _norm_cells(array: Array) -> list[str]:
    found = Statistics.of(array)
    return [
        str(array.shape),
        format_scalar(found.norm, 4),
        format_scalar(found.mean, 4),
        f"{found.zeros:.1%}",
    ]


def update_section(
    layers: Sequence[LayerTrace],
    optimizer: OptimizerTrace,
    loss: LossTrace,
    tiny: bool,
) -> Section:
    """How the optimizer changed each weight."""
    rate = format_scalar(optimizer.learning_rate)
    blocks: list[Block] = [
        Line(f"{optimizer.name}, lr = {rate}, step t = {optimizer.step}"),
        *(Line(f"  {line}") for line in optimizer.formula),
    ]
    weights = [(f"{x.name}/{w.name}", w) for x in layers for w in x.weights]
    if tiny:
        for path, weight in weights:
            blocks += _update_equations(path, weight)
    else:
        blocks.append(Table(UPDATE, [_update_row(path, w) for path, w in weights]))
    change = f"{format_scalar(loss.value, 6)} -> {format_scalar(loss.after, 6)}"
    blocks.append(Title(f"The loss of the same batch: {change}"))
    return Section(
        "4. Update: each weight takes a step that makes the loss smaller", blocks
    )


def _update_equations(path: str, weight: Weight) -> Iterator[Block]:
    percent = _percent(weight)
    note = "starts at zero" if percent == "-" else f"changes by {percent} of its size"
    yield Title(path, note)
    name = _short(weight)
    yield Equation(f"{name} before", weight.before)
    yield Equation("change".ljust(len(name) + 7), weight.change)
    yield Equation(f"{name} after ", weight.after)


def _percent(weight: Weight) -> str:
    ratio = weight.relative_change
    return "-" if ratio == float("inf") else f"{format_scalar(100 * ratio, 3)}%"


def _update_row(path: str, weight: Weight) -> list[str]:
    return [
        path,
        str(weight.before.shape),
        format_scalar(Statistics.of(weight.before).norm, 4),
        format_scalar(Statistics.of(weight.change).norm, 4),
        _percent(weight),
        format_scalar(Statistics.of(weight.after).norm, 4),
    ]
