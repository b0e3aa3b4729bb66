"""Translate with a network that `translation_network.build` made."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

import chainrule
from chainrule.data import pad_sequences
from chainrule.data.sequences import round_up
from chainrule.errors import ArgumentError
from chainrule.functional.promotion import Tensor
from chainrule.generation import BeamSearch, Hypothesis
from chainrule.jit import jit
from chainrule.models import Model
from chainrule.recipes.translation_data import clean
from chainrule.recipes.translation_network import END, PADDING, START, is_translator
from chainrule.text import kept_tokenizer, spaceless_share

Array = np.ndarray[Any, Any]

AT_ONCE = 16  # sentences: caches of more of them are beyond those of the processor
MULTIPLE = 8  # of the lengths of sentences, each of which is compiled
LONGER = 1.5  # how many times as long as the source a translation may be
MORE = 10  # tokens that it may have beyond that
# Where long texts are divided, the best places first: behind sentences, behind clauses
# (U+3002 and the like end those of Chinese and Japanese), between words.
PLACES = (
    re.compile("(?<=[.!?\u2026])\\s|(?<=[\u3002\uff01\uff1f])"),
    re.compile("(?<=[,;:])\\s|(?<=[\u3001\uff0c\uff1a\uff1b])"),
    re.compile("\\s"),
)
SPACELESS = 0.5  # the share of characters from which parts are joined without a space


class Translator:
    """Translates text, many sentences at a time; what was compiled serves them all.

    Args:
        network: a translator, as `chainrule train --task translate` leaves it.
        beams: how many translations of a sentence are followed; as it was trained for
            where None. 1 takes the likeliest token always.
        alpha: the penalty for length; see `chainrule.generation.length_penalty`.

    Raises:
        ArgumentError: when the network is no translator.
    """

    def __init__(
        self, network: Model, beams: int | None = None, alpha: float | None = None
    ) -> None:
        if not is_translator(network):
            raise ArgumentError(
                "this model does not translate",
                where=network.name,
                fix="chainrule train --task translate --source a.de --target b.en",
            )
        notes = network.notes
        self.network = network
        self.tokenizer = kept_tokenizer(network)
        self.longest = int(notes["longest"])
        self.alpha = float(notes["alpha"] if alpha is None else alpha)
        steps = Decoding(network)
        beams = int(notes["beams"] if beams is None else beams)
        self._search = BeamSearch(steps.step, beams, shared=steps.shared)
        self._steps = steps

    def translate(self, texts: Sequence[str]) -> list[str]:
        """The translation of each text.

        An empty text stays empty. Texts longer than those that were learnt from are
        divided, at the ends of sentences where there are some, and the translations of
        the parts joined.

        Args:
            texts: any number of them.
        """
        parts = [self._divide(clean(text)) for text in texts]
        sentences = [part for each in parts for part in each]
        best = iter([found[0] for found in self.search(sentences, 1)])
        translated = [
            [self.tokenizer.decode(next(best).tokens).strip() for _ in each]
            for each in parts
        ]
        whole = "".join(part for each in translated for part in each)
        space = "" if spaceless_share([whole]) > SPACELESS else " "
        return [space.join(each) for each in translated]

    def alternatives(self, text: str, n_best: int) -> list[tuple[float, str]]:
        """Several translations of a text, each with its score, the best first.

        Args:
            text: no longer than what was learnt from; what is behind is cut off.
            n_best: how many, at most as many as there are beams.
        """
        sentence = clean(text)
        if not sentence:
            return [(0.0, "")]
        (found,) = self.search([sentence], n_best)
        decode = self.tokenizer.decode
        return [(each.score, decode(each.tokens).strip()) for each in found]

    def search(self, sentences: Sequence[str], n_best: int) -> list[list[Hypothesis]]:
        """The best sequences of tokens for each sentence, which is not empty."""
        sources = [x[: self.longest] for x in self.tokenizer.encode_batch(sentences)]
        order = np.argsort([-len(source) for source in sources], kind="stable").tolist()
        found: dict[int, list[Hypothesis]] = {}
        for first in range(0, len(order), AT_ONCE):
            rows = order[first : first + AT_ONCE]
            best = self._search_batch([sources[row] for row in rows], n_best)
            found.update(zip(rows, best, strict=True))
        return [found[row] for row in range(len(sources))]

    def _search_batch(
        self, sources: Sequence[Array], n_best: int
    ) -> list[list[Hypothesis]]:
        """The best sequences of one batch, whose shape is one of few."""
        table = pad_sequences(sources, padding="post", multiple=MULTIPLE)
        count = 1 << (len(sources) - 1).bit_length()
        table = np.pad(table, [(0, count - len(sources)), (0, 0)])
        table[len(sources) :, 0] = END  # sentences that only fill up
        most = round_up(int(LONGER * table.shape[1]) + MORE, MULTIPLE)
        state = self._steps.begin(table, most)
        starts = np.full(count, START, np.int32)
        found = self._search.run(state, starts, END, most, self.alpha, n_best)
        return found[: len(sources)]

    def _divide(self, text: str) -> list[str]:
        """A text in parts that are no longer than what was learnt from."""
        if not text:
            return []
        if len(self.tokenizer.encode(text)) <= self.longest or len(text) < 2:
            return [text]
        place = middle_place(text)
        halves = text[:place].strip(), text[place:].strip()
        return [part for half in halves for part in self._divide(half)]


def middle_place(text: str) -> int:
    """Where to divide a text: near its middle, behind a sentence if possible.

    Example:
        >>> text = "One man reads. Two men write."
        >>> text[: middle_place(text)]
        'One man reads. '
        >>> middle_place("abcd")
        2
    """
    middle = len(text) // 2
    for pattern in PLACES:
        found = [match.end() for match in pattern.finditer(text)]
        near = [at for at in found if middle // 2 <= at <= len(text) - middle // 2]
        near = [at for at in near if 0 < at < len(text)]
        if near:
            return min(near, key=lambda at: abs(at - middle))
    return middle


class Decoding:
    """The network, asked for one token after another.

    What the decoder looks up of the source is computed once, before the first token.

    Args:
        network: of `translation_network.build`.

    Attributes:
        shared: the parts of a state that are alike for all beams of a sentence.
    """

    shared = ("across", "read", "place")

    def __init__(self, network: Model) -> None:
        self._words: Any = network.get_layer("words")
        self._places = network.get_layer("places")
        self._norms = {
            side: network.get_layer(f"{side}_norm") for side in ("encoder", "decoder")
        }
        names = [layer.name for layer in network.layers]
        count = sum(name.startswith("encoder_") for name in names) - 1
        self._encoders = [network.get_layer(f"encoder_{i}") for i in range(count)]
        self._decoders: list[Any] = [
            network.get_layer(f"decoder_{i}") for i in range(count)
        ]
        self._read = jit(self._look)

    def begin(self, sources: Array, most: int) -> dict[str, Any]:
        """The state before the first token.

        Args:
            sources: int32 `(n, steps)`, 0 behind the ends.
            most: how many tokens there will be.
        """
        across = self._read(chainrule.asarray(sources))
        n, _, _, heads, size = across[0].shape
        room = np.zeros((n, 2, most, heads, size), np.float32)
        return {
            "own": [room] * len(across),
            "across": list(across),
            "read": sources != PADDING,
            "place": np.zeros(n, np.int32),
        }

    def _look(self, sources: Tensor) -> list[Tensor]:
        """Keys and values of the source, for each block of the decoder."""
        read = chainrule.not_equal(sources, PADDING)
        x = self._enter(sources, 0)
        for block in self._encoders:
            x = block(x, padding_mask=read)
        memory = self._norms["encoder"](x)
        found = []
        for block in self._decoders:
            attention = block.cross_attention
            pair = attention.key_dense(memory), attention.value_dense(memory)
            found.append(chainrule.stack(pair, axis=1))
        return found

    def _enter(self, tokens: Tensor, start: Any) -> Tensor:
        vectors: Tensor = self._words(tokens) * math.sqrt(self._words.output_dim)
        entered: Tensor = vectors + self._places(vectors, start_index=start)
        return entered

    def step(self, state: Any, tokens: Tensor) -> tuple[Tensor, Any]:
        """The logits of the next token; see `chainrule.generation.Steps`."""
        place = state["place"][0]
        x = self._enter(chainrule.expand_dims(tokens, axis=1), place)
        # only the shape of the source counts: its keys and values are at hand
        shape = (x.shape[0], state["read"].shape[1], x.shape[2])
        source = chainrule.zeros(shape, dtype=x.dtype)
        own = []
        pairs = zip(self._decoders, state["own"], state["across"], strict=True)
        for block, before, across in pairs:
            x, after, _ = block(
                x,
                source,
                encoder_padding_mask=state["read"],
                self_attention_cache=before,
                self_attention_cache_update_index=place,
                cross_attention_cache=across,
            )
            own.append(after)
        logits = self._words(self._norms["decoder"](x), reverse=True)
        after = {**state, "own": own, "place": state["place"] + 1}
        return logits[:, 0], after
