"""Training of the rows that a batch used, against PyTorch's sparse gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers, optimizers
from tests.tolerances import PARITY, assert_close

torch = pytest.importorskip("torch")

WORDS, WIDTH, BATCH, STEPS = 30, 6, 8, 60
RANDOM = np.random.default_rng(4)
# some words are often there, and some seldom
IDS = (WORDS * RANDOM.random((STEPS * BATCH, 5)) ** 3).astype("int64")
TARGETS = RANDOM.normal(size=(STEPS * BATCH, WIDTH)).astype("float32")
TABLE = RANDOM.normal(size=(WORDS, WIDTH)).astype("float32")
PAIRS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "sgd": (
        lambda: optimizers.SGD(0.5),
        lambda p: torch.optim.SGD(p, lr=0.5),
    ),
    "adam": (
        lambda: optimizers.Adam(0.05, epsilon=1e-6),
        lambda p: torch.optim.SparseAdam(p, lr=0.05, eps=1e-6),
    ),
    # PyTorch adds epsilon outside of the root
    "adagrad": (
        lambda: optimizers.Adagrad(0.2, initial_accumulator_value=0.01, epsilon=1e-30),
        lambda p: torch.optim.Adagrad(
            p, lr=0.2, initial_accumulator_value=0.01, eps=1e-30
        ),
    ),
}


def by_torch(make: Callable[[Any], Any]) -> np.ndarray[Any, Any]:
    table = torch.nn.Embedding(WORDS, WIDTH, sparse=True)
    with torch.no_grad():
        table.weight.copy_(torch.from_numpy(TABLE))
    optimizer = make(table.parameters())
    for start in range(0, len(IDS), BATCH):
        optimizer.zero_grad()
        ids = torch.from_numpy(IDS[start : start + BATCH])
        targets = torch.from_numpy(TARGETS[start : start + BATCH])
        torch.nn.functional.mse_loss(table(ids).mean(1), targets).backward()
        optimizer.step()
    found: np.ndarray[Any, Any] = table.weight.detach().numpy()
    return found


@pytest.mark.filterwarnings("ignore::UserWarning")  # of PyTorch about sparse tensors
@pytest.mark.parametrize("name", PAIRS)
def test_vectors_are_those_of_pytorch(name: str) -> None:
    ours, theirs = PAIRS[name]
    model = cr.Sequential(
        [
            layers.Input((None,), dtype="int32"),
            layers.Embedding(WORDS, WIDTH, weights=TABLE, sparse=True),
            layers.GlobalAveragePooling1D(),
        ]
    )
    model.compile(ours(), "mse")
    model.fit(IDS, TARGETS, batch_size=BATCH, shuffle=False, verbose=0)
    assert_close(model.get_weights()[0], by_torch(theirs), PARITY)
