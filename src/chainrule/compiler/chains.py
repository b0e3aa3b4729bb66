"""Chains: kernels that a thread computes one after the other for a few samples.

What a layer makes of a batch is often larger than the caches, while the sample that it
made last is still there. Where kernels follow one another that compute each sample from
that sample alone, and from weights, a thread takes some samples through all of them
before the next: as several threads would, one after the other, so that no bit changes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from chainrule.compiler.engine import host_target
from chainrule.compiler.kernel import ContractKernel, Kernel, LoopKernel, Write
from chainrule.compiler.nest import lanes_for
from chainrule.compiler.shares import first_axis
from chainrule.compiler.threads import default_threads
from chainrule.ir.value import Value

Built = tuple[Kernel, list[Value]]

LEAST_BYTES = 4 << 20  # of all that is made, from which on it may pay
LEAST_TOUCHED = 6 << 20  # of what one product reads and writes
PART_BYTES = 640 << 10  # of what one kernel touches of the samples of a part
PARTS_OF_A_THREAD = 4  # at least, so that threads have about as much to do
FEW_ROWS = 32  # of a product, which do not repay the way of a large right operand
LITTLE = 4096  # elements of an operand that is not large
REPAID = 1  # bytes kept in caches for each that is read again for every part


@dataclass(frozen=True)
class Parts:
    """How samples are cut.

    Attributes:
        samples: how many there are.
        unit: how many make a part.
    """

    samples: int
    unit: int

    @property
    def count(self) -> int:
        """How many parts there are."""
        return -(-self.samples // self.unit)


def find_parts(built: Sequence[Built], fixed: Collection[int]) -> Parts | None:
    """Which samples there are, if chains of kernels for some of them may pay.

    Args:
        built: kernels, each with the values in its buffers.
        fixed: the ids of values that are not made and used up in the program.
    """
    made: dict[int, Value] = {}
    for kernel, values in built:
        for stage in getattr(kernel, "stages", ()):
            if isinstance(stage, Write) and id(values[stage.buffer]) not in fixed:
                made[id(values[stage.buffer])] = values[stage.buffer]
    sizes: dict[int, int] = {}
    for value in made.values():
        if value.spec.ndim > 1:
            count = value.spec.shape[0]
            sizes[count] = sizes.get(count, 0) + value.spec.nbytes
    samples = max(sizes, key=lambda count: (sizes[count], count), default=0)
    if not samples or sizes[samples] < LEAST_BYTES:
        return None
    products = [v for kernel, v in built if isinstance(kernel, ContractKernel)]
    if max((_touched(v, samples) for v in products), default=0) < LEAST_TOUCHED:
        return None
    most = max(_touched(values, samples) for _, values in built)
    threads = default_threads()
    fits = PART_BYTES * samples // max(most, 1)
    parts = Parts(samples, max(1, min(fits, samples // (PARTS_OF_A_THREAD * threads))))
    even = parts.count >= PARTS_OF_A_THREAD * threads or parts.count % threads == 0
    return parts if even and parts.count > threads else None


def _touched(values: Sequence[Value], samples: int) -> int:
    """Bytes of the values that have as many samples."""
    return sum(
        value.spec.nbytes
        for value in values
        if value.spec.ndim > 1 and value.spec.shape[0] == samples
    )


def cut_by_samples(kernel: Kernel, parts: Parts) -> LoopKernel | ContractKernel | None:
    """The kernel, shared by parts of its first axis; None where it cannot be."""
    if not isinstance(kernel, LoopKernel | ContractKernel):
        return None
    if isinstance(kernel, LoopKernel) and not kernel.rows and kernel.lane is None:
        return None
    axis = first_axis(kernel)
    if not axis.extent or axis.extent % parts.samples:
        return None
    piece = parts.unit * (axis.extent // parts.samples)
    cut = replace(kernel, piece=piece)
    if isinstance(cut, ContractKernel):
        return cut if axis is not cut.m or _repays(cut, piece) else None
    if not cut.rows and piece % lanes_for(cut, host_target()):
        return None
    return cut


def _repays(kernel: ContractKernel, rows: int) -> bool:
    """Whether so many rows of a product are worth reading the right operand."""
    return rows >= FEW_ROWS or math.prod(kernel.sums) * kernel.n.extent <= LITTLE


@dataclass(frozen=True)
class Link:
    """What a kernel of a chain touches.

    Attributes:
        own: bytes that belong to samples.
        shared: bytes that all samples read.
    """

    own: int
    shared: int


def chain_lengths(
    links: Sequence[Link | None], barriers: Sequence[bool], parts: Parts | None
) -> list[int]:
    """For each kernel, how many from it on make a chain: 1 for itself alone.

    Args:
        links: of kernels in order; None for those that are not shared by samples.
        barriers: before which of them threads wait for one another.
        parts: how samples are cut; None where they are not.
    """
    lengths = [1] * len(links)
    place = 0
    while parts and place < len(links):
        end = place + 1
        if _gains(links[place], parts):
            while end < len(links) and not barriers[end] and _gains(links[end], parts):
                end += 1
        lengths[place] = end - place
        place = end
    return lengths


def _gains(link: Link | None, parts: Parts) -> bool:
    """Whether a kernel finds more in the caches than it reads again for every part."""
    return link is not None and link.own >= REPAID * link.shared * parts.count
