"""Attention of PyTorch: three projections in one array, and blocks in another order.

`nn.MultiheadAttention` holds `in_proj_weight`, the kernels of query, key and value one
below the other, and a part `out_proj`. The layers of `nn.TransformerEncoder` and
`nn.TransformerDecoder` hold it as `self_attn`, and as `multihead_attn` where a second
sequence is looked into.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]
PARTS = ("query", "key", "value")
# Parts of a block there, and here: of one with cross-attention in the second column.
AFTER_ONE = {
    "norm1": "self_attention_layer_norm",
    "norm2": "feedforward_layer_norm",
    "linear1": "feedforward_intermediate_dense",
    "linear2": "feedforward_output_dense",
}
AFTER_TWO = {
    **AFTER_ONE,
    "norm2": "cross_attention_layer_norm",
    "norm3": "feedforward_layer_norm",
}


class Held(Protocol):
    """What is asked of a layer of a file."""

    @property
    def name(self) -> str:
        """Its name there."""

    @property
    def arrays(self) -> dict[str, Array]:
        """What it holds."""


def partners(paths: Sequence[str], modules: Sequence[Held]) -> dict[str, str]:
    """Our layers for the parts of attention and of blocks, by their names there.

    Attention is paired in order, and so are blocks; nothing is, where their numbers
    differ. Parts of `in_proj` are called `query`, `key` and `value` below it.

    Args:
        paths: the names of our layers.
        modules: the layers of the file.

    Example:
        >>> class Module:
        ...     name, arrays = "self_attn", {"in_proj_weight": np.zeros((6, 2))}
        >>> names = "query_dense", "key_dense", "value_dense", "output_dense"
        >>> partners([f"look/{name}" for name in names], [Module()])
        ... # doctest: +NORMALIZE_WHITESPACE
        {'self_attn.query': 'look/query_dense', 'self_attn.key': 'look/key_dense',
         'self_attn.value': 'look/value_dense',
         'self_attn.out_proj': 'look/output_dense'}
    """
    known = set(paths)
    ours = [
        path.removesuffix("query_dense") for path in paths if _is_attention(path, known)
    ]
    theirs = [m.name for m in modules if _joint(m.arrays)]
    if len(ours) != len(theirs):
        return {}
    found: dict[str, str] = {}
    for mine, name in zip(ours, theirs, strict=True):
        for part in PARTS:
            found[_below(name, part)] = f"{mine}{part}_dense"
        found[_below(name, "out_proj")] = f"{mine}output_dense"
        found.update(_rest_of_block(mine, name, known))
    return found


def _rest_of_block(mine: str, name: str, known: set[str]) -> dict[str, str]:
    """The parts of a block around its self-attention."""
    block, _, own = mine.rstrip("/").rpartition("/")
    outer, _, last = name.rpartition(".")
    if last != "self_attn" or own not in ("self_attention", "self_attention_layer"):
        return {}
    two = f"{block}/cross_attention_layer_norm" in known
    table = AFTER_TWO if two else AFTER_ONE
    return {_below(outer, there): f"{block}/{here}" for there, here in table.items()}


def _is_attention(path: str, known: set[str]) -> bool:
    rest = path.removesuffix("query_dense")
    others = ("key_dense", "value_dense", "output_dense")
    return rest != path and all(rest + other in known for other in others)


def _joint(arrays: Mapping[str, Array]) -> bool:
    return "in_proj_weight" in arrays or "q_proj_weight" in arrays


def _below(name: str, part: str) -> str:
    return f"{name}.{part}" if name else part


def split(
    arrays: Mapping[str, Array],
) -> dict[str, dict[str, tuple[str, Array]]] | None:
    """Query, key and value of one attention: names in the file, and arrays, by ours.

    None for what is no attention, or has more than projections (`bias_k`).

    Example:
        >>> parts = split({"in_proj_weight": np.arange(6).reshape(6, 1)})
        >>> {name: part["weight"][1].ravel().tolist() for name, part in parts.items()}
        {'query': [0, 1], 'key': [2, 3], 'value': [4, 5]}
    """
    names = {f"{part[0]}_proj_weight" for part in PARTS}
    if not _joint(arrays) or set(arrays) - names - {"in_proj_weight", "in_proj_bias"}:
        return None
    found: dict[str, dict[str, tuple[str, Array]]] = {part: {} for part in PARTS}
    for source, last in (("in_proj_weight", "weight"), ("in_proj_bias", "bias")):
        if source in arrays:
            for part, array in zip(PARTS, np.split(arrays[source], 3), strict=True):
                found[part][last] = source, array
    for part in PARTS:
        source = f"{part[0]}_proj_weight"
        if source in arrays:
            found[part]["weight"] = source, arrays[source]
    return found
