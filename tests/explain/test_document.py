from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from chainrule.explain.document import (
    Equation,
    Line,
    Section,
    Table,
    Title,
    equation_lines,
    format_numbers,
    to_html,
    to_text,
)
from chainrule.explain.formulas import loss_derivative, loss_formula, optimizer_formula


@pytest.mark.parametrize(
    ("numbers", "cells"),
    [
        ([0.000123456, 0.0], ["0.00012346", "0"]),
        ([1e-9, 1.0], ["0.0000", "1.0000"]),
        ([1e-7], ["1.000e-07"]),
        ([1.5e7], ["1.500e+07"]),
        ([123456.7], ["123457"]),
        ([np.nan, 2.0], ["nan", "2.0000"]),
        ([np.inf], ["inf"]),
    ],
)
def test_numbers_have_five_digits_of_the_largest(
    numbers: list[float], cells: list[str]
) -> None:
    assert format_numbers(np.array(numbers)) == [cells]


def test_whole_numbers_and_truth_stay_what_they_are() -> None:
    assert format_numbers(np.array([[3, -1]])) == [["3", "-1"]]
    assert format_numbers(np.array(True)) == [["True"]]


@given(arrays(np.float32, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)))
def test_any_array_is_aligned(numbers: np.ndarray) -> None:
    lines = equation_lines(Equation("name", numbers))
    assert lines[0].startswith("name = ")
    if numbers.ndim and numbers.size:
        assert len({len(line) for line in lines}) == 1
        assert len(lines) == numbers.size // numbers.shape[-1]


def test_a_document_as_text() -> None:
    page = [
        Section("One", [Title("a", "first"), Line("x"), Title("b")]),
        Section("Two", [Table(["name", "size"], [["w", "10"], ["longer", "5"]])]),
    ]
    assert to_text(page).splitlines() == [
        "One",
        "  a   first",
        "  x",
        "",
        "  b",
        "",
        "Two",
        "  name    size",
        "  w         10",
        "  longer     5",
    ]


@given(st.text(min_size=1))
def test_html_escapes_what_it_is_given(text: str) -> None:
    page = [Section(text, [Line(text), Title(text, text), Table([text], [[text]])])]
    shown = to_html(page)
    for tag in ("div", "h4", "p", "b", "table", "tr", "td"):
        shown = shown.replace(f"<{tag}>", "").replace(f"</{tag}>", "")
    shown = shown.replace('<th style="text-align: left">', "").replace("</th>", "")
    shown = shown.replace('<td style="text-align: left">', "")
    assert "<" not in shown
    assert ">" not in shown


@pytest.mark.parametrize(
    ("name", "reduction", "from_logits", "formula"),
    [
        ("mean_squared_error", "sum_over_batch_size", False, "L = mean((y - p)^2)"),
        ("mean_absolute_error", "sum", False, "L = sum over samples of mean(|y - p|)"),
        (
            "categorical_crossentropy",
            "sum_over_batch_size",
            True,
            "L = mean over samples of -sum(y log(p)), p = softmax(output)",
        ),
        ("my_own", "sum", False, ""),
    ],
)
def test_formulas_of_losses(
    name: str, reduction: str, from_logits: bool, formula: str
) -> None:
    assert loss_formula(name, reduction, from_logits) == formula


def test_no_derivative_is_shown_where_the_formula_would_be_another() -> None:
    assert loss_derivative("mean_squared_error", "sum", False, 2) == ""
    assert loss_derivative("binary_crossentropy", "sum_over_batch_size", True, 2) == ""
    assert loss_derivative("my_own", "sum_over_batch_size", False, 2) == ""


@pytest.mark.parametrize(
    ("config", "last"),
    [
        ({"momentum": 0.0}, "W := W - lr * g"),
        ({"momentum": 0.9}, "W := W + m"),
        ({"momentum": 0.9, "nesterov": True}, "W := W + 0.9 m - lr * g"),
    ],
)
def test_formulas_of_gradient_descent(config: dict[str, object], last: str) -> None:
    assert optimizer_formula("SGD", config)[-1] == last


def test_an_unknown_optimizer_is_described_in_words() -> None:
    assert "optimizer" in optimizer_formula("MyOwn", {})[0]
