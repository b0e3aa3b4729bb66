"""What is shown of a table and of what was learnt from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.recipes.tabular_measures import NAMES
from chainrule.recipes.tabular_profile import Profile
from chainrule.recipes.tabular_task import Target

Array = np.ndarray[Any, Any]

MOST_COLUMNS = 60
MOST_CLASSES = 12


def columns_table(profiles: Sequence[Profile], rows: int) -> Any:
    """The columns, for a terminal: kind, distinct and missing values, what is odd."""
    # shown on a terminal only: importing chainrule loads NumPy alone
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("column", overflow="fold")
    table.add_column("kind")
    table.add_column("distinct", justify="right")
    table.add_column("missing", justify="right")
    table.add_column("", overflow="fold")
    for profile in profiles[:MOST_COLUMNS]:
        missing = f"{profile.missing / max(rows, 1):.1%}" if profile.missing else ""
        note = profile.note if profile.used else f"left out: {profile.note}"
        style = None if profile.used else "dim"
        name = _plain(profile.name)
        cells = (name, profile.kind, f"{profile.distinct:,}", missing, _plain(note))
        table.add_row(*cells, style=style)
    if len(profiles) > MOST_COLUMNS:
        table.add_row(f"and {len(profiles) - MOST_COLUMNS} more", "", "", "", "")
    return table


def _plain(text: str) -> str:
    """Text in which no bracket is taken for a style."""
    return text.replace("[", r"\[")


def measures_table(results: Mapping[str, Mapping[str, Any]]) -> Any:
    """The measures of every model side by side."""
    # shown on a terminal only
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("on the rows held out")
    first = next(iter(results.values()))
    names = [name for name in NAMES if name in first]
    for name in names:
        table.add_column(NAMES[name], justify="right")
    table.add_column("seconds", justify="right")
    for model, found in results.items():
        seconds = f"{found['seconds']:.1f}" if "seconds" in found else ""
        numbers = [show_number(found[name]) for name in names]
        table.add_row(model, *numbers, seconds)
    return table


def show_number(value: float) -> str:
    """A measure with four digits behind the point, or fewer where it is large.

    Example:
        >>> show_number(0.85237), show_number(48123.7)
        ('0.8524', '48,124')
    """
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.2f}"


def confusion_table(target: Target, counts: Array) -> Any:
    """True classes down, predicted classes across."""
    # shown on a terminal only
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("true \\ predicted")
    shown = range(min(len(target.classes), MOST_CLASSES))
    for place in shown:
        table.add_column(_plain(target.classes[place]), justify="right")
    for place in shown:
        numbers = [f"{counts[place, other]:,}" for other in shown]
        table.add_row(_plain(target.classes[place]), *numbers)
    return table
