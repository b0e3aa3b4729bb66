"""An order of kernels that one thread runs, in which little memory is in use at once.

What is made is read soon, while it is in the caches. Where threads share kernels, an
order with few barriers is better (`compiler/plan.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chainrule.compiler.fuse import Group


def in_frugal_order(groups: Sequence[Group], room: Mapping[int, int]) -> list[Group]:
    """The groups in an order that keeps every dependence.

    Of those that may come next, the one that leaves the fewest bytes in use; else the
    one that was made earliest.

    Args:
        groups: all groups of a plan.
        room: bytes of each value that takes memory, by identity.
    """
    readers: dict[int, int] = {}
    for group in groups:
        for key in group.reads & room.keys():
            readers[key] = readers.get(key, 0) + 1
    waiting, ordered = list(groups), []
    done: set[Group] = set()
    while waiting:
        ready = [group for group in waiting if group.after <= done]
        chosen = min(ready, key=lambda group: _growth(group, room, readers))
        waiting.remove(chosen)
        ordered.append(chosen)
        done.add(chosen)
        for key in chosen.reads & room.keys():
            readers[key] -= 1
    return ordered


def _growth(group: Group, room: Mapping[int, int], readers: Mapping[int, int]) -> int:
    """How many more bytes are in use after a group than before."""
    own = {id(root) for root in group.roots}
    made = sum(room.get(key, 0) for key in own)
    freed = sum(
        room[key]
        for key in group.reads & room.keys()
        if readers[key] == 1 and key not in own
    )
    return made - freed
