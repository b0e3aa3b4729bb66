"""Tokenizers inside the files of models."""

from __future__ import annotations

from typing import Any

from chainrule.errors import ArgumentError
from chainrule.text.tokenizer import Tokenizer

KEY = "tokenizers"  # in `model.notes`


def keep_tokenizer(model: Any, tokenizer: Tokenizer, name: str = "text") -> None:
    """Put a tokenizer into a model's notes, so that its file holds both.

    Args:
        model: any model.
        tokenizer: what turns text into its inputs.
        name: tells several apart, such as `source` and `target` of a translator.

    Example:
        >>> from types import SimpleNamespace
        >>> model = SimpleNamespace(name="model", notes={})
        >>> keep_tokenizer(model, Tokenizer.train(["ab"], kind="characters"))
        >>> kept_tokenizer(model).decode(kept_tokenizer(model).encode("ba"))
        'ba'
    """
    model.notes.setdefault(KEY, {})[name] = tokenizer.get_config()


def kept_tokenizer(model: Any, name: str = "text") -> Tokenizer:
    """The tokenizer that `keep_tokenizer` put into a model, also after loading it.

    Raises:
        ArgumentError: when there is none of this name.
    """
    found = model.notes.get(KEY, {})
    if name not in found:
        raise ArgumentError(
            "the model holds no tokenizer of this name",
            where=str(getattr(model, "name", "model")),
            got=repr(name),
            expected=", ".join(map(repr, found)) or "one: there is none at all",
            fix="text.keep_tokenizer(model, tokenizer)",
        )
    return Tokenizer.from_config(found[name])
