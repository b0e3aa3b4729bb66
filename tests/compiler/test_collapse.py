"""Loops of a product that become its rows, with all that is read beside them."""

from __future__ import annotations

import numpy as np

import chainrule
from tests.tolerances import assert_compiled


def test_rows_looked_up_beside_a_product_follow_its_joined_rows() -> None:
    random = np.random.default_rng(3)
    table = random.normal(size=(7, 24)).astype(np.float32)
    words = random.integers(0, 7, (3, 5)).astype(np.int32)
    heads = random.normal(size=(3, 5, 2, 6)).astype(np.float32)
    kernel = random.normal(size=(12, 24)).astype(np.float32)

    def step(table: object, words: object, heads: object, kernel: object) -> object:
        rows = chainrule.take(table, words, axis=0)
        turned = chainrule.permute_dims(heads, (0, 1, 3, 2))
        return rows + chainrule.reshape(turned, (3, 5, 12)) @ kernel

    given = [chainrule.asarray(x) for x in (table, words, heads, kernel)]
    expected = chainrule.jit(step, backend="interpret")(*given)
    assert_compiled(chainrule.jit(step)(*given).numpy(), expected.numpy(), "step")
