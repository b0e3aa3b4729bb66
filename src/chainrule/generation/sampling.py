"""How the next token is chosen from logits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.functional import random
from chainrule.functional.promotion import Tensor
from chainrule.ir.trace import constant

Array = np.ndarray[Any, Any]

FIX = "0 for the likeliest token always, 0.8 for a little less chance than there is"


@dataclass(frozen=True)
class Sampler:
    """How a token is drawn: what changes the probabilities, in this order.

    1. `repetition_penalty` r divides logits above 0 of tokens that were there already
       by r and multiplies those below (Keskar et al., "CTRL", arXiv 1909.05858).
    2. `temperature` t divides logits by t. 0 takes the likeliest token, with no chance.
    3. `top_k` keeps the k likeliest tokens (Fan, Lewis, Dauphin, ACL 2018).
    4. `top_p` keeps the fewest likeliest tokens whose probabilities, of those that are
       left, sum up to p or more (Holtzman et al., "The curious case of neural text
       degeneration", ICLR 2020).

    Tokens whose logits equal the least that is kept are kept as well.

    Args:
        temperature: 0 or more.
        top_k: 1 or more; None for all tokens.
        top_p: above 0, at most 1; None for all.
        repetition_penalty: above 0; 1 changes nothing.

    Raises:
        ArgumentError: for other numbers.

    Example:
        >>> Sampler(temperature=0.8, top_k=40).greedy
        False
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        _check("temperature", self.temperature, "0 or more", FIX, low=0.0)
        if self.top_k is not None and (
            isinstance(self.top_k, bool)
            or not isinstance(self.top_k, (int, np.integer))
            or self.top_k < 1
        ):
            raise _refused("top_k", self.top_k, "a whole number from 1 on, or None")
        if self.top_p is not None:
            _check("top_p", self.top_p, "above 0, at most 1", None, 0.0, 1.0, True)
        name = "repetition_penalty"
        _check(
            name, self.repetition_penalty, "above 0, such as 1.2", None, 0.0, None, True
        )

    @property
    def greedy(self) -> bool:
        """Whether nothing is left to chance."""
        return self.temperature == 0 or self.top_k == 1

    @property
    def limited(self) -> bool:
        """Whether some tokens are ruled out."""
        whole = self.top_p is None or self.top_p >= 1
        return not self.greedy and not (self.top_k is None and whole)

    @property
    def penalised(self) -> bool:
        """Whether it counts which tokens were there already."""
        return self.repetition_penalty != 1

    def numbers(self) -> dict[str, Any]:
        """The numbers that a compiled step is given."""
        top_k = np.iinfo(np.int32).max if self.top_k is None else self.top_k
        top_p = 2.0 if self.top_p is None or self.top_p >= 1 else self.top_p
        return {
            "temperature": np.float32(self.temperature or 1.0),
            "top_k": np.int32(min(top_k, np.iinfo(np.int32).max)),
            "top_p": np.float32(top_p),
            "repetition_penalty": np.float32(self.repetition_penalty),
        }


class GreedySampler(Sampler):
    """Takes the likeliest token always; of equal ones the first.

    Args:
        repetition_penalty: see `Sampler`.

    Example:
        >>> GreedySampler().greedy
        True
    """

    def __init__(self, repetition_penalty: float = 1.0) -> None:
        super().__init__(0.0, repetition_penalty=repetition_penalty)


class RandomSampler(Sampler):
    """Draws a token by its probability.

    Args:
        temperature: see `Sampler`.
        repetition_penalty: see `Sampler`.

    Example:
        >>> RandomSampler(0.7).temperature
        0.7
    """

    def __init__(
        self, temperature: float = 1.0, repetition_penalty: float = 1.0
    ) -> None:
        super().__init__(temperature, repetition_penalty=repetition_penalty)


class TopKSampler(Sampler):
    """Draws one of the k likeliest tokens.

    Args:
        k: how many.
        temperature: see `Sampler`.
        repetition_penalty: see `Sampler`.

    Example:
        >>> TopKSampler(k=5).top_k
        5
    """

    def __init__(
        self, k: int = 5, temperature: float = 1.0, repetition_penalty: float = 1.0
    ) -> None:
        super().__init__(temperature, k, None, repetition_penalty)


class TopPSampler(Sampler):
    """Draws one of the fewest likeliest tokens whose probabilities sum up to p.

    Args:
        p: the sum.
        temperature: see `Sampler`.
        k: if given, one of the k likeliest tokens at most.
        repetition_penalty: see `Sampler`.

    Example:
        >>> TopPSampler(0.9).top_p
        0.9
    """

    def __init__(
        self,
        p: float = 0.1,
        temperature: float = 1.0,
        k: int | None = None,
        repetition_penalty: float = 1.0,
    ) -> None:
        super().__init__(temperature, k, p, repetition_penalty)


def _check(
    name: str,
    value: Any,
    expected: str,
    fix: str | None,
    low: float = -math.inf,
    high: float | None = None,
    above: bool = False,
) -> None:
    number = isinstance(value, (int, float, np.number)) and math.isfinite(value)
    fits = number and value >= low and not (above and value == low)
    if not fits or (high is not None and value > high):
        raise _refused(name, value, expected, fix)


def _refused(
    name: str, value: Any, expected: str, fix: str | None = None
) -> ArgumentError:
    return ArgumentError(
        f"this is no {name}", where=name, got=repr(value), expected=expected, fix=fix
    )


# ---- compiled ------------------------------------------------------------------------


def choose(
    logits: Tensor, sampler: Sampler, numbers: Any, keys: Tensor, seen: Tensor | None
) -> Tensor:
    """The next token of each sequence; part of a compiled step.

    Noise of the Gumbel distribution is added to the logits and the largest taken, which
    draws by probability (Gumbel 1954; Maddison, Tarlow, Minka, arXiv 1411.0030). The
    noise of a token depends on the key alone, not on what was ruled out.

    Args:
        logits: `(n, vocabulary)`.
        sampler: which of the changes there are; how much is in `numbers`.
        numbers: those of a sampler, as tensors.
        keys: uint32 `(n, 2)`: a random key for each sequence.
        seen: bool `(n, vocabulary)`: the tokens that were there already; None where
            they do not count.

    Returns:
        int32 `(n,)`.

    Example:
        >>> logits = functional.asarray([[0.0, 3.0, 1.0]])
        >>> keys = functional.asarray(np.zeros((1, 2), np.uint32))
        >>> sampler = GreedySampler()
        >>> choose(logits, sampler, sampler.numbers(), keys, None).tolist()
        [1]
    """
    logits = functional.astype(logits, "float32")
    if seen is not None:
        penalty = numbers["repetition_penalty"]
        fewer = functional.where(logits > 0, logits / penalty, logits * penalty)
        logits = functional.where(seen, fewer, logits)
    if not sampler.greedy:
        logits = logits / numbers["temperature"]
        if sampler.limited:
            logits = limit(logits, numbers["top_k"], numbers["top_p"])
        logits = logits + random.gumbel(keys, logits.shape[1])
    return functional.astype(functional.argmax(logits, axis=-1), "int32")


def limit(logits: Tensor, top_k: Any, top_p: Any) -> Tensor:
    """Logits, minus infinity for all but the likeliest tokens; see `Sampler`.

    Args:
        logits: `(n, vocabulary)`.
        top_k: how many are kept at most.
        top_p: what the probabilities of those that are kept sum up to at least.

    Example:
        >>> limit(functional.asarray([[0.0, 3.0, 1.0]]), 2, 2.0).tolist()
        [[-inf, 3.0, 1.0]]
    """
    falling = functional.sort(logits, axis=-1, descending=True)
    place = functional.arange(logits.shape[-1], dtype="int32")
    among = functional.less(place, functional.asarray(top_k))
    falling = functional.where(among, falling, -math.inf)
    shares = functional.softmax(falling, axis=-1)
    before = functional.cumulative_sum(shares, axis=-1) - shares
    kept = functional.logical_and(among, before < top_p)
    least = functional.where(kept, falling, math.inf)
    least = functional.min(least, axis=-1, keepdims=True)
    return functional.where(logits >= least, logits, constant(np.float32(-math.inf)))


def keys_of(key: Array, samples: Any) -> Array:
    """A random key for each sample, uint32 `(n, 2)`; a function of its number alone.

    Args:
        key: two words.
        samples: the numbers of the samples.

    Example:
        >>> keys_of(np.array([7, 0], np.uint32), [0, 1, 0]).shape
        (3, 2)
    """
    base = constant(key)
    found = {n: random.fold_in(base, int(n)).numpy() for n in set(samples)}
    return np.array([found[n] for n in samples], np.uint32).reshape(-1, 2)


def step_keys(keys: Tensor, number: Tensor) -> Tensor:
    """The keys of a step from those of the samples; part of a compiled step."""
    words = functional.astype(functional.stack([number, number * 0]), "uint32")
    return random.bits(functional.bitwise_xor(keys, words), 2)
