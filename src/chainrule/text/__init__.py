"""Text as numbers: tokenizers, which turn text into whole numbers and back."""

from chainrule.text.kept import keep_tokenizer, kept_tokenizer
from chainrule.text.scripts import is_spaceless, spaceless_share
from chainrule.text.tokenizer import KINDS, Tokenizer
from chainrule.text.writing import Writer

__all__ = [
    "KINDS",
    "Tokenizer",
    "Writer",
    "is_spaceless",
    "keep_tokenizer",
    "kept_tokenizer",
    "spaceless_share",
]
