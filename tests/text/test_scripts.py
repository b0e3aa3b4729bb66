from __future__ import annotations

import pytest

from chainrule.text import is_spaceless, spaceless_share


@pytest.mark.parametrize(
    "text", ["文字", "ไทย", "ひらカナ", "ລາວ", "ខ្មែរ", "မြန်မာ", "བོད", "。", "𠀀"]
)
def test_scripts_without_spaces(text: str) -> None:
    assert all(map(is_spaceless, text))


@pytest.mark.parametrize(
    "text",
    ["abc", "äß", "Ελλ", "Жук", "한국어", "עברית", "عربي", "हिन्दी", "12 .!", "😀"],
)
def test_scripts_with_spaces(text: str) -> None:
    assert not any(map(is_spaceless, text))


def test_shares() -> None:
    assert spaceless_share(["ก ข", "xy"]) == 0.5
    assert spaceless_share(["", " \n"]) == 0.0
