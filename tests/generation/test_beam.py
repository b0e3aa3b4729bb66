"""Beam search against looking at every sequence."""

import itertools
import math

import numpy as np
import pytest

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.generation.beam import (
    BeamSearch,
    beam_search,
    length_penalty,
    likeliest,
)
from tests.generation.networks import recurrent, whole_steps

START, END, WORDS = 0, 1, 4


class Remembering:
    """A model whose next token depends on all tokens before, through a number."""

    length, vocabulary = 12, WORDS

    def __init__(self, seed, kinds=37, spread=1.5):
        random = np.random.default_rng(seed)
        self.table = random.normal(size=(kinds, WORDS)).astype("float32") * spread
        self.kinds = kinds

    def begin(self, tokens, lengths):
        state = np.zeros(len(tokens), np.int32)
        for row, length in enumerate(lengths):
            for token in tokens[row, :length]:
                state[row] = self.after(state[row], token)
        return {"seen": state}

    def after(self, seen, token):
        return (seen * 5 + token + 1) % self.kinds

    def step(self, state, tokens):
        seen = functional.remainder(state["seen"] * 5 + tokens + 1, self.kinds)
        logits = functional.take(functional.asarray(self.table), seen, axis=0)
        return logits, {"seen": seen}

    def log_probability(self, prompt, tokens):
        """Of the tokens behind the prompt."""
        seen = total = 0
        for token in prompt:
            seen = self.after(seen, token)
        for token in tokens:
            row = self.table[seen].astype(float)
            total += row[token] - np.log(np.exp(row).sum())
            seen = self.after(seen, token)
        return total


def every_sequence(model, prompt, most, alpha):
    """All that end within `most` tokens, the best first: `(score, tokens)`."""
    words = [word for word in range(WORDS) if word != END]
    found = []
    for length in range(most):
        for tokens in itertools.product(words, repeat=length):
            total = model.log_probability(prompt, [*tokens, END])
            found.append((total / length_penalty(length + 1, alpha), list(tokens)))
    return sorted(found, key=lambda each: -each[0])


PROMPTS = [[START], [START, 2], [START, 3, 3, 2]]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("beams", "alpha"), [(9, 0.0), (9, 0.6), (9, -0.5), (13, 1.5)])
def test_wide_beams_find_what_every_sequence_would_give(seed, beams, alpha):
    model, most = Remembering(seed), 3
    found = beam_search(model, PROMPTS, END, most, beams=beams, alpha=alpha, n_best=5)
    for prompt, best in zip(PROMPTS, found, strict=True):
        expected = every_sequence(model, prompt, most, alpha)[:5]
        assert [each.tokens for each in best] == [tokens for _, tokens in expected]
        scores = [each.score for each in best]
        assert scores == pytest.approx([score for score, _ in expected], rel=1e-4)
        assert all(each.ended for each in best)


@pytest.mark.parametrize("beams", [1, 2, 3, 5])
def test_numbers_are_those_of_the_sequences(beams):
    model = Remembering(1)
    for prompt, best in zip(
        PROMPTS, beam_search(model, PROMPTS, END, 8, beams, n_best=beams), strict=True
    ):
        assert best
        for each in best:
            tokens = [*each.tokens, END] if each.ended else each.tokens
            total = model.log_probability(prompt, tokens)
            assert each.log_probability == pytest.approx(total, rel=1e-4)
            penalty = length_penalty(len(tokens), 0.6)
            assert each.score == pytest.approx(total / penalty, rel=1e-4)
        ended = [each.score for each in best if each.ended]
        assert ended == sorted(ended, reverse=True)


def greedy(model, prompt, most):
    tokens = []
    for _ in range(most):
        following = [
            model.log_probability(prompt, [*tokens, word]) for word in range(WORDS)
        ]
        token = int(np.argmax(following))
        if token == END:
            return tokens, True
        tokens.append(token)
    return tokens, False


