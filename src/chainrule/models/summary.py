"""What `summary` prints: the layers of a model, and what training it will cost."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from chainrule.errors import ArgumentError
from chainrule.functional.recording import Call, symbols_in
from chainrule.layers import InputLayer, Layer
from chainrule.models.cost import Cost, cost_of
from chainrule.models.graph import maker

BATCH = 32  # rows of the step whose cost is told
SHARES = {"name": 0.38, "shape": 0.26, "parameters": 0.18, "flops": 0.2}
MORE = {"connected": 0.3, "trainable": 0.14}  # of columns that are not always there
TITLES = {
    "name": "Layer (type)",
    "shape": "Output shape",
    "parameters": "Parameters",
    "flops": "FLOPs a row",
    "connected": "Connected to",
    "trainable": "Trainable",
}
RIGHT = ("parameters", "flops")  # columns of numbers


@dataclass(frozen=True)
class Row:
    """What is known of one layer, or of a function between layers."""

    name: str
    kind: str
    path: str
    shape: Any
    layer: Layer | None
    sources: tuple[str, ...] = ()
    depth: int = 0


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


def format_count(count: float) -> str:
    """A number of operations in the unit that suits it.

    Example:
        >>> format_count(512), format_count(203_264), format_count(3.1e9)
        ('512', '203.3 k', '3.1 G')
    """
    for unit in ("", " k", " M", " G", " T"):
        if count < 1000 or unit == " T":
            break
        count /= 1000
    return f"{count:.0f}" if not unit else f"{count:.1f}{unit}"


def format_seconds(seconds: float) -> str:
    """A time to two digits.

    Example:
        >>> format_seconds(0.00001234), format_seconds(0.0567), format_seconds(2)
        ('12 us', '57 ms', '2.0 s')
    """
    for unit, factor in (("us", 1e6), ("ms", 1e3), ("s", 1.0)):
        number = seconds * factor
        if number < 1000 or unit == "s":
            break
    return f"{number:.1f} {unit}" if number < 10 else f"{number:.0f} {unit}"


def summarize(
    model: Any,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
) -> str:
    """The layers of a model, its parameters, and the cost of training it."""
    rows = list(_rows(model, model.name, expand_nested, 0))
    cost = cost_of(model, BATCH) if _is_ready(model) else None
    columns = list(SHARES)
    if _branches(rows):
        columns.append("connected")
    if show_trainable:
        columns.append("trainable")
    widths = _widths(columns, line_length, positions)
    shown = [_cells(row, columns, cost) for row in _chosen(rows, layer_range)]
    rule = "-" * sum(widths)
    titles = [TITLES[column] for column in columns]
    table = [_line(cells, columns, widths) for cells in (titles, *shown)]
    lines = [f"Model: {model.name}", rule, table[0], rule, *table[1:], rule]
    return "\n".join([*lines, *_totals(model), *_costs(cost)])


def _is_ready(model: Any) -> bool:
    known = model.inputs is not None or model._seen_inputs is not None
    return bool(model.built and known)


def _rows(model: Any, path: str, nested: bool, depth: int) -> Iterator[Row]:
    """A row for each layer and function, those of models inside after theirs."""
    for row in _own_rows(model, path, depth):
        yield row
        if nested and row.layer is not None and hasattr(row.layer, "_seen_inputs"):
            yield from _rows(row.layer, row.path, nested, depth + 1)


def _own_rows(model: Any, path: str, depth: int) -> Iterator[Row]:
    graph = getattr(model, "_graph", None)
    if graph is None:
        symbols = getattr(model, "_symbols", None) or []
        shapes = {id(maker(symbol)): _shape(symbol) for symbol in symbols}
        for layer in model.layers:
            yield _layer_row(layer, path, shapes.get(id(layer)), depth)
        return
    for source, symbol in zip(graph.sources, graph.inputs, strict=True):
        yield _layer_row(source, path, symbol.shape, depth)
    by_call = dict(zip(map(id, graph.calls), graph.names, strict=True))
    feeds: dict[int, list[str]] = {}
    for call in graph.calls:
        names = [_source_name(symbol, by_call) for symbol in call.inputs]
        feeds.setdefault(_identity(call), []).extend(names)
    done: set[int] = set()
    for call, name in zip(graph.calls, graph.names, strict=True):
        key = _identity(call)
        if key not in done:
            layer = call.target if isinstance(call.target, Layer) else None
            kind = type(layer).__name__ if layer is not None else call.name
            shape, sources = _shape(call.outputs), tuple(feeds[key])
            yield Row(name, kind, f"{path}/{name}", shape, layer, sources, depth)
        done.add(key)


def _identity(call: Call) -> int:
    """Equal for the calls that share a row: those of one layer."""
    return id(call.target if isinstance(call.target, Layer) else call)


def _layer_row(layer: Layer, path: str, shape: Any, depth: int) -> Row:
    kind, name = type(layer).__name__, layer.name
    return Row(name, kind, f"{path}/{name}", shape, layer, depth=depth)


def _source_name(symbol: Any, by_call: dict[int, str]) -> str:
    """What gave a symbol, with its place where that gave several."""
    name = by_call.get(id(symbol.call), symbol.call.name)
    several = len(symbols_in(symbol.call.outputs)) > 1
    return f"{name}[{symbol.position}]" if several else name


def _shape(symbols: Any) -> Any:
    found = [symbol.shape for symbol in symbols_in(symbols)]
    return found[0] if len(found) == 1 else found


def _branches(rows: Sequence[Row]) -> bool:
    """Whether the rows are more than a chain, each fed by the one before it."""
    own = [row for row in rows if row.depth == 0]
    fed = [
        (before.name,) == after.sources or not after.sources
        for before, after in pairwise(own)
    ]
    inputs = sum(isinstance(row.layer, InputLayer) for row in own)
    return inputs > 1 or not all(fed)


def _chosen(rows: list[Row], layer_range: Sequence[str] | None) -> list[Row]:
    """The rows from the first that fits the first pattern to the last of the other.

    Raises:
        ArgumentError: when no layer fits.
    """
    if layer_range is None:
        return rows
    if len(layer_range) != 2:
        raise ArgumentError(
            "a range of layers has two ends",
            where="layer_range",
            got=layer_range,
            expected="['first name', 'last name'], or patterns for them",
        )
    places = []
    for pattern in layer_range:
        found = [i for i, row in enumerate(rows) if re.match(pattern, row.name)]
        if not found:
            raise ArgumentError(
                "no layer has such a name",
                where="layer_range",
                got=pattern,
                expected=", ".join(row.name for row in rows),
            )
        places.append(found)
    start, end = sorted((places[0][0], places[1][-1]))
    return rows[start : end + 1]


def _widths(
    columns: Sequence[str], line_length: int | None, positions: Sequence[float] | None
) -> list[int]:
    """How wide each column is.

    Raises:
        ArgumentError: when there are fewer positions than columns.
    """
    shares = [{**SHARES, **MORE}[column] for column in columns]
    length = line_length or int(78 * sum(shares))
    if positions is None:
        return [int(length * share / sum(shares)) for share in shares]
    if len(positions) < len(columns):
        raise ArgumentError(
            "every column needs the position where it ends",
            where="positions",
            got=list(positions),
            expected=f"{len(columns)} numbers",
        )
    whole = length if positions[len(columns) - 1] <= 1 else 1
    ends = [int(position * whole) for position in positions[: len(columns)]]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _cells(row: Row, columns: Sequence[str], cost: Cost | None) -> list[str]:
    layer = row.layer
    parameters = "0"
    if layer is not None:
        parameters = f"{layer.count_params():,}" if layer.built else "?"
    trainable = "-"
    if layer is not None and layer.weights:
        trainable = "yes" if layer.trainable_weights else "no"
    cells = {
        "name": f"{'  ' * row.depth}{row.name} ({row.kind})",
        "shape": "?" if row.shape is None else str(row.shape),
        "parameters": parameters,
        "flops": "?" if cost is None else format_count(_flops(row.path, cost)),
        "connected": ", ".join(row.sources),
        "trainable": trainable,
    }
    return [cells[column] for column in columns]


def _flops(path: str, cost: Cost) -> float:
    """Operations of a layer and all inside it, for one row."""
    parts = cost.forward.items()
    found = sum(n for key, n in parts if key == path or key.startswith(f"{path}/"))
    return found / cost.rows


def _line(cells: Sequence[str], columns: Sequence[str], widths: Sequence[int]) -> str:
    """Cells side by side: names from the left, numbers from the right."""
    pieces = []
    for cell, column, width in zip(cells, columns, widths, strict=True):
        if column in RIGHT:
            pieces.append(f"{cell:>{width - 2}}  ")
        else:
            pieces.append(f"{cell[: width - 1]:<{width}}")
    return "".join(pieces).rstrip()


def _totals(model: Any) -> list[str]:
    if not model.built:
        return [
            "The model has no weights yet: they are made at the first data, or at once",
            "where the first layer is told input_shape=(...).",
        ]
    counts = [_count(model.trainable_weights), _count(model.non_trainable_weights)]
    numbers, sizes = zip(*counts, strict=True)
    return [
        f"Parameters: {sum(numbers):,} ({format_bytes(sum(sizes))})",
        f"  trainable: {numbers[0]:,} ({format_bytes(sizes[0])})",
        f"  frozen:    {numbers[1]:,} ({format_bytes(sizes[1])})",
    ]


def _costs(cost: Cost | None) -> list[str]:
    """What a training step takes."""
    if cost is None:
        return []
    forward = sum(cost.forward.values()) / cost.rows
    memory = (cost.weights, cost.gradients, cost.slots, cost.working)
    weights, gradients, slots, working = map(format_bytes, memory)
    return [
        f"A training step on {cost.rows} rows, with {cost.optimizer}:",
        f"  operations: {format_count(cost.step_flops)} "
        f"(forward alone: {format_count(forward)} a row)",
        f"  memory: about {format_bytes(sum(memory))}: weights {weights}, "
        f"gradients {gradients},",
        f"    optimizer {slots}, activations and the like {working}",
        f"  time: about {format_seconds(cost.seconds)} on this machine, an estimate",
    ]


def _count(variables: list[Any]) -> tuple[int, int]:
    return (
        sum(math.prod(v.shape) for v in variables),
        sum(v.spec.nbytes for v in variables),
    )
