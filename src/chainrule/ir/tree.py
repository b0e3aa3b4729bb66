"""Trees: nested dicts, lists, tuples, named tuples and dataclasses of leaves.

Everything else is a leaf; `None` is an empty tree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from chainrule.errors import ArgumentError


@dataclass(frozen=True, slots=True)
class Structure:
    """The shape of a tree: how to put its leaves together again.

    Attributes:
        kind: the container's type; None for a leaf.
        keys: dict keys, or field names.
        children: structures of the parts, in the order of `keys`.
    """

    kind: type | None
    keys: tuple[Any, ...] = ()
    children: tuple[Structure, ...] = ()

    @property
    def leaf_count(self) -> int:
        """Number of leaves."""
        if self.kind is None:
            return 1
        return sum(child.leaf_count for child in self.children)

    def __str__(self) -> str:
        if self.kind is None:
            return "*"
        if self.kind is type(None):
            return "None"
        parts = [str(child) for child in self.children]
        if issubclass(self.kind, dict):
            pairs = zip(self.keys, parts, strict=True)
            return "{" + ", ".join(f"{key!r}: {part}" for key, part in pairs) + "}"
        if self.kind is list:
            return f"[{', '.join(parts)}]"
        if self.kind is tuple:
            return f"({', '.join(parts)}{',' * (len(parts) == 1)})"
        return f"{self.kind.__name__}({', '.join(parts)})"


LEAF = Structure(None)


_NONE, _MAPPING, _SEQUENCE, _FIELDS, _ALONE = range(5)
_kinds: dict[type, int] = {}  # asked of every part of every tree


def _kind_of(kind: type) -> int:
    """What the objects of a class are to a tree."""
    found = _kinds.get(kind)
    if found is None:
        if kind is type(None):
            found = _NONE
        elif issubclass(kind, dict):
            found = _MAPPING
        elif issubclass(kind, (list, tuple)):
            found = _SEQUENCE
        else:
            found = _FIELDS if dataclasses.is_dataclass(kind) else _ALONE
        _kinds[kind] = found
    return found


def _parts(tree: Any) -> tuple[tuple[Any, ...], list[Any]] | None:
    """Keys and parts of a container; None for a leaf."""
    kind = _kind_of(type(tree))
    if kind == _ALONE:
        return None
    if kind == _NONE:
        return (), []
    if kind == _MAPPING:
        return tuple(tree), list(tree.values())
    if kind == _SEQUENCE:
        return tuple(range(len(tree))), list(tree)
    names = tuple(f.name for f in dataclasses.fields(tree))
    return names, [getattr(tree, name) for name in names]


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of `tree` in order, and its structure.

    Example:
        >>> leaves, structure = flatten({"w": 1, "b": [2, None, (3,)]})
        >>> leaves, unflatten(structure, leaves)
        ([1, 2, 3], {'w': 1, 'b': [2, None, (3,)]})
    """
    leaves: list[Any] = []
    return leaves, _collect(tree, leaves)


def _collect(tree: Any, leaves: list[Any]) -> Structure:
    # not a function within `flatten`: one that calls itself is a reference cycle, which
    # would keep the leaves until the garbage collector runs
    found = _parts(tree)
    if found is None:
        leaves.append(tree)
        return LEAF
    keys, parts = found
    return Structure(type(tree), keys, tuple(_collect(part, leaves) for part in parts))


def leaves_if_like(tree: Any, structure: Structure) -> list[Any] | None:
    """The leaves of a tree of this very structure; None of any other.

    Example:
        >>> _, structure = flatten({"w": 1, "b": [2, 3]})
        >>> leaves_if_like({"w": 5, "b": [6, 7]}, structure)
        [5, 6, 7]
        >>> leaves_if_like({"w": 5, "b": (6, 7)}, structure) is None
        True
    """
    leaves: list[Any] = []
    return leaves if _gather(tree, structure, leaves) else None


def _gather(tree: Any, structure: Structure, leaves: list[Any]) -> bool:
    kind, own = structure.kind, type(tree)
    if kind is None:
        leaves.append(tree)
        return _kind_of(own) == _ALONE
    if own is not kind:
        return False
    found = _kind_of(own)
    parts: Iterable[Any]
    if found == _MAPPING:
        if tuple(tree) != structure.keys:
            return False
        parts = tree.values()
    elif found == _SEQUENCE:
        parts = tree
    else:
        parts = (getattr(tree, name) for name in structure.keys)
    children = structure.children
    if found == _SEQUENCE and len(tree) != len(children):
        return False
    return all(map(_gather, parts, children, repeat(leaves)))


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """The tree of this structure with these leaves."""
    source = iter(leaves)
    try:
        tree = _build(structure, source)
    except StopIteration:
        raise ArgumentError(
            "fewer leaves than the structure holds", expected=structure.leaf_count
        ) from None
    if next(source, source) is not source:
        raise ArgumentError(
            "more leaves than the structure holds", expected=structure.leaf_count
        )
    return tree


def _build(structure: Structure, source: Iterator[Any]) -> Any:
    kind = structure.kind
    if kind is None:
        return next(source)
    if kind is type(None):
        return None
    parts = [
        next(source) if child.kind is None else _build(child, source)
        for child in structure.children
    ]
    if kind is list:
        return parts
    if kind is dict:
        return dict(zip(structure.keys, parts, strict=True))
    if issubclass(kind, dict):
        # not every kind of dict takes pairs: a defaultdict takes its factory
        built = kind()
        built.update(zip(structure.keys, parts, strict=True))
        return built
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return kind(*parts)
    if issubclass(kind, (list, tuple)):
        return kind(parts)
    return kind(**dict(zip(structure.keys, parts, strict=True)))


def leaves_like(tree: Any, structure: Structure) -> list[Any]:
    """The leaves of `tree` in the order of `structure`; dicts are matched by key.

    None may stand for any part; it gives None for each leaf of that part.

    Raises:
        ArgumentError: when the trees differ in structure.

    Example:
        >>> _, structure = flatten({"w": 1, "b": [2, 3]})
        >>> leaves_like({"b": None, "w": 10}, structure)
        [10, None, None]
    """
    if tree is None:
        return [None] * structure.leaf_count
    if structure.kind is None:
        return [tree]
    keys, parts = _parts(tree) or ((), [])
    by_key = dict(zip(keys, parts, strict=True))
    if len(keys) != len(structure.keys) or by_key.keys() != set(structure.keys):
        raise ArgumentError(
            "trees differ in structure", got=flatten(tree)[1], expected=structure
        )
    pairs = zip(structure.keys, structure.children, strict=True)
    return [leaf for key, child in pairs for leaf in leaves_like(by_key[key], child)]


def tree_map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`function` applied to the leaves that stand at the same place in every tree.

    Example:
        >>> tree_map(lambda a, b: a + b, {"w": 1}, {"w": 10})
        {'w': 11}
    """
    leaves, structure = flatten(tree)
    columns = [leaves, *(leaves_like(other, structure) for other in rest)]
    return unflatten(structure, map(function, *columns))


def leaf_names(tree: Any, root: str = "") -> list[str]:
    """A readable name for each leaf, such as `x['w'][0]`.

    Example:
        >>> leaf_names({"w": [1, 2]}, "params")
        ["params['w'][0]", "params['w'][1]"]
    """
    found = _parts(tree)
    if found is None:
        return [root]
    names: list[str] = []
    for key, part in zip(*found, strict=True):
        plain = isinstance(tree, (dict, list, tuple))
        names += leaf_names(part, f"{root}[{key!r}]" if plain else f"{root}.{key}")
    return names
