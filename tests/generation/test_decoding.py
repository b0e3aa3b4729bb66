"""The native loop: equal to steps taken one by one, however tokens are cut."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.generation import Decoder, GreedySampler, Order, Sampler, decoding
from chainrule.generation.sampling import choose, keys_of, step_keys
from chainrule.generation.steps import put_rows, take_rows
from tests.generation.networks import (
    KEY,
    LENGTH,
    VOCABULARY,
    recurrent,
    run_all,
    whole_steps,
)

PROMPTS = [[1], [2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2, 3], [3, 3, 9]]


def one_by_one(
    network: Any, prompt: list[int], sample: int, sampler: Sampler, most: int
) -> list[int]:
    """The definition: the last tokens in, the logits of the last one out, a draw."""
    tokens = list(prompt)
    numbers = sampler.numbers()
    keys = cr.asarray(keys_of(KEY, [sample]))
    for number in range(most):
        logits = network(np.array([tokens[-LENGTH:]], np.int32))[:, -1]
        seen = np.zeros((1, VOCABULARY), bool)
        seen[0, tokens] = True
        key = step_keys(keys, cr.asarray(np.int64(number)))
        penalised = cr.asarray(seen) if sampler.penalised else None
        token = choose(logits, sampler, numbers, key, penalised)
        tokens.append(int(token.numpy()[0]))
    return tokens[len(prompt) :]


@pytest.mark.parametrize(
    "sampler",
    [GreedySampler(), Sampler(), Sampler(0.7, 4, 0.9, 1.3), Sampler(1.5, top_p=0.8)],
    ids=str,
)
def test_the_loop_makes_what_single_steps_make(sampler: Sampler) -> None:
    network = recurrent()
    found = run_all(
        Decoder(whole_steps(network)), PROMPTS, [0, 1, 2], 14, sampler, slide=1
    )
    for sample, prompt in enumerate(PROMPTS):
        assert found[sample] == one_by_one(network, prompt, sample, sampler, 14)


def test_the_reference_backend_makes_the_same() -> None:
    steps = whole_steps()
    native = run_all(Decoder(steps), PROMPTS, most=6)
    assert run_all(Decoder(steps, "interpret"), PROMPTS, most=6) == native


def test_neither_the_batch_nor_the_pieces_change_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoder = Decoder(whole_steps())
    together = run_all(decoder, PROMPTS, [0, 1, 2])
    alone = [run_all(decoder, [p], [i])[0] for i, p in enumerate(PROMPTS)]
    assert together == alone
    monkeypatch.setattr(decoding, "FIRST", 1)
    monkeypatch.setattr(decoding, "LOOK_IN", 0.0)  # a token a piece
    assert run_all(decoder, PROMPTS, [0, 1, 2]) == together


def test_samples_and_keys_differ() -> None:
    decoder = Decoder(whole_steps())
    first, second, again = run_all(decoder, [[1]] * 3, [0, 1, 0])
    assert first == again != second
    other = run_all(decoder, [[1]], key=np.array([6, 0], np.uint32))
    assert other != [first]


def test_a_sequence_ends_before_a_stop() -> None:
    decoder = Decoder(whole_steps())
    free = run_all(decoder, PROMPTS, [0, 1, 2])
    stop = free[0][5]
    found = run_all(decoder, PROMPTS, [0, 1, 2], stops=(stop,))
    for tokens, whole in zip(found, free, strict=True):
        end = whole.index(stop) if stop in whole else len(whole)
        assert tokens == whole[:end]
    assert len(found[0]) <= 5


def test_the_end_of_each_sequence_is_told_once() -> None:
    decoder = Decoder(whole_steps())
    told = list(decoder.run(PROMPTS, [0, 0, 0], Order(9, Sampler(), KEY, 2)))
    ends = [each.row for news in told for each in news if each.ended]
    assert sorted(ends) == [0, 1, 2]
    assert list(decoder.run([[1]], [0], Order(0, Sampler(), KEY, 2))) == []


def test_two_runs_of_one_decoder_do_not_disturb_each_other() -> None:
    decoder = Decoder(whole_steps())
    expected = run_all(decoder, [[1]]), run_all(decoder, [[2], [4]])
    order = Order(20, Sampler(), KEY, 2)
    runs = [decoder.run([[1]], [0], order), decoder.run([[2], [4]], [0, 0], order)]
    found: tuple[list[list[int]], ...] = ([[]], [[], []])
    for pieces in zip_longest(*runs, fillvalue=()):  # by turns
        for target, news in zip(found, pieces, strict=True):
            for each in news:
                target[each.row] += each.tokens
    assert found == expected


def test_new_weights_are_used_at_once() -> None:
    network = recurrent()
    decoder = Decoder(whole_steps(network))
    before = run_all(decoder, [[1]], sampler=GreedySampler())
    for variable in network.trainable_variables:
        variable.assign(variable.value * -1.0)
    after = run_all(decoder, [[1]], sampler=GreedySampler())
    fresh = Decoder(whole_steps(network))
    assert before != after == run_all(fresh, [[1]], sampler=GreedySampler())


def test_states_of_sequences_are_taken_and_put() -> None:
    state = {"a": np.arange(12.0).reshape(6, 2), "b": np.arange(3)}
    taken = take_rows(state, np.array([2, 0]), 3)
    assert taken["a"].tolist() == [[8, 9], [10, 11], [0, 1], [2, 3]]
    assert taken["b"].tolist() == [2, 0]
    new = put_rows(state, [2, 0], taken, 3)
    assert all((new[name] == state[name]).all() for name in state)
    changed = put_rows(state, [1], take_rows(state, np.array([2]), 3), 3)
    assert changed["a"].tolist() == [[0, 1], [2, 3], [8, 9], [10, 11], [8, 9], [10, 11]]
    assert state["a"][2].tolist() == [4, 5]
