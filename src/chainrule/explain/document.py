"""Short documents of lines, equations and tables, as plain text and as HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

DIGITS = 5
SMALLEST_PLAIN, LARGEST_PLAIN = 1e-4, 1e6


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence, or a formula."""

    text: str


@dataclass(frozen=True, slots=True)
class Title:
    """The name of the layer or weight that the next blocks are about."""

    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Equation:
    """`left = numbers`, every number shown."""

    left: str
    numbers: Array


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under headings; the first column is text, the others numbers."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


Block = Line | Title | Equation | Table


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    heading: str
    blocks: Sequence[Block]


def format_scalar(number: float, digits: int = DIGITS) -> str:
    """One number at `digits` significant digits.

    Example:
        >>> format_scalar(0.25), format_scalar(0.0), format_scalar(1 / 3e6)
        ('0.25', '0', '3.3333e-07')
    """
    return f"{float(number):.{digits}g}"


def format_numbers(numbers: Array) -> list[list[str]]:
    """The cells of a matrix: all with the same number of decimals, exact zeros as 0.

    Example:
        >>> format_numbers(np.array([[0.5, 0.0], [-12.25, 1.0]]))
        [['0.500', '0'], ['-12.250', '1.000']]
    """
    rows = numbers.reshape(-1, numbers.shape[-1] if numbers.ndim else 1)
    if rows.dtype.kind != "f":
        return [[str(cell) for cell in row] for row in rows.tolist()]
    pattern = _pattern(rows)
    return [
        ["0" if c == 0 else pattern.format(c) for c in row] for row in rows.tolist()
    ]


def _pattern(numbers: Array) -> str:
    """How to write these numbers: the largest at `DIGITS` significant digits."""
    sizes = np.abs(numbers[np.isfinite(numbers) & (numbers != 0)])
    largest = float(sizes.max(initial=0.0))
    if largest and not SMALLEST_PLAIN <= largest < LARGEST_PLAIN:
        return "{:.3e}"
    before = math.floor(math.log10(largest)) + 1 if largest else 1
    return f"{{:.{max(0, DIGITS - before)}f}}"


def to_text(sections: Sequence[Section]) -> str:
    """The document for a terminal: ASCII only, columns aligned by blanks.

    Example:
        >>> page = [Section("Loss", [Equation("L", np.array([1.0, 0.5]))])]
        >>> print(to_text(page))
        Loss
            L = [ 1.0000  0.5000 ]
    """
    parts = []
    for section in sections:
        lines = [section.heading]
        for position, block in enumerate(section.blocks):
            if isinstance(block, Title) and position:
                lines.append("")
            lines += _text_lines(block)
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _text_lines(block: Block) -> list[str]:
    if isinstance(block, Line):
        return [f"  {block.text}"]
    if isinstance(block, Title):
        return [f"  {block.text}" + (f"   {block.note}" if block.note else "")]
    if isinstance(block, Equation):
        return [f"    {line}" for line in equation_lines(block)]
    return [f"  {line}" for line in _table_lines(block)]


def equation_lines(equation: Equation) -> list[str]:
    """An equation as text, one line for each row of its matrix."""
    if not equation.numbers.size:
        return [f"{equation.left} = []"]
    cells = format_numbers(equation.numbers)
    if equation.numbers.ndim == 0:
        return [f"{equation.left} = {cells[0][0]}"]
    width = max(len(cell) for row in cells for cell in row)
    indent = " " * (len(equation.left) + 3)
    rows = [f"[ {'  '.join(cell.rjust(width) for cell in row)} ]" for row in cells]
    return [f"{equation.left} = {rows[0]}", *(indent + row for row in rows[1:])]


def _table_lines(table: Table) -> list[str]:
    rows = [table.headings, *table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def to_html(sections: Sequence[Section]) -> str:
    """The document for a notebook; everything in it is escaped.

    Example:
        >>> to_html([Section("A < B", [Line("x")])])
        '<div><h4>A &lt; B</h4><p>x</p></div>'
    """
    body = "".join(
        f"<h4>{html.escape(section.heading)}</h4>" + "".join(map(_html, section.blocks))
        for section in sections
    )
    return f"<div>{body}</div>"


def _html(block: Block) -> str:
    if isinstance(block, Line):
        return f"<p>{html.escape(block.text)}</p>"
    if isinstance(block, Title):
        return f"<p><b>{html.escape(block.text)}</b> {html.escape(block.note)}</p>"
    if isinstance(block, Equation):
        text = "\n".join(equation_lines(block))
        return f'<pre style="margin: 0 0 0.4em 2em">{html.escape(text)}</pre>'
    head = _html_row("th", block.headings)
    return f"<table>{head}{''.join(_html_row('td', row) for row in block.rows)}</table>"


def _html_row(tag: str, cells: Sequence[str]) -> str:
    styles = ["text-align: left", *["text-align: right"] * (len(cells) - 1)]
    inside = "".join(
        f'<{tag} style="{style}">{html.escape(cell)}</{tag}>'
        for cell, style in zip(cells, styles, strict=True)
    )
    return f"<tr>{inside}</tr>"
