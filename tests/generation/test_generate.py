"""`generate`, `stream` and text: what users call."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers
from chainrule.errors import ArgumentError
from chainrule.generation import Sampler, TextGenerator, generate, stream
from chainrule.generation.text import _until
from chainrule.text import Tokenizer, keep_tokenizer
from tests.generation.networks import LENGTH, VOCABULARY, recurrent
from tests.generation.test_cached import gpt

TEXT = "naïve 東京 🙂 text, to be or not to be\n"


def test_one_prompt_several_and_samples() -> None:
    model = gpt()
    one = generate(model, [1, 2], 9, seed=4)
    assert len(one) == 9
    assert generate(model, np.array([1, 2]), 9, seed=4) == one
    assert generate(model, cr.asarray([1, 2]), 9, seed=4) == one
    assert generate(model, [[1, 2]], 9, seed=4) == [one]
    several = generate(model, [[1, 2], [3], [4] * 30], 9, seed=4)
    assert several[0] == one
    assert several[2] == generate(model, [4] * 30, 9, seed=4)
    samples = generate(model, [1, 2], 9, seed=4, samples=3)
    assert samples[0] == one
    assert len({tuple(sample) for sample in samples}) == 3
    both = generate(model, [[3], [1, 2]], 9, seed=4, samples=3)
    assert both[1] == samples
    assert generate(model, [[3], [1, 2]], 9, seed=4, samples=3, batch_size=2) == both
    assert list(stream(model, [1, 2], 9, seed=4)) == one
    assert generate(model, [1, 2], 0, seed=4) == []
    assert generate(model, np.zeros((0, 3), int), 4) == []


def test_seeds() -> None:
    model = gpt()
    assert generate(model, [1], 20, seed=1) != generate(model, [1], 20, seed=2)
    cr.set_seed(8)
    first = [generate(model, [1], 20), generate(model, [1], 20)]
    cr.set_seed(8)
    assert [generate(model, [1], 20), generate(model, [1], 20)] == first
    assert first[0] != first[1]


def test_an_empty_prompt_begins_with_a_token_that_is_named() -> None:
    model = gpt()
    assert generate(model, [], 9, seed=0, start_id=5) == generate(model, [5], 9, seed=0)
    with pytest.raises(ArgumentError, match="no token to begin with"):
        generate(model, [], 9)


def test_a_window_that_slides_by_one_sees_the_last_tokens() -> None:
    model = gpt()
    for prompt in ([1], list(range(10)) * 2):
        tokens = list(prompt)
        for _ in range(2 * LENGTH):
            logits = model(np.array([tokens[-LENGTH:]], np.int32))
            tokens.append(int(np.argmax(logits.numpy()[0, -1])))
        found = generate(model, prompt, 2 * LENGTH, temperature=0, slide=1)
        assert found == tokens[len(prompt) :]


def test_models_without_an_end_or_caches() -> None:
    model = recurrent()
    found = generate(model, [1, 2], 300, temperature=0)
    tokens = [1, 2]
    for _ in range(20):
        logits = model(np.array([tokens], np.int32))
        tokens.append(int(np.argmax(logits.numpy()[0, -1])))
    assert found[:20] == tokens[2:]
    assert generate(model, [1, 2], 9, temperature=0, length=4) != []


def test_a_subclass_generates() -> None:
    class Own(cr.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = recurrent()

        def call(self, inputs: Any) -> Any:
            return self.inner(inputs)

    expected = generate(recurrent(), [1, 2], 9, seed=0, length=8)
    assert generate(Own(), [1, 2], 9, seed=0, length=8) == expected


def test_a_model_that_was_used_can_be_freed_and_is_compiled_once() -> None:
    model = gpt()
    generate(model, [1], 3)
    found = weakref.ref(model)
    del model
    gc.collect()
    assert found() is None


def test_new_weights_count() -> None:
    model = gpt()
    before = generate(model, [1], 12, temperature=0)
    weights = [-weight for weight in model.get_weights()]
    model.set_weights(weights)
    other = gpt()
    other.set_weights(weights)
    after = generate(model, [1], 12, temperature=0)
    assert after == generate(other, [1], 12, temperature=0) != before


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        ([1, VOCABULARY], {}, "knows no such token"),
        ([-1], {}, "knows no such token"),
        ([0.5], {}, "a list of whole numbers"),
        ([[1, 2], 3], {}, "a list of whole numbers"),
        ([1], {"stop_ids": [99]}, "knows no such token"),
        ([1], {"max_tokens": -1}, "max_tokens is a whole number"),
        ([1], {"max_tokens": 1.5}, "max_tokens is a whole number"),
        ([1], {"samples": 0}, "samples is a whole number"),
        ([1], {"slide": LENGTH + 1}, "slide is a whole number"),
        ([1], {"length": LENGTH + 1}, "length is a whole number"),
        ([1], {"seed": -1}, "seed is a whole number"),
        ([1], {"sampler": Sampler(), "top_k": 3}, "give a Sampler"),
        ([1], {"sampler": "greedy"}, "give a Sampler"),
        ([1], {"temperature": -1}, "no temperature"),
    ],
)
def test_what_cannot_be_is_refused(prompt: Any, options: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        generate(gpt(), prompt, **options)


def test_models_of_another_kind_are_refused() -> None:
    last = cr.Sequential(
        [layers.Input((4,), dtype="int32"), layers.Embedding(5, 3), layers.GRU(5)]
    )
    with pytest.raises(ArgumentError, match="logits of the next token at every place"):
        generate(last, [1])


def test_options_of_samplers_are_those_of_generate() -> None:
    model = gpt()
    sampler = Sampler(0.8, 4, 0.9, 1.1)
    named = generate(
        model,
        [1],
        30,
        seed=0,
        temperature=0.8,
        top_k=4,
        top_p=0.9,
        repetition_penalty=1.1,
    )
    assert generate(model, [1], 30, seed=0, sampler=sampler) == named


# ---- text ----------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["characters", "byte_pair"])
def writer(request: Any) -> TextGenerator:
    """A model of a text with long characters, and its tokenizer."""
    options: Any = {} if request.param == "characters" else {"vocabulary_size": 280}
    tokenizer = Tokenizer.train([TEXT * 3], kind=request.param, **options)
    model = gpt(16, tokenizer.vocabulary_size)
    keep_tokenizer(model, tokenizer)
    return TextGenerator(model)


def test_pieces_joined_are_the_text(writer: TextGenerator) -> None:
    for seed in range(3):
        whole = writer.generate("to be", 60, seed=seed)
        pieces = list(writer.stream("to be", 60, seed=seed))
        assert "".join(pieces) == whole
        assert all(pieces)
    several = writer.generate(["to be", "", "東京"], 20, seed=1)
    assert several[2] == writer.generate("東京", 20, seed=1)
    assert len(writer.generate("to", 5, seed=0, samples=2)) == 2


def test_text_ends_before_a_stop(writer: TextGenerator) -> None:
    whole = writer.generate("to be", 60, seed=1)
    stop = whole[7:9]
    expected = whole[: whole.index(stop)]
    assert writer.generate("to be", 60, seed=1, stop=stop) == expected
    assert "".join(writer.stream("to be", 60, seed=1, stop=[stop])) == expected
    with pytest.raises(ArgumentError, match="a stop is a text"):
        writer.generate("to be", 5, stop=[""])


@pytest.mark.parametrize("size", [1, 2, 3, 5, 50])
def test_stops_are_found_however_text_is_cut(size: int) -> None:
    text = "aabaabaaabaab the end"
    for stops in (["aaab"], ["ab a", "the"], ["end!"], []):
        pieces = (text[i : i + size] for i in range(0, len(text), size))
        ends = [text.index(stop) for stop in stops if stop in text]
        assert "".join(_until(pieces, stops)) == text[: min(ends, default=len(text))]


def test_a_prompt_that_is_no_text_is_refused(writer: TextGenerator) -> None:
    with pytest.raises(ArgumentError, match="a prompt is a text"):
        writer.generate([3])  # type: ignore[list-item]
