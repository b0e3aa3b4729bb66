"""In which order kernels run, where threads wait, and how long values are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from chainrule.compiler.chains import Link
from chainrule.compiler.fuse import Group
from chainrule.compiler.kernel import Kernel
from chainrule.compiler.lower import Store
from chainrule.compiler.memory import Lifetime
from chainrule.ir.value import Value


@dataclass(frozen=True)
class Use:
    """How a step touches memory.

    Attributes:
        written: whether it writes there.
        own: where each thread touches only its share of the leading axis: into how many
            positions that is cut, how many stay together, and how many bytes each
            takes; empty where any thread may touch anything.
        parallel: whether threads share the step.
    """

    written: bool
    own: tuple[int, ...]
    parallel: bool

    def clashes(self, other: Use, same: bool) -> bool:
        """Whether a barrier must stand between two uses.

        `same` says whether they are of one value, or of two that begin at one place.
        """
        if not (self.written or other.written):
            return False
        if not (self.parallel or other.parallel):
            return False  # the first thread does both, in order
        both = self.parallel and other.parallel
        return not (same and both and self.own and self.own == other.own)


@dataclass(frozen=True, eq=False)
class Piece:
    """A kernel on its way to becoming a step; with a link, it may be in a chain."""

    kernel: Kernel
    values: tuple[Value, ...]
    work: int
    uses: dict[int, Use]
    link: Link | None = None

    @property
    def parallel(self) -> bool:
        """Whether threads share it."""
        return any(use.parallel for use in self.uses.values())

    def shared(self) -> Piece:
        """The same, shared by threads."""
        uses = {key: replace(use, parallel=True) for key, use in self.uses.items()}
        return replace(self, uses=uses)

    def by_one(self) -> Piece:
        """The same, done by one thread."""
        uses = {key: replace(use, parallel=False) for key, use in self.uses.items()}
        return replace(self, uses=uses)

    def owns(self) -> set[tuple[int, tuple[int, ...]]]:
        """What each thread touches a share of: whose memory, and how it is cut."""
        return {(key, use.own) for key, use in self.uses.items() if use.own}


def in_order(groups: Sequence[Group], pieces: dict[Group, Piece]) -> list[Piece]:
    """An order that keeps every dependence, with as few barriers as may be.

    What needs no barrier goes first, and of that what goes on with a chain; else what
    was made earliest.
    """
    done: set[Group] = set()
    waiting = list(groups)
    ordered: list[Piece] = []
    since: dict[int, set[Use]] = {}
    while waiting:
        ready = [group for group in waiting if group.after <= done]
        free = [g for g in ready if g not in pieces or is_free(pieces[g], since)]
        linked = bool(ordered) and ordered[-1].link is not None
        along = (g for g in free if linked and g in pieces and pieces[g].link)
        chosen = next(along, free[0] if free else None)
        if chosen is None:
            chosen, since = ready[0], {}
        waiting.remove(chosen)
        done.add(chosen)
        if chosen in pieces:
            ordered.append(pieces[chosen])
            for key, use in pieces[chosen].uses.items():
                since.setdefault(key, set()).add(use)
    return ordered


def is_free(piece: Piece, since: dict[int, set[Use]]) -> bool:
    """Whether a step may follow these uses without a barrier."""
    return not any(
        use.clashes(other, same=True)
        for key, use in piece.uses.items()
        for other in since.get(key, ())
    )


def find_barriers(
    pieces: Sequence[Piece],
    overlap: Callable[[int, int], bool],
    aligned: Callable[[int, int], bool],
) -> list[bool]:
    """Before which steps every thread waits for the others.

    Args:
        pieces: kernels in order.
        overlap: whether two pieces of memory share bytes.
        aligned: whether they begin at the same place.
    """

    def conflict(piece: Piece, other: Piece) -> bool:
        if not piece.parallel and not other.parallel:
            return False
        return any(
            overlap(key, other_key) and use.clashes(another, aligned(key, other_key))
            for key, use in piece.uses.items()
            for other_key, another in other.uses.items()
        )

    barriers: list[bool] = []
    since: list[Piece] = []
    for piece in pieces:
        barriers.append(any(conflict(piece, other) for other in since))
        if barriers[-1]:
            since = []
        since.append(piece)
    return barriers


@dataclass(frozen=True)
class _Moment:
    """A step that needs a value: its number, its stretch, how threads own the value."""

    number: int
    stretch: tuple[int, int]
    own: tuple[int, ...]


def find_lifetimes(
    pieces: Sequence[Piece],
    memory: Callable[[Value], Value],
    stores: Mapping[int, Store],
    outside: set[int],
) -> list[Lifetime]:
    """Lives of the values that are computed, and whose memory is not `outside`.

    What threads share lives from barrier to barrier: within, one of them may be behind.
    """
    moments: dict[int, list[_Moment]] = {}
    stretches = _stretches(pieces)
    for number, (stretch, piece) in enumerate(zip(stretches, pieces, strict=True)):
        for value in map(memory, piece.values):
            if id(value) not in outside and value.data is None:
                use = piece.uses.get(id(value))
                own = use.own if use and use.parallel else ()
                moment = _Moment(number, stretch, own)
                moments.setdefault(id(value), []).append(moment)
    return [_life(stores[key], found) for key, found in moments.items()]


def _life(store: Store, moments: Sequence[_Moment]) -> Lifetime:
    """The life of a value, from all steps that need it."""
    starts = [moment.stretch[0] for moment in moments]
    ends = []
    for start in (min(starts), max(starts)):
        owned = {moment.own for moment in moments if moment.stretch[0] == start}
        own = owned.pop() if len(owned) == 1 else ()
        ends.append((start, own) if own else None)
    return Lifetime(
        id(store.value),
        store.extent * store.value.spec.dtype.itemsize,
        min(starts),
        max(moment.stretch[1] for moment in moments),
        (min(m.number for m in moments), max(m.number for m in moments)),
        ends[0],
        ends[1],
    )


def _stretches(pieces: Sequence[Piece]) -> list[tuple[int, int]]:
    """For each step, the first and last step that may run at the same time."""
    since: dict[int, set[Use]] = {}
    starts: list[int] = []
    for number, piece in enumerate(pieces):
        free = bool(starts) and is_free(piece, since)
        if not free:
            since = {}
        starts.append(starts[-1] if free else number)
        for key, use in piece.uses.items():
            since.setdefault(key, set()).add(use)
    ends = {start: number for number, start in enumerate(starts)}
    return [
        (start, ends[start]) if piece.parallel else (number, number)
        for number, (start, piece) in enumerate(zip(starts, pieces, strict=True))
    ]
