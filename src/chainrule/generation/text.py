"""Text from a model and its tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Unpack

from chainrule.errors import ArgumentError
from chainrule.generation.generate import Options, generate, stream
from chainrule.text import Tokenizer, kept_tokenizer


class TextGenerator:
    """A language model with its tokenizer: text in, text out.

    Args:
        model: see `generate`.
        tokenizer: what turns text into its tokens; the one that was kept in the model
            (`text.keep_tokenizer`) when None.

    Raises:
        ArgumentError: when there is no tokenizer, or it has more tokens than the model.

    Example:
        >>> from chainrule.applications import GPT
        >>> tokenizer = Tokenizer.train(["to be or not to be"], kind="characters")
        >>> model = GPT(tokenizer.vocabulary_size, 16, layers=1, heads=2, width=8)
        >>> text = TextGenerator(model, tokenizer).generate("to be", 12, seed=0)
        >>> len(text) <= 12
        True
    """

    def __init__(self, model: Any, tokenizer: Tokenizer | None = None) -> None:
        self.model = model
        self.tokenizer = kept_tokenizer(model) if tokenizer is None else tokenizer

    def generate(
        self,
        prompts: str | Sequence[str],
        max_tokens: int = 100,
        *,
        samples: int = 1,
        stop: str | Sequence[str] = (),
        **options: Unpack[Options],
    ) -> Any:
        """Text that continues prompts.

        Args:
            prompts: one text, or several.
            max_tokens: how many tokens are made at most.
            samples: how many continuations of each.
            stop: texts before which a continuation ends.
            **options: see `Options`.

        Returns:
            The continuation of one prompt, without it, or a list for several; with more
            than one sample, a list in the place of each.
        """
        single = isinstance(prompts, str)
        texts = [prompts] if isinstance(prompts, str) else list(prompts)
        options = self._completed(options)
        rows = [self._encode(text) for text in texts]
        found = generate(self.model, rows, max_tokens, samples=samples, **options)
        stops = self._stops(stop)

        def shown(tokens: Sequence[int]) -> str:
            return "".join(_until(self.tokenizer.decode_stream(tokens), stops))

        read = [
            shown(each) if samples == 1 else [shown(one) for one in each]
            for each in found
        ]
        return read[0] if single else read

    def stream(
        self,
        prompt: str,
        max_tokens: int = 100,
        *,
        stop: str | Sequence[str] = (),
        **options: Unpack[Options],
    ) -> Iterator[str]:
        """The text of `generate` for one prompt, piece by piece; no character is split.

        Args:
            prompt: the text.
            max_tokens: how many tokens are made at most.
            stop: texts before which it ends.
            **options: see `Options`.
        """
        tokens = stream(
            self.model, self._encode(prompt), max_tokens, **self._completed(options)
        )
        return _until(self.tokenizer.decode_stream(tokens), self._stops(stop))

    def _encode(self, text: str) -> list[int]:
        if not isinstance(text, str):
            raise ArgumentError("a prompt is a text", where="prompts", got=repr(text))
        start = self.tokenizer.start is not None
        tokens: list[int] = self.tokenizer.encode(text, start=start).tolist()
        return tokens

    def _completed(self, options: Options) -> Options:
        """The options with the end of texts, and with what an empty prompt begins with.

        That is a line's end, or the first token where there is none.
        """
        found: Options = {**options}
        end = self.tokenizer.end
        if end is not None:
            found["stop_ids"] = [*found.get("stop_ids", ()), end]
        if found.get("start_id") is None:
            known = "\n" in self.tokenizer
            found["start_id"] = self.tokenizer.token_to_id("\n") if known else 0
            if not known and self.tokenizer.kind == "byte_pair":
                found["start_id"] = int(self.tokenizer.encode("\n")[0])
        return found

    def _stops(self, stop: str | Sequence[str]) -> list[str]:
        stops = [stop] if isinstance(stop, str) else list(stop)
        if not all(isinstance(each, str) and each for each in stops):
            raise ArgumentError(
                "a stop is a text of one character or more", where="stop", got=stop
            )
        return stops


def _until(pieces: Iterator[str], stops: Sequence[str]) -> Iterator[str]:
    """The pieces of a text before the first of `stops`.

    What may be the beginning of one is held back until it is clear.

    Example:
        >>> list(_until(iter(["to be", " or", " not"]), [" or n"]))
        ['to be']
        >>> list(_until(iter(["to be", " or", " else"]), [" or n"]))
        ['to be', ' or else']
    """
    held = ""
    for piece in pieces:
        held += piece
        ends = [at for at in map(held.find, stops) if at >= 0]
        if ends:
            if held[: min(ends)]:
                yield held[: min(ends)]
            return
        safe = len(held) - max((_begun(held, stop) for stop in stops), default=0)
        if safe:
            yield held[:safe]
            held = held[safe:]
    if held:
        yield held


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of a text are the beginning of `stop`."""
    most = min(len(text), len(stop) - 1)
    return next((n for n in range(most, 0, -1) if text.endswith(stop[:n])), 0)
