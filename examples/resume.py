"""Kill a run of training in the middle, take it up again, and compare the bits.

    python examples/resume.py [--epochs 20] [--rows 20000]

The run is a process of its own, which is killed without warning. Started again with the
same folder, it goes on from its last checkpoint. At the end its weights are those of a
run that nobody killed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import chainrule
from chainrule.callbacks import EarlyStopping
from chainrule.layers import Dense, Dropout


def train(rows: int, epochs: int, folder: Path | None, weights: Path) -> None:
    """Train on numbers that are always the same, and keep the weights."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 10)).astype(np.float32)
    y = np.sin(x[:, 0]) * x[:, 1] + 0.1 * rng.normal(size=rows).astype(np.float32)
    chainrule.set_seed(0)
    model = chainrule.Sequential(
        [Dense(64, "relu", input_shape=(10,)), Dropout(0.1), Dense(1)]
    )
    model.compile("adam", "mse")
    history = model.fit(
        x,
        y,
        epochs=epochs,
        validation_split=0.2,
        callbacks=[EarlyStopping(patience=5, restore_best_weights=True)],
        resume=folder,
        checkpoint_every=0.2,
        verbose=0,
    )
    print(f"  {history}", flush=True)
    np.savez(weights, *model.get_weights())


def start(*arguments: Any) -> multiprocessing.process.BaseProcess:
    """Train in a process of its own."""
    processes = multiprocessing.get_context("spawn")
    process = processes.Process(target=train, args=arguments)
    process.start()
    return process


def main() -> None:
    """Train once in one go, once with an end in the middle."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rows", type=int, default=20_000)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    run, whole, resumed = folder / "run", folder / "whole.npz", folder / "resumed.npz"

    print("one run to its end:")
    start(given.rows, given.epochs, None, whole).join()

    print("the same run, killed after its first checkpoints:")
    process = start(given.rows, given.epochs, run, resumed)
    while process.is_alive() and not (run / "checkpoints/00000001.checkpoint").exists():
        time.sleep(0.001)
    process.kill()
    process.join()
    print(f"  exit code {process.exitcode}")

    print("and started again:")
    start(given.rows, given.epochs, run, resumed).join()
    pairs = zip(np.load(whole).values(), np.load(resumed).values(), strict=True)
    print(f"equal to the last bit: {all(a.tobytes() == b.tobytes() for a, b in pairs)}")


if __name__ == "__main__":
    main()
