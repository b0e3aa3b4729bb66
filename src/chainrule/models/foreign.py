"""Weights of other libraries: whose layer is which, in our names and order of axes.

A file of another library is read as layers, in order, each with its arrays by their
last name. Layers find their partners by what the caller says, by name, and where names
differ by order. What they hold is then turned: convolutions of PyTorch are (out, in,
taps), ours (taps, in, out).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from chainrule import layers
from chainrule.configurable import snake_case
from chainrule.errors import ArgumentError
from chainrule.layers.convolution import Convolution, ConvolutionTranspose
from chainrule.layers.regularization import RandomLayer
from chainrule.layers.separable import DepthwiseConvolution
from chainrule.models.foreign_attention import partners, split
from chainrule.training.data import Array
from chainrule.training.saving import Arrays
from chainrule.variable import Variable

TORCH, KERAS = "torch", "keras"
LAYOUTS = (TORCH, KERAS)
# Counters and keys that are no weights.
NO_WEIGHTS = ("num_batches_tracked", "seed_generator_state", "seed_generator")
SHOWN = 6

Mapped: TypeAlias = Mapping[str, str | None] | Callable[[str], str | None]
Turn: TypeAlias = Callable[[Any, Array], Array]


@dataclass(frozen=True)
class Module:
    """A layer of a file.

    Attributes:
        name: its name there.
        arrays: what it holds by the last part of their names, in order.
        full: the whole names of the arrays, by the last part.
        kind: the class of Keras in snake case, where the file tells it.
    """

    name: str
    arrays: Arrays
    full: Mapping[str, str]
    kind: str | None = None


@dataclass(frozen=True)
class Target:
    """A layer of ours that has weights.

    Attributes:
        path: its name, as in `name_weights`.
        layer: the layer.
        variables: its weights by the last part of their names, in order.
    """

    path: str
    layer: Any
    variables: Mapping[str, Variable]

    @property
    def kind(self) -> str:
        """Its class in snake case, which is how Keras names layers."""
        return snake_case(type(self.layer).__name__)

    def fits(self, made: Arrays) -> bool:
        """Whether these arrays are all that it has, of the right shapes."""
        shapes = {name: variable.shape for name, variable in self.variables.items()}
        return {name: array.shape for name, array in made.items()} == shapes


@dataclass(frozen=True)
class Translated:
    """A file in our names.

    Attributes:
        arrays: what it holds, by our names; what found no partner has its own.
        sources: the names in the file, by ours.
        undecided: why layers that could be partners are not, in words; or None.
    """

    arrays: Arrays
    sources: dict[str, str]
    undecided: str | None = None


def translate(
    targets: Sequence[Target],
    modules: Sequence[Module],
    layout: str | None,
    mapping: Any,
) -> Translated:
    """Find the partner of every layer, and turn what it holds.

    Args:
        targets: our layers.
        modules: those of the file.
        layout: `torch`, `keras`, or None for our own.
        mapping: names in the file to ours, or a function of a name.

    Raises:
        ArgumentError: when `mapping` names a layer that the model does not have.
    """
    attention = {}
    if layout == TORCH:
        attention = partners([target.path for target in targets], modules)
        modules = _split(modules) if attention else modules
    pairs, rest, undecided = _paired(targets, modules, layout, mapping, attention)
    arrays: Arrays = {}
    sources: dict[str, str] = {}
    for target, module in pairs:
        made, left = turned(target, module, layout)
        for name, (source, array) in made.items():
            arrays[f"{target.path}/{name}"] = array
            sources[f"{target.path}/{name}"] = module.full[source]
        rest.append(Module(module.name, left, module.full))
    for module in rest:
        for name, array in module.arrays.items():
            arrays[module.full[name]] = array
    return Translated(arrays, sources, undecided)


# ---- who belongs to whom -------------------------------------------------------------

Pairs: TypeAlias = list[tuple[Target, Module]]


def _paired(
    targets: Sequence[Target],
    modules: Sequence[Module],
    layout: str | None,
    mapping: Any,
    attention: Mapping[str, str],
) -> tuple[Pairs, list[Module], str | None]:
    """Pairs; the layers of the file without one; why some are not decided."""
    by_path = {target.path: target for target in targets}
    pairs: Pairs = []
    waiting: list[Module] = []
    rest: list[Module] = []
    told = {**attention, **_told(modules, by_path, mapping)}
    for module in modules:
        path = told.get(module.name, module.name.replace(".", "/"))
        target = by_path.get(path or "")
        if target is not None and (module.name in told or _named(target, layout)):
            pairs.append((by_path.pop(target.path), module))
        elif module.name in told:
            rest.append(module)
        else:
            waiting.append(module)
    found, left, undecided = _in_order(list(by_path.values()), waiting, layout)
    return pairs + found, rest + left, undecided


def _split(modules: Sequence[Module]) -> list[Module]:
    """The layers of a file, with attention as three layers of one projection each."""
    found = []
    for module in modules:
        parts = split(module.arrays)
        if parts is None:
            found.append(module)
            continue
        for part, held in parts.items():
            found.append(
                Module(
                    f"{module.name}.{part}" if module.name else part,
                    {last: array for last, (_, array) in held.items()},
                    {last: module.full[source] for last, (source, _) in held.items()},
                )
            )
    return found


def _told(
    modules: Sequence[Module], by_path: Mapping[str, Target], mapping: Mapped | None
) -> dict[str, str | None]:
    """What the caller says of each layer of the file."""
    if mapping is None:
        return {}
    if callable(mapping):
        return {module.name: mapping(module.name) for module in modules}
    unknown = [path for path in mapping.values() if path and path not in by_path]
    if unknown:
        raise ArgumentError(
            "mapping names layers that the model does not have",
            where="mapping",
            got=_listed(unknown),
            expected=_listed(by_path),
        )
    return {m.name: mapping[m.name] for m in modules if m.name in mapping}


def _named(target: Target, layout: str | None) -> bool:
    """Whether a layer has a name that somebody chose, so that equal names mean it."""
    automatic = re.escape(target.kind) + r"(_\d+)?"
    last = target.path.rpartition("/")[2]
    return layout is None or not re.fullmatch(automatic, last)


def _in_order(
    targets: Sequence[Target], modules: Sequence[Module], layout: str | None
) -> tuple[Pairs, list[Module], str | None]:
    """Pairs by order, of each kind where the file tells kinds."""
    pairs: Pairs = []
    left: list[Module] = []
    reasons = []
    for kind in dict.fromkeys(module.kind for module in modules):
        ours = [
            t for t in targets if kind in (None, snake_case(type(t.layer).__name__))
        ]
        theirs = [module for module in modules if module.kind == kind]
        found, rest, reason = _matched(ours, theirs, layout)
        pairs += found
        left += rest
        reasons += [reason] * (reason is not None)
    return pairs, left, reasons[0] if reasons else None


def _matched(
    targets: Sequence[Target], modules: Sequence[Module], layout: str | None
) -> tuple[Pairs, list[Module], str | None]:
    """In order where each fits the other, as far as both go; else those that fit no
    other.
    """

    def fits(target: Target, module: Module) -> bool:
        made, left = turned(target, module, layout)
        return not left and target.fits({name: a for name, (_, a) in made.items()})

    pairs = list(zip(targets, modules, strict=False))
    if all(fits(*pair) for pair in pairs):
        return pairs, list(modules[len(pairs) :]), None
    fitting = {t.path: [m.name for m in modules if fits(t, m)] for t in targets}
    wanted = Counter(name for names in fitting.values() for name in names)
    by_name = {module.name: module for module in modules}
    sure: Pairs = []
    for target in targets:
        names = fitting[target.path]
        if len(names) == 1 and wanted[names[0]] == 1:
            sure.append((target, by_name.pop(names[0])))
            fitting.pop(target.path)
    unsure = {path: names for path, names in fitting.items() if names}
    reason = None
    if unsure:
        several = dict.fromkeys(name for names in unsure.values() for name in names)
        reason = f"{_listed(unsure)} could each be any of {_listed(several)}"
    return sure, list(by_name.values()), reason


def _listed(names: Iterable[str]) -> str:
    found = [str(name) for name in names]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


# ---- in what order the numbers stand -------------------------------------------------


def _same(layer: Any, array: Array) -> Array:
    return array


def _taps_first(layer: Any, array: Array) -> Array:
    """(out, in, *taps) as (*taps, in, out); of transposed ones as (*taps, out, in)."""
    return array.transpose(*range(2, array.ndim), 1, 0) if array.ndim > 2 else array


def _by_channel(layer: Any, array: Array) -> Array:
    """(channels * multiplier, 1, *taps) as (*taps, channels, multiplier)."""
    multiplier = layer.depth_multiplier
    if array.ndim < 3 or array.shape[1] != 1 or len(array) % multiplier:
        return array
    split = array.reshape(-1, multiplier, *array.shape[2:])
    return split.transpose(*range(2, split.ndim), 0, 1)


def _inputs_first(layer: Any, array: Array) -> Array:
    return _channels_last(layer, array.T) if array.ndim == 2 else array


def _by_heads(layer: Any, array: Array) -> Array:
    """(out, in) as (in, heads, size), or as (heads, size, out); a bias by heads."""
    variable = layer.kernel if array.ndim == 2 else layer.bias
    fits = array.size == math.prod(variable.shape)
    return array.T.reshape(variable.shape) if fits else array


def _of_shared_axes(layer: Any, array: Array) -> Array:
    """The slopes of channels as an array with an axis for every position."""
    shape: tuple[int, ...] = layer.alpha.shape
    return array.reshape(shape) if array.size == math.prod(shape) else array


def _channels_last(layer: Any, array: Array) -> Array:
    """Rows for (channels, *sides) as rows for (*sides, channels).

    PyTorch flattens maps with their channels first; a layer behind a `Flatten` of ours
    has its inputs in another order.
    """
    shape = _flattened(layer)
    if shape is None or len(shape) < 2 or math.prod(shape) != len(array):
        return array
    *sides, channels = shape
    maps = array.reshape(channels, *sides, *array.shape[1:])
    return np.moveaxis(maps, 0, len(sides)).reshape(array.shape)


def _flattened(layer: Any) -> tuple[int, ...] | None:
    """The shape of the maps, channels last, whose numbers a layer sees in one row."""
    passing = (
        RandomLayer,
        layers.Activation,
        layers.BatchNormalization,
        layers.ELU,
        layers.Identity,
        layers.LeakyReLU,
        layers.PReLU,
        layers.ReLU,
    )
    while layer._calls:
        entering = layer._calls[0].inputs
        if len(entering) != 1:
            return None
        if isinstance(layer, layers.Flatten):
            shape = entering[0].shape[1:]
            if None in shape or _channels_before(entering[0]) == "channels_first":
                return None
            first = layer.data_format == "channels_first"
            return (*shape[1:], shape[0]) if first else tuple(shape)
        layer = entering[0].call.target
        if not isinstance(layer, (layers.Flatten, *passing)):
            return None
    return None


def _channels_before(symbol: Any) -> str | None:
    """Where the last layer that has channels puts them."""
    while symbol.call.inputs:
        if isinstance(symbol.call.target, layers.Flatten):
            return None
        found = getattr(symbol.call.target, "data_format", None)
        if found is not None:
            return str(found)
        symbol = symbol.call.inputs[0]
    return None


BIAS: tuple[str, Turn] = ("bias", _same)
AFFINE: dict[str, tuple[str, Turn]] = {
    "gamma": ("weight", _channels_last),
    "beta": ("bias", _channels_last),
}
# Of every class: our weights, theirs, and how one becomes the other.
FROM_TORCH: dict[type, dict[str, tuple[str, Turn]]] = {
    Convolution: {"kernel": ("weight", _taps_first), "bias": BIAS},
    ConvolutionTranspose: {"kernel": ("weight", _taps_first), "bias": BIAS},
    DepthwiseConvolution: {"kernel": ("weight", _by_channel), "bias": BIAS},
    layers.Dense: {"kernel": ("weight", _inputs_first), "bias": BIAS},
    layers.EinsumDense: {
        "kernel": ("weight", _by_heads),
        "bias": ("bias", _by_heads),
    },
    layers.BatchNormalization: {
        **AFFINE,
        "moving_mean": ("running_mean", _channels_last),
        "moving_variance": ("running_var", _channels_last),
    },
    layers.LayerNormalization: {"gamma": ("weight", _same), "beta": BIAS},
    layers.GroupNormalization: {"gamma": ("weight", _same), "beta": BIAS},
    layers.RMSNormalization: {"scale": ("weight", _same)},
    layers.Embedding: {"embeddings": ("weight", _same)},
    layers.PReLU: {"alpha": ("weight", _of_shared_axes)},
}


def turned(
    target: Target, module: Module, layout: str | None
) -> tuple[dict[str, tuple[str, Array]], Arrays]:
    """Our names with the arrays of `module` for them, and those that have no place."""
    table: dict[str, tuple[str, Turn]] = {
        name: (name, _same) for name in target.variables
    }
    if layout == TORCH:
        classes = (t for c, t in FROM_TORCH.items() if isinstance(target.layer, c))
        table = next(classes, table)
    elif module.kind is not None:  # Keras's files number what a layer holds
        names = zip(target.variables, module.arrays, strict=False)
        table = {name: (source, _same) for name, source in names}
    made = {}
    for name, (source, turn) in table.items():
        if source in module.arrays and name in target.variables:
            array = module.arrays[source]
            made[name] = source, np.ascontiguousarray(turn(target.layer, array))
    used = {source for source, _ in made.values()}
    return made, {n: a for n, a in module.arrays.items() if n not in used}


def modules_of(arrays: Mapping[str, Any], layout: str | None) -> list[Module]:
    """Arrays by name as layers, in order."""
    grouped: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        path, last = split_name(name, layout)
        if last not in NO_WEIGHTS:
            grouped.setdefault(path, {})[last] = np.asarray(array)
    separator = "." if layout == TORCH else "/"
    return [
        Module(path, held, {x: f"{path}{separator}{x}" if path else x for x in held})
        for path, held in grouped.items()
    ]


def split_name(name: str, layout: str | None) -> tuple[str, str]:
    """The layer and the last part of the name of an array.

    Example:
        >>> split_name("layer1.0.conv1.weight", "torch")
        ('layer1.0.conv1', 'weight')
    """
    path, _, last = name.rpartition("." if layout == TORCH else "/")
    return path, last


def without_model(arrays: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Keras's paths without the name of the model, if all begin with one name.

    Example:
        >>> without_model({"net/a/kernel": 1, "net/b/kernel": 2}, ["a", "b"])
        {'a/kernel': 1, 'b/kernel': 2}
    """
    firsts = {name.split("/")[0] for name in arrays}
    ours = {path.split("/")[0] for path in paths}
    deep = all(name.count("/") > 1 for name in arrays)
    if len(firsts) != 1 or firsts & ours or not deep:
        return dict(arrays)
    return {name.partition("/")[2]: array for name, array in arrays.items()}
