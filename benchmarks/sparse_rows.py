"""A step of a classifier of words, by the size of its vocabulary.

    python -m benchmarks.sparse_rows SYSTEM ROWS [--dense] [--single]

The network is an embedding of ROWS x 64, the mean over the words of a text, and a
layer of 4 classes; a step takes 32 texts of 64 words, forward, backward and update,
with Adam, or with what each system moves rows of embeddings by. SYSTEM is `chainrule`
or `torch`. What is written are milliseconds of a step: the median of several stretches.
With `--single` chainrule takes its steps by `train_on_batch`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

WIDTH, CLASSES, BATCH, LENGTH = 64, 4, 32, 64
STRETCHES, SECONDS = 7, 0.4  # stretches of steps, and how long each lasts
Steps = Callable[[int], None]


def texts(rows: int, batches: int = 32) -> tuple[Any, Any]:
    """Words and classes, without any sense in them."""
    random = np.random.default_rng(0)
    words = random.integers(0, rows, (batches * BATCH, LENGTH))
    return words.astype("int32"), random.integers(0, CLASSES, len(words))


def steps_of_chainrule(rows: int, sparse: bool, single: bool = False) -> Steps:
    """A function that takes so many steps."""
    import chainrule as cr  # noqa: PLC0415 - peers run where it is not installed

    layers = cr.layers
    model = cr.Sequential(
        [
            layers.Input((LENGTH,), dtype="int32"),
            layers.Embedding(rows, WIDTH, sparse=sparse),
            layers.GlobalAveragePooling1D(),
            layers.Dense(CLASSES, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    words, classes = texts(rows)
    model.train_on_batch(words[:BATCH], classes[:BATCH])
    if single:
        return lambda count: _take_singly(model, words, classes, count)
    loop, store = model._runtime.train, model._runtime.store
    data = {"x": words, "y": classes.astype("int32")}
    loop.begin(store.training(cr.random.key(0), cr.asarray(0)), data)

    def take(count: int) -> None:
        loop.run(np.arange(count * BATCH) % len(words), BATCH)

    return take


def _take_singly(model: Any, words: Any, classes: Any, count: int) -> None:
    for number in range(count):
        start = number * BATCH % len(words)
        chosen = slice(start, start + BATCH)
        model.train_on_batch(words[chosen], classes[chosen])


def steps_of_torch(rows: int, sparse: bool, single: bool = False) -> Steps:
    """The same with PyTorch: `SparseAdam`, or fused Adam."""
    import torch  # noqa: PLC0415 - only where PyTorch is measured

    torch.set_num_threads(2)
    table = torch.nn.Embedding(rows, WIDTH, sparse=sparse)
    dense = torch.nn.Linear(WIDTH, CLASSES)
    others = [*dense.parameters()]
    if sparse:
        optimizers = [
            torch.optim.SparseAdam([*table.parameters()]),
            torch.optim.Adam(others, fused=True),
        ]
    else:
        optimizers = [torch.optim.Adam([*table.parameters(), *others], fused=True)]
    words, classes = (torch.from_numpy(x.astype("int64")) for x in texts(rows))
    state = {"start": 0}

    def take(count: int) -> None:
        for _ in range(count):
            start = state["start"]
            chosen = slice(start, start + BATCH)
            scores = dense(table(words[chosen]).mean(1))
            loss = torch.nn.functional.cross_entropy(scores, classes[chosen])
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            state["start"] = (start + BATCH) % len(words)

    return take


SYSTEMS = {"chainrule": steps_of_chainrule, "torch": steps_of_torch}


def measure(take: Steps, stretches: int = STRETCHES, seconds: float = SECONDS) -> float:
    """Milliseconds of a step, after the first ones."""
    take(3)
    begun = time.perf_counter()
    take(3)
    count = max(1, int(seconds * 3 / (time.perf_counter() - begun)))
    found = []
    for _ in range(stretches):
        begun = time.perf_counter()
        take(count)
        found.append((time.perf_counter() - begun) / count * 1e3)
    return statistics.median(found)


def main(arguments: Sequence[str]) -> None:
    """Measure what the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sparse_rows")
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("rows", type=int)
    parser.add_argument("--dense", action="store_true")
    parser.add_argument("--single", action="store_true")
    given = parser.parse_args(arguments)
    make = SYSTEMS[given.system]
    milliseconds = measure(make(given.rows, not given.dense, given.single))
    kind = "all rows" if given.dense else "rows used"
    kind += ", single batches" if given.single else ""
    print(f"{given.system} {given.rows} {kind}: {milliseconds:.3f} ms")


if __name__ == "__main__":
    main(sys.argv[1:])
