"""Trees: nested dicts, lists, tuples, named tuples and dataclasses of leaves.

Everything else is a leaf; `None` is an empty tree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
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


LEAF = Structure(None)


def _parts(tree: Any) -> tuple[tuple[Any, ...], list[Any]] | None:
    """Keys and parts of a container; None for a leaf."""
    if tree is None:
        return (), []
    if isinstance(tree, dict):
        return tuple(tree), list(tree.values())
    if isinstance(tree, (list, tuple)):
        return tuple(range(len(tree))), list(tree)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        names = tuple(f.name for f in dataclasses.fields(tree))
        return names, [getattr(tree, name) for name in names]
    return None


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of `tree` in order, and its structure.

    Example:
        >>> leaves, structure = flatten({"w": 1, "b": [2, None, (3,)]})
        >>> leaves, unflatten(structure, leaves)
        ([1, 2, 3], {'w': 1, 'b': [2, None, (3,)]})
    """
    leaves: list[Any] = []

    def walk(part: Any) -> Structure:
        found = _parts(part)
        if found is None:
            leaves.append(part)
            return LEAF
        keys, parts = found
        return Structure(type(part), keys, tuple(map(walk, parts)))

    return leaves, walk(tree)


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """The tree of this structure with these leaves."""
    source = iter(leaves)
    tree = _build(structure, source)
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
    parts = [_build(child, source) for child in structure.children]
    if issubclass(kind, dict):
        return kind(zip(structure.keys, parts, strict=True))
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return kind(*parts)
    if issubclass(kind, (list, tuple)):
        return kind(parts)
    return kind(**dict(zip(structure.keys, parts, strict=True)))


def tree_map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`function` applied to the leaves that stand at the same place in every tree.

    Example:
        >>> tree_map(lambda a, b: a + b, {"w": 1}, {"w": 10})
        {'w': 11}
    """
    leaves, structure = flatten(tree)
    columns = [leaves]
    for other in rest:
        other_leaves, other_structure = flatten(other)
        if other_structure != structure:
            raise ArgumentError(
                "trees differ in structure", got=other_structure, expected=structure
            )
        columns.append(other_leaves)
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
