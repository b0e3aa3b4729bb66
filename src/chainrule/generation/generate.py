"""Tokens from a model: `generate` and `stream`."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import numpy as np

from chainrule import layers
from chainrule.errors import ArgumentError
from chainrule.functional import random
from chainrule.generation.cached import CachedSteps, can_step, parts_of
from chainrule.generation.decoding import Decoder, Order
from chainrule.generation.sampling import Sampler
from chainrule.generation.steps import Steps
from chainrule.generation.whole import WholeSteps

UNBOUNDED = 256  # tokens that a model sees which could see any number
AT_ONCE = 64  # sequences of a batch


class Options(TypedDict, total=False):
    """How tokens are made.

    Attributes:
        temperature: see `Sampler`; 1 by default, 0 for the likeliest token always.
        top_k: see `Sampler`.
        top_p: see `Sampler`.
        repetition_penalty: see `Sampler`.
        sampler: a `Sampler`, instead of these four.
        seed: the same seed makes the same tokens, whatever else is made beside them;
            None draws one from the global stream (`chainrule.set_seed`).
        stop_ids: numbers of tokens before which a sequence ends.
        start_id: the token that an empty prompt begins with.
        length: how many tokens the model sees at most; found where it has an end.
        slide: by how many tokens what the model sees moves on where it is full; half
            of `length` by default, so that it sees between half of it and all. With 1
            it sees the last `length` tokens always, and reads them all for each token.
    """

    temperature: float
    top_k: int | None
    top_p: float | None
    repetition_penalty: float
    sampler: Sampler | None
    seed: int | None
    stop_ids: Sequence[int]
    start_id: int | None
    length: int | None
    slide: int | None


def generate(
    model: Any,
    prompts: Any,
    max_tokens: int = 100,
    *,
    samples: int = 1,
    batch_size: int = AT_ONCE,
    **options: Unpack[Options],
) -> list[Any]:
    """Tokens that a language model puts behind prompts.

    The model gives for tokens `(n, t)` the logits of the next one at each place,
    `(n, t, vocabulary)`, and looks at none behind it. Transformers of the layers
    `TransformerDecoder` keep keys and values; any other model is computed anew for
    every token.

    Of a prompt that is longer than what the model sees, the last tokens are read.

    Args:
        model: see above.
        prompts: the numbers of tokens of one prompt, or a list of several prompts,
            which need not be equally long.
        max_tokens: how many new ones are made at most.
        samples: how many continuations of each prompt.
        batch_size: how many sequences are made at once; it changes no token.
        **options: see `Options`.

    Returns:
        The new tokens of one prompt, without it; of several prompts a list with those
        of each. With more than one sample, a list of samples in the place of each.

    Raises:
        ArgumentError: for numbers that are no tokens, an empty prompt without
            `start_id`, and a model that gives something else.

    Example:
        >>> from chainrule.applications import GPT
        >>> model = GPT(vocabulary_size=10, length=16, layers=1, heads=2, width=8)
        >>> len(generate(model, [1, 2, 3], max_tokens=20, seed=0))
        20
    """
    single, rows = _read_prompts(prompts)
    _check_count("samples", samples, 1)
    _check_count("batch_size", batch_size, 1)
    task = _Task.of(model, rows, max_tokens, options)
    wanted = [(row, sample) for row in range(len(rows)) for sample in range(samples)]
    made: list[list[int]] = []
    for first in range(0, len(wanted), batch_size):
        group = wanted[first : first + batch_size]
        found: list[list[int]] = [[] for _ in group]
        given = [task.prompts[row] for row, _ in group]
        for news in task.decoder.run(given, [n for _, n in group], task.order):
            for each in news:
                found[each.row] += each.tokens
        made += found
    if samples > 1:
        nested: Any = [made[i : i + samples] for i in range(0, len(made), samples)]
    else:
        nested = made
    result: list[Any] = nested[0] if single else nested
    return result


def stream(
    model: Any, prompt: Any, max_tokens: int = 100, **options: Unpack[Options]
) -> Iterator[int]:
    """The tokens of `generate` for one prompt, as they are made.

    Args:
        model: see `generate`.
        prompt: the numbers of its tokens.
        max_tokens: how many are made at most.
        **options: see `Options`.

    Example:
        >>> from chainrule.applications import GPT
        >>> model = GPT(vocabulary_size=10, length=16, layers=1, heads=2, width=8)
        >>> tokens = stream(model, [1, 2, 3], max_tokens=20, seed=0)
        >>> list(tokens) == generate(model, [1, 2, 3], max_tokens=20, seed=0)
        True
    """
    single, rows = _read_prompts(prompt)
    if not single:
        raise ArgumentError(
            "a stream has one prompt", where="prompt", got=f"{len(rows)} prompts"
        )
    task = _Task.of(model, rows, max_tokens, options)

    def tokens() -> Iterator[int]:
        for news in task.decoder.run(task.prompts, [0], task.order):
            for each in news:
                yield from each.tokens

    return tokens()


@dataclass(frozen=True)
class _Task:
    """Everything that was asked for, checked."""

    decoder: Decoder
    prompts: list[list[int]]
    order: Order

    @classmethod
    def of(
        cls, model: Any, rows: list[list[int]], most: int, options: Options
    ) -> _Task:
        _check_count("max_tokens", most, 0)
        decoder = decoder_of(model, options.get("length"))
        steps = decoder.steps
        prompts = [_begun(row, options.get("start_id")) for row in rows]
        _check_tokens("prompts", [t for row in prompts for t in row], steps.vocabulary)
        stops = [int(token) for token in options.get("stop_ids", ())]
        _check_tokens("stop_ids", stops, steps.vocabulary)
        slide = options.get("slide")
        if slide is None:
            slide = max(1, steps.length // 2)
        _check_count("slide", slide, 1, steps.length)
        key = key_of(options.get("seed"))
        order = Order(most, _sampler(options), key, slide, frozenset(stops))
        return cls(decoder, prompts, order)


def key_of(seed: int | None) -> Any:
    """The random key of a seed; of None, the next of the global stream."""
    if seed is None:
        return random.next_key().numpy()
    _check_count("seed", seed, 0)
    return random.key(int(seed)).numpy()


def _sampler(options: Options) -> Sampler:
    names = "temperature", "top_k", "top_p", "repetition_penalty"
    own: Any = {
        name: value for name in names if (value := options.get(name)) is not None
    }
    found = options.get("sampler")
    if found is None:
        return Sampler(**own)
    if own or not isinstance(found, Sampler):
        raise ArgumentError(
            "give a Sampler, or what one is made of",
            where="sampler",
            got=", ".join([repr(found), *own]),
            fix="sampler=Sampler(temperature=0.8, top_k=40)",
        )
    return found


def _read_prompts(prompts: Any) -> tuple[bool, list[list[int]]]:
    """Whether it is one prompt, and the prompts as lists."""
    if hasattr(prompts, "numpy"):
        prompts = prompts.numpy()
    rows = list(prompts)
    single = not rows or not hasattr(rows[0], "__len__")
    if isinstance(prompts, np.ndarray):
        single = prompts.ndim == 1
    found = []
    for row in [rows] if single else rows:
        array = np.asarray(row)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise ArgumentError(
                "a prompt is a list of whole numbers",
                where="prompts",
                got=repr(row)[:60],
                fix="tokenizer.encode(text)",
            )
        found.append([int(token) for token in array])
    return single, found


def _begun(prompt: list[int], start: int | None) -> list[int]:
    if prompt:
        return prompt
    if start is None:
        raise ArgumentError(
            "there is no token to begin with",
            where="prompts",
            got="an empty prompt",
            fix="start_id=tokenizer.encode('\\n')[0]",
        )
    return [int(start)]


def _check_tokens(where: str, tokens: Sequence[int], vocabulary: int) -> None:
    wrong = [token for token in tokens if not 0 <= token < vocabulary]
    if wrong:
        raise ArgumentError(
            "the model knows no such token",
            where=where,
            got=wrong[0],
            expected=f"0 to {vocabulary - 1}",
        )


def _check_count(where: str, value: Any, least: int, most: int | None = None) -> None:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        raise ArgumentError(
            f"{where} is a whole number",
            where=where,
            got=repr(value),
            expected=f"{least} or more" if most is None else f"{least} to {most}",
        )


# ---- models --------------------------------------------------------------------------

_decoders: weakref.WeakKeyDictionary[Any, dict[Any, Decoder]] = (
    weakref.WeakKeyDictionary()
)


def decoder_of(model: Any, length: int | None = None) -> Decoder:
    """The decoder of a model, which is compiled once and kept as long as the model.

    Args:
        model: see `generate`.
        length: see `Options`.
    """
    kept = _decoders.setdefault(model, {})
    shape = length, *map(id, parts_of(model))
    if shape not in kept:
        kept.clear()
        kept[shape] = Decoder(steps_of(weakref.proxy(model), length))
    return kept[shape]


def steps_of(model: Any, length: int | None = None) -> Steps:
    """A model as `Steps`: with caches where that can be, else whole.

    Args:
        model: see `generate`.
        length: see `Options`.

    Raises:
        ArgumentError: when it does not give logits for every place.

    Example:
        >>> from chainrule.applications import GPT
        >>> steps = steps_of(GPT(10, 16, layers=1, heads=2, width=8))
        >>> type(steps).__name__, steps.length, steps.vocabulary
        ('CachedSteps', 16, 10)
    """
    most = _length_of(model)
    if length is not None:
        _check_count("length", length, 1, most)
    length = length or most or UNBOUNDED
    shape = _output_shape(model, length)
    if shape is None or len(shape) != 3 or shape[2] is None:
        raise ArgumentError(
            "a language model gives the logits of the next token at every place",
            where=str(model.name),
            got="several outputs" if shape is None else f"an output of shape {shape}",
            expected="(samples, tokens, vocabulary)",
            fix="return_sequences=True, and Dense(vocabulary) behind it",
        )
    if can_step(model):
        return CachedSteps(model, length, int(shape[2]))

    def network(tokens: Any) -> Any:
        return model(tokens, training=False)

    return WholeSteps(network, length, int(shape[2]))


def _output_shape(model: Any, length: int) -> tuple[Any, ...] | None:
    """The shape of the output; None where there are several."""
    symbols = getattr(model, "outputs", None)
    if symbols is None:
        made = model(np.zeros((1, length), np.int32), training=False)
        return tuple(made.shape) if hasattr(made, "shape") else None
    return tuple(symbols[0].shape) if len(symbols) == 1 else None


def _length_of(model: Any) -> int | None:
    """How many tokens a model sees; None where there is no end."""
    ends = [
        part.sequence_length
        for part in parts_of(model)
        if isinstance(
            part, (layers.PositionEmbedding, layers.TokenAndPositionEmbedding)
        )
    ]
    shape = model._sample_shape()
    if isinstance(shape, tuple) and len(shape) == 1 and shape[0] is not None:
        ends.append(shape[0])
    return min(ends) if ends else None
