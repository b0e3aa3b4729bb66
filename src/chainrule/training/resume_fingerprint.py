"""What a run is, in short: one is not taken up with another model, or other data."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from chainrule.compiler.engine import host_target
from chainrule.ir import tree
from chainrule.settings import SETTINGS
from chainrule.training.data import Array
from chainrule.version import VERSION

# As much of an array is read as takes about a second; of a larger one, blocks from all
# over it.
READ_AT_MOST = 1 << 30  # bytes
BLOCK = 1 << 20
MANY = 100  # parts of a config that are not told one by one
Facts = dict[str, Any]


def digest(array: Array) -> str:
    """Dtype, shape and a hash of the numbers.

    Of arrays beyond a gigabyte evenly spread rows are read, the first and the last
    among them.

    Example:
        >>> digest(np.zeros((2, 3), np.float32))
        'float32[2, 3] 9d908ecfb6b256de'
    """
    hashed = hashlib.sha256()
    row = max(1, array.nbytes // max(1, len(array)))
    rows = max(1, BLOCK // row)
    starts = np.arange(0, len(array), rows)
    most = max(2, READ_AT_MOST // (rows * row))
    if len(starts) > most:
        starts = starts[np.linspace(0, len(starts) - 1, most).astype(np.int64)]
    for start in starts:
        part = np.ascontiguousarray(array[start : start + rows])
        hashed.update(part.view(np.uint8).data if part.size else b"")
    return f"{array.dtype}{list(array.shape)} {hashed.hexdigest()[:16]}"


def describe_data(data: Any) -> Facts:
    """A digest for each array of a tree, by its place in the tree.

    Example:
        >>> list(describe_data({"x": np.zeros(1), "y": [np.ones(2), None]}))
        ["data['x']", "data['y'][0]"]
    """
    leaves, _ = tree.flatten(data)
    names = tree.leaf_names(data, "data")
    return {
        name: digest(leaf) if isinstance(leaf, np.ndarray) else leaf
        for name, leaf in zip(names, leaves, strict=True)
    }


def flatten_config(config: Any, name: str) -> Facts:
    """The values of a nested config by their places.

    Names of layers are counted by process, and do not decide what a model computes:
    the first that is met is 0, the second 1.

    Example:
        >>> flatten_config({"name": "dense_7", "units": 3, "after": ["dense_7"]}, "m")
        {'m.name': 0, 'm.units': 3, 'm.after.0': 0}
    """
    names = {given: i for i, given in enumerate(dict.fromkeys(_names(config)))}
    found: Facts = {}

    def walk(part: Any, place: str) -> None:
        pairs: list[tuple[str, Any]] = []
        if isinstance(part, Mapping):
            pairs = [(str(key), value) for key, value in part.items()]
        elif isinstance(part, Collection) and not isinstance(part, str):
            nested = any(isinstance(one, (Mapping, list, tuple)) for one in part)
            if len(part) > MANY and not nested:
                found[place] = _brief(part)
                return
            pairs = [(str(i), value) for i, value in enumerate(part)]
        else:
            found[place] = names.get(part, part) if isinstance(part, str) else part
            return
        for key, value in pairs:
            walk(value, f"{place}.{key}")

    walk(config, name)
    return found


def _brief(part: Collection[Any]) -> str:
    """A long list, such as a vocabulary, in one line."""
    return f"{len(part)} values {hashlib.sha256(repr(part).encode()).hexdigest()[:16]}"


def _names(config: Any) -> Iterator[str]:
    if isinstance(config, Mapping):
        if isinstance(config.get("name"), str):
            yield config["name"]
        parts = list(config.values())
    else:
        parts = list(config) if isinstance(config, (list, tuple)) else []
    for part in parts:
        yield from _names(part)


def describe_machine() -> dict[str, str]:
    """What else may change the last bits of a run."""
    return {
        "chainrule": VERSION,
        "backend": SETTINGS.backend,
        "processor": f"{platform.machine()} {host_target().cpu}",
    }


def list_differences(old: Facts, new: Facts, limit: int = 8) -> list[str]:
    """What differs, a line each.

    Example:
        >>> list_differences({"rows": 32, "seed": 1}, {"rows": 64, "seed": 1})
        ['rows: 32 then, 64 now']
    """
    nothing = object()
    lines = []
    for name in dict.fromkeys([*old, *new]):
        before, now = old.get(name, nothing), new.get(name, nothing)
        if before != now and repr(before) != repr(now):  # NaN is not equal to itself
            told = ["nothing" if x is nothing else f"{x!r}" for x in (before, now)]
            lines.append(f"{name}: {told[0]} then, {told[1]} now")
    if len(lines) > limit:
        lines[limit:] = [f"and {len(lines) - limit} more"]
    return lines
