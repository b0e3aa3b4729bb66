"""The table that `summary` prints, in plain text."""

from __future__ import annotations

import math
from typing import Any

from chainrule.layers import Layer

WIDTHS = (0.45, 0.33, 0.22)  # of the columns, as shares of the line
BATCH = 32  # what the memory of activations is told for


def format_bytes(size: float) -> str:
    """A size in the unit that suits it.

    Example:
        >>> format_bytes(512), format_bytes(407080), format_bytes(5 << 30)
        ('512 B', '397.54 KB', '5.00 GB')
    """
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.2f} {unit}"


def summarize(model: Any, line_length: int | None = None) -> str:
    """The layers of a model with output shapes and parameters, and its memory."""
    length = line_length or 70
    columns = [int(length * share) for share in WIDTHS]
    rule = "-" * sum(columns)
    rows = [("Layer (type)", "Output shape", "Parameters")]
    shape = model._sample_shape()
    current = None if shape is None else (None, *shape)
    activations = 0
    for layer in model.layers:
        current, count = _after(layer, current, model)
        activations += count
        kind = f"{layer.name} ({type(layer).__name__})"
        parameters = f"{layer.count_params():,}" if layer.built else "?"
        rows.append((kind, "?" if current is None else str(current), parameters))
    lines = [f"Model: {model.name}", rule, _row(rows[0], columns), rule]
    lines += [_row(row, columns) for row in rows[1:]]
    return "\n".join([*lines, rule, *_totals(model, activations)])


def _after(layer: Layer, shape: Any, model: Any) -> tuple[Any, int]:
    """The output shape of a layer, and how many numbers that is for a sample."""
    if shape is None or not model._flat_layers():
        return None, 0
    after = layer.compute_output_shape(shape)
    return after, math.prod(n or 1 for n in after[1:])


def _row(cells: tuple[str, ...], columns: list[int]) -> str:
    left = "".join(
        f"{cell[: width - 1]:<{width}}"
        for cell, width in zip(cells[:2], columns[:2], strict=True)
    )
    return f"{left}{cells[2]:>{columns[2]}}"


def _totals(model: Any, activations: int) -> list[str]:
    if not model.built:
        return [
            "The model has no weights yet: they are made at the first data, or at once",
            "where the first layer is told input_shape=(...).",
        ]
    counts = [_count(model.trainable_weights), _count(model.non_trainable_weights)]
    numbers, sizes = zip(*counts, strict=True)
    lines = [
        f"Parameters: {sum(numbers):,} ({format_bytes(sum(sizes))})",
        f"  trainable: {numbers[0]:,} ({format_bytes(sizes[0])})",
        f"  frozen:    {numbers[1]:,} ({format_bytes(sizes[1])})",
    ]
    if activations:
        # weights and their gradients, and what each layer gives and gets back
        itemsize = model.dtype.itemsize
        step = sum(sizes) + sizes[0] + 2 * BATCH * activations * itemsize
        lines.append(
            f"Memory of a training step: about {format_bytes(step)} with {BATCH} rows, "
            "and the optimizer's"
        )
    return lines


def _count(variables: list[Any]) -> tuple[int, int]:
    return (
        sum(math.prod(v.shape) for v in variables),
        sum(v.spec.nbytes for v in variables),
    )
