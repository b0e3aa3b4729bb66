from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from chainrule import layers
from chainrule.errors import ArgumentError

TEXTS = ["Good film", "bad film", "a GOOD plot, a good cast", "", "文字は良い"]


def adapted(**options: Any) -> layers.TextEncoder:
    least = options.pop("least", 1)
    encoder = layers.TextEncoder(**options)
    encoder.adapt(TEXTS, least=least)
    return encoder


def test_vocabularies_are_ordered_by_frequency() -> None:
    encoder = adapted(inside=None)
    assert encoder.grams[:3] == ["film", "good", ","]  # by texts, then in order
    assert encoder.units[:3] == ["good", "a", "film"]  # by occurrences
    assert encoder.found_in is not None
    assert encoder.found_in[:3].tolist() == [2, 2, 1]


def test_what_occurs_rarely_is_left_out() -> None:
    assert adapted(inside=None, least=2).grams == ["film", "good"]
    assert adapted(inside=(3, 5), least=2).grams == ["film", "good"]
    inside = adapted(inside=(3, 3), least=1).grams
    assert {"#<go", "#oo", "#goo"} & set(inside) == {"#<go", "#goo"}


def test_rows() -> None:
    encoder = adapted(inside=None, joined=1)
    room = encoder.grams_length
    rows = encoder(["good FILM zebra", ""])
    assert rows.dtype == np.int32
    assert rows.shape == (2, room + encoder.units_length)
    number = {gram: place for place, gram in enumerate(encoder.grams, 1)}
    assert rows[0, :3].tolist() == [*sorted([number["good"], number["film"]]), 0]
    assert rows[0, room : room + 4].tolist() == [2, 4, 1, 0]
    assert not rows[1].any()
    assert encoder.compute_output_shape((None,)) == (None, rows.shape[1])


def test_long_texts_keep_their_rarest_grams_and_their_beginning() -> None:
    encoder = layers.TextEncoder(
        grams=["the", "of", "rare"],
        units=["the", "of", "rare"],
        grams_length=2,
        units_length=2,
        inside=None,
    )
    assert encoder(["the of the rare"]).tolist() == [[2, 3, 2, 3]]


def test_characters_in_order() -> None:
    encoder = layers.TextEncoder(unit="characters", inside=(1, 2))
    encoder.adapt(["anna", "nan"])
    assert encoder.units == ["n", "a"]
    assert encoder(["nab"])[0, encoder.grams_length :].tolist() == [2, 3, 1, 0]


def test_case() -> None:
    lower, upper = adapted(), adapted(lowercase=False)
    np.testing.assert_array_equal(lower(["Good FILM"]), lower(["good film"]))
    assert "GOOD" in upper.grams
    assert "GOOD" not in lower.grams


@pytest.mark.parametrize("form", [list, tuple, np.array, lambda t: np.c_[t]])
def test_forms_of_texts(form: Any) -> None:
    encoder = adapted()
    np.testing.assert_array_equal(encoder(form(TEXTS)), encoder(TEXTS))


def test_odd_texts() -> None:
    encoder = adapted()
    odd = ["x" * 100_000, "good " * 10_000, "\0", "\ud800", "👍", "\r\n"]
    rows = encoder(odd)
    assert rows.shape[0] == len(odd)
    assert rows.max() <= max(len(encoder.grams), len(encoder.units) + 1)
    assert encoder([]).shape == (0, rows.shape[1])


def test_a_config_holds_the_vocabulary() -> None:
    encoder = adapted(joined=3, inside=(2, 4))
    again = layers.deserialize(json.loads(json.dumps(layers.serialize(encoder))))
    np.testing.assert_array_equal(again(TEXTS), encoder(TEXTS))
    assert again.get_config() == encoder.get_config()


def test_adapting_again_forgets() -> None:
    encoder = adapted()
    encoder.adapt(["new words"])
    assert encoder.units == ["new", "words"]
    assert encoder(["words new"])[0, encoder.grams_length :].tolist() == [3, 2]


def test_the_vocabulary_is_not_printed() -> None:
    encoder = adapted(inside=None, joined=1, name="reader")
    assert repr(encoder) == "<TextEncoder reader, 12 n-grams, 12 words>"


def test_no_text_at_all() -> None:
    encoder = layers.TextEncoder()
    encoder.adapt(["", " "])
    assert encoder(["a"]).shape == (1, 2)


def test_other_units_are_refused() -> None:
    with pytest.raises(ArgumentError, match="words or characters"):
        layers.TextEncoder(unit="letters")
