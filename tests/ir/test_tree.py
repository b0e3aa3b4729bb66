"""Trees: taken apart and put together."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.errors import ArgumentError
from chainrule.ir.tree import flatten, leaf_names, leaves_like, tree_map, unflatten


class Point(NamedTuple):
    x: Any
    y: Any


@dataclass(frozen=True)
class Layer:
    kernel: Any
    bias: Any = None


TREES = st.recursive(
    st.integers() | st.none() | st.text(max_size=3),
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.lists(parts, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2) | st.integers(0, 9), parts, max_size=3)
        | st.builds(Point, parts, parts)
        | st.builds(Layer, parts, parts)
    ),
    max_leaves=12,
)


@given(TREES)
def test_round_trip(tree: Any) -> None:
    leaves, structure = flatten(tree)
    assert None not in leaves
    assert structure.leaf_count == len(leaves)
    again = unflatten(structure, leaves)
    assert again == tree
    assert repr(again) == repr(tree)
    assert flatten(again)[1] == structure
    assert hash(structure) == hash(flatten(again)[1])
    assert leaves_like(tree, structure) == leaves
    assert len(leaf_names(tree, "x")) == len(leaves)
    assert tree_map(lambda leaf: leaf, tree) == tree


def test_containers_keep_their_types() -> None:
    tree = OrderedDict(a=1, b=Point(2, [3]))
    assert type(tree_map(str, tree)) is OrderedDict
    assert tree_map(str, tree)["b"] == Point("2", ["3"])
    grouped = defaultdict(list, {"a": [1]})
    assert tree_map(str, grouped) == {"a": ["1"]}
    assert isinstance(tree_map(str, grouped), defaultdict)


def test_a_dataclass_type_is_a_leaf() -> None:
    assert flatten(Layer)[0] == [Layer]


def test_names_of_leaves() -> None:
    tree = {"w": [1, Point(2, 3)], "layer": Layer(4)}
    assert leaf_names(tree, "p") == [
        "p['w'][0]",
        "p['w'][1][0]",
        "p['w'][1][1]",
        "p['layer'].kernel",
    ]


def test_leaves_are_matched_by_key_and_none_stands_for_any_part() -> None:
    tree = {"a": 1, "b": [2, Layer(3, 4)]}
    structure = flatten(tree)[1]
    assert leaves_like({"b": [20, Layer(30, 40)], "a": 10}, structure) == [
        10,
        20,
        30,
        40,
    ]
    assert leaves_like({"b": [20, None], "a": None}, structure) == [
        None,
        20,
        None,
        None,
    ]
    assert leaves_like({"b": None, "a": 1}, structure) == [1, None, None, None]
    assert tree_map(lambda a, b: a + b, tree, {"b": [1, Layer(1, 1)], "a": 1}) == {
        "a": 2,
        "b": [3, Layer(4, 5)],
    }


@pytest.mark.parametrize(
    "other", [{"a": 1}, {"a": 1, "b": 2, "c": 3}, [1, 2], {"a": 1, "b": [2, 3, 4]}, 5]
)
def test_trees_that_differ_are_refused(other: Any) -> None:
    tree = {"a": 1, "b": [2, 3]}
    with pytest.raises(ArgumentError, match="differ in structure") as caught:
        tree_map(lambda a, b: a, tree, other)
    assert "expected:" in str(caught.value)


def test_wrong_numbers_of_leaves_are_refused() -> None:
    structure = flatten([1, (2,)])[1]
    with pytest.raises(ArgumentError, match="more leaves"):
        unflatten(structure, [1, 2, 3])
    with pytest.raises(ArgumentError, match="fewer leaves"):
        unflatten(structure, [1])


def test_structures_print_as_their_trees() -> None:
    tree = {"w": [1, (2,), Point(3, None)], 0: Layer(4, ())}
    assert str(flatten(tree)[1]) == "{'w': [*, (*,), Point(*, None)], 0: Layer(*, ())}"