@pytest.mark.parametrize("seed", range(3))
def test_one_beam_follows_the_likeliest_token(seed):
    # where the likeliest token is no end, ending there would still be a candidate:
    # a strong preference for the likeliest makes both the same
    model = Remembering(seed, spread=30)
    for prompt, (best,) in zip(
        PROMPTS, beam_search(model, PROMPTS, END, 7, beams=1, alpha=0.0), strict=True
    ):
        tokens, ended = greedy(model, prompt, 7)
        if ended:
            assert (best.tokens, best.ended) == (tokens, ended)


def test_more_beams_never_find_worse_ones_than_one():
    for seed in range(3):
        model = Remembering(seed)
        one = beam_search(model, [[START]], END, 8, beams=1)[0][0]
        many = beam_search(model, [[START]], END, 8, beams=8)[0][0]
        assert not one.ended or many.score >= one.score - 1e-5


def test_sequences_do_not_depend_on_their_batch():
    model = Remembering(5)
    alone = [beam_search(model, [prompt], END, 8, 3, n_best=2)[0] for prompt in PROMPTS]
    assert beam_search(model, PROMPTS, END, 8, 3, n_best=2) == alone


def test_without_an_end_sequences_are_cut_short():
    model = Remembering(0)
    model.table[:, END] = -np.inf
    (best,) = beam_search(model, [[START]], END, 5, beams=3, n_best=3)
    assert [len(each.tokens) for each in best] == [5, 5, 5]
    assert not any(each.ended for each in best)
    assert len({tuple(each.tokens) for each in best}) == 3


def test_an_end_at_once_is_an_empty_sequence():
    model = Remembering(0)
    model.table[:, END] = 50.0
    (best,) = beam_search(model, [[START]], END, 5, beams=2)
    assert best[0].tokens == []
    assert best[0].ended


def test_parts_that_beams_share_are_not_moved():
    model = Remembering(3)

    def step(state, tokens):
        logits, after = model.step(state, tokens)
        return logits + state["source"], {**after, "source": state["source"]}

    source = np.random.default_rng(0).normal(size=(2, WORDS)).astype("float32")
    state = {"seen": np.zeros(2, np.int32), "source": source}
    starts = np.zeros(2, np.int32)
    found = [
        BeamSearch(step, 4, shared).run(state, starts, END, 8, n_best=3)
        for shared in ((), ("source",))
    ]
    assert found[0] == found[1]


def test_nothing_to_search_for():
    assert beam_search(Remembering(0), [], END, 5) == []


@pytest.mark.parametrize(
    "options",
    [
        {"beams": 0},
        {"most": 0},
        {"n_best": 5},
        {"prompts": [[]]},
        {"most": 13},
        {"beams": 1.5},
    ],
)
def test_arguments(options):
    given = {"prompts": [[START]], "most": 4, **options}
    with pytest.raises(ArgumentError):
        beam_search(Remembering(0), end=END, **given)


def test_likeliest_of_few():
    logs = functional.asarray([[1.0, -math.inf]])
    values, places = likeliest(logs, functional.arange(2, dtype="int32"), 2)
    assert values.tolist() == [[1.0, -math.inf]]
    assert places.tolist()[0][0] == 0


def test_without_an_end_the_likeliest_of_a_length_are_found() -> None:
    network = recurrent()
    steps = whole_steps(network)
    (found,) = beam_search(steps, [[1, 2]], end=-1, most=3, beams=11**2, n_best=2)
    scores = {}
    for made in itertools.product(range(11), repeat=3):
        tokens = np.array([[1, 2, *made]], np.int32)
        logits = network(tokens).numpy()[0]
        logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        scores[made] = float(sum(logs[1 + i, token] for i, token in enumerate(made)))
    best = sorted(scores, key=lambda made: -scores[made])[:2]
    assert [tuple(each.tokens) for each in found] == best
    assert not any(each.ended for each in found)
    assert found[0].log_probability == pytest.approx(scores[best[0]], abs=1e-4)
