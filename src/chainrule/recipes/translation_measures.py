"""How good translations are: BLEU and chrF, by sacreBLEU."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.errors import DependencyError
from chainrule.text import spaceless_share

SPACELESS = 0.3  # the share of characters from which words cannot be told by spaces
HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
KANA = re.compile("[\u3040-\u30ff]")


@dataclass(frozen=True)
class Score:
    """A measure of translations.

    Attributes:
        name: BLEU or chrF.
        value: from 0 to 100.
        signature: how exactly it was computed, as sacreBLEU writes it.
    """

    name: str
    value: float
    signature: str

    def __str__(self) -> str:
        return f"{self.name} {self.value:.2f}  ({self.signature})"


def score(translations: Sequence[str], references: Sequence[str]) -> list[Score]:
    """BLEU and chrF of all translations together.

    Papineni et al., "BLEU", ACL 2002; Popović, "chrF", WMT 2015; Post, "A call for
    clarity in reporting BLEU scores", WMT 2018. Upper and lower case count, and text is
    compared as it is written. Of languages without spaces, Chinese is divided as
    sacreBLEU does, and others into characters; the signature says which.

    Args:
        translations: one for each reference, in their order.
        references: how people translated.

    Raises:
        DependencyError: when sacrebleu is not installed.
    """
    metrics = _metrics()
    measures = [metrics.BLEU(tokenize=division(references)), metrics.CHRF()]
    found = []
    for measure in measures:
        value = measure.corpus_score(list(translations), [list(references)])
        signature = str(measure.get_signature())
        found.append(Score(value.name.rstrip("2"), float(value.score), signature))
    return found


def division(references: Sequence[str]) -> str:
    """How sacreBLEU is to divide text into words.

    Example:
        >>> division(["a hat"]), division(["一顶帽子"]), division(["ぼうし"])
        ('13a', 'zh', 'char')
    """
    if spaceless_share(references) < SPACELESS:
        return "13a"
    text = "".join(references)
    chinese = HAN.search(text) is not None and KANA.search(text) is None
    return "zh" if chinese else "char"


def _metrics() -> Any:
    try:
        import sacrebleu.metrics  # noqa: PLC0415 - an optional package
    except ImportError:
        raise DependencyError(
            "BLEU and chrF are computed by sacrebleu, which is missing",
            where="chainrule.recipes.translation_measures",
            fix="pip install 'chainrule[text]'",
        ) from None
    return sacrebleu.metrics
