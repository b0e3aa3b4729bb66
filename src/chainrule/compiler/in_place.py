"""Values that one thread writes over others, which nobody needs afterwards.

The exponentials of scores lie where the scores were: what a kernel reads for the last
time, and writes something else of at the same place, need not be there twice, and
caches hold twice as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chainrule.compiler.index import Axis, Index
from chainrule.compiler.kernel import ContractKernel, Kernel, LoopKernel, Write
from chainrule.compiler.lower import Store
from chainrule.compiler.memory import Lifetime
from chainrule.compiler.shares import accesses, loads
from chainrule.ir.value import Value


def written_over(
    steps: Sequence[tuple[Kernel, Sequence[Value]]],
    lives: Sequence[Lifetime],
    stores: Mapping[int, Store],
) -> dict[int, Value]:
    """For each value that is written over another, by identity: that other.

    Args:
        steps: kernels in the order in which one thread runs them, with the values in
            their buffers.
        lives: how long each value needs memory of its own.
        stores: how values are laid out, by identity.
    """
    spans = {life.key: life for life in lives}
    found: dict[int, Value] = {}
    for position, (kernel, values) in enumerate(steps):
        if not isinstance(kernel, LoopKernel | ContractKernel):
            continue
        used: set[int] = set()
        for number, stage in enumerate(kernel.stages):
            if not isinstance(stage, Write):
                continue
            value = values[stage.buffer]
            life = spans.get(id(value))
            if life is None or life.first != position or id(value) in found:
                continue
            for other in values:
                ends = spans.get(id(other))
                if (
                    ends is not None
                    and ends.first < position == ends.last
                    and id(other) not in used
                    and _alike(stores[id(value)], stores[id(other)])
                    and _at_once(kernel, values, other, number)
                ):
                    used.add(id(other))
                    found[id(value)] = found.get(id(other), other)
                    break
    return found


def _alike(store: Store, other: Store) -> bool:
    kinds = [s.value.spec.dtype for s in (store, other)]
    return kinds[0] is kinds[1] and store.extent == other.extent


def _at_once(
    kernel: LoopKernel | ContractKernel,
    values: Sequence[Value],
    other: Value,
    number: int,
) -> bool:
    """Whether stage `number` writes at each point what it read there of `other`.

    No later stage reads that again, and nothing else writes where this one does.
    """
    stages = kernel.stages
    stage = stages[number]
    assert isinstance(stage, Write)
    writes = [s for s in stages if isinstance(s, Write) and s.buffer == stage.buffer]
    if len(writes) != 1 or (isinstance(kernel, LoopKernel) and kernel.inside):
        return False
    buffers = {buffer for buffer, value in enumerate(values) if value is other}
    offsets = {offset for buffer, offset in accesses(kernel) if buffer in buffers}
    if offsets != {stage.offset} or not _is_one_place(stage.offset):
        return False
    if not any(s.axes for s in stages):
        return True  # all is computed before anything is stored
    later = [s.expression for s in stages[number + 1 :]]
    return not any(buffer in buffers for buffer, _ in loads(later))


def _is_one_place(offset: Index) -> bool:
    """Whether an offset depends on loops alone, and so is another at each point."""
    return all(isinstance(atom, Axis) for atom, _ in offset.terms)
