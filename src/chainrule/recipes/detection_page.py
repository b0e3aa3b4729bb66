"""The report of a detector: one page with figures, curves and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from chainrule.boxes.drawing import class_color
from chainrule.metrics import DetectionReport
from chainrule.recipes.detection_gallery import as_counts
from chainrule.recipes.detection_measures import balance
from chainrule.training.files import write_atomically

PAGE = "report.html"
SIDE = 240  # pixels of the drawing of the curves
STYLE = """
body { font: 15px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse } td, th { padding: 2px 12px; text-align: right }
td:first-child, th:first-child { text-align: left; padding-left: 0 }
tr { border-bottom: 1px solid #ddd } img { max-width: 100% }
.found img { width: 49% }
"""
MEANINGS = {
    "AP": "mean of the overlaps 0.5, 0.55, ..., 0.95",
    "AP50": "overlap of one half at least",
    "AP75": "overlap of three quarters at least",
    "AP_small": "objects below 32 x 32 pixels",
    "AP_medium": "objects from 32 x 32 to 96 x 96 pixels",
    "AP_large": "larger objects",
    "AR1": "recall with one box a picture and class",
    "AR10": "recall with ten",
    "AR100": "recall with a hundred",
    "AR_small": "recall of small objects",
    "AR_medium": "recall of medium objects",
    "AR_large": "recall of large objects",
}


def write_page(
    folder: Path,
    title: str,
    report: DetectionReport,
    counts: Mapping[str, Sequence[int]],
    sheets: Mapping[str, Path],
    drawn: Sequence[Path],
) -> Path:
    """Write the report, which shows pictures that lie in the same folder.

    Args:
        folder: where to.
        title: what was measured.
        report: its figures.
        counts: of `count_kinds`.
        sheets: of `write_sheets`.
        drawn: pictures with what was found.
    """
    parts = [
        f"<h1>{escape(title)}</h1>",
        _measures(report),
        _curves(report),
        _figures(report),
        _mistakes(report, counts, folder, sheets),
    ]
    if drawn:
        shown = "".join(_picture(folder, path) for path in drawn)
        parts.append(f'<h2>Found</h2><div class="found">{shown}</div>')
    head = f"<meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style>"
    page = f"<!doctype html><html><head>{head}</head><body>{''.join(parts)}</body>"
    target = folder / PAGE
    write_atomically(target, f"{page}</html>\n".encode())
    return target


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A table; the first row is headings."""
    lines = []
    for number, row in enumerate(rows):
        tag = "td" if number else "th"
        cells = "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)
        lines.append(f"<tr>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def share(value: float) -> str:
    """A figure with three places; nothing for one of objects that do not occur.

    Example:
        >>> share(0.25), share(-1)
        ('0.250', '')
    """
    return "" if value < 0 else f"{value:.3f}"


def _measures(report: DetectionReport) -> str:
    rows = [["class", "objects", "AP@0.5", "AP@0.75", "AP", "recall, 100 boxes"]]
    for name, found in report.by_class.items():
        numbers = [share(found[key]) for key in ("AP50", "AP75", "AP", "AR100")]
        rows.append([name, f"{found['objects']:,.0f}", *numbers])
    means = [share(report.figures[key]) for key in ("AP50", "AP75", "AP", "AR100")]
    total = sum(found["objects"] for found in report.by_class.values())
    rows.append(["mean of the classes", f"{total:,.0f}", *means])
    return "<h2>Average precision</h2>" + _table(rows)


def _figures(report: DetectionReport) -> str:
    rows = [["figure", "value", "of"]]
    rows += [[key, share(report.figures[key]), MEANINGS[key]] for key in MEANINGS]
    return "<h2>The twelve figures of COCO</h2>" + _table(rows)


def _mistakes(
    report: DetectionReport,
    counts: Mapping[str, Sequence[int]],
    folder: Path,
    sheets: Mapping[str, Path],
) -> str:
    rows = [["class", *counts]]
    for label, name in zip(report.classes, report.by_class, strict=True):
        rows.append([name, *(f"{counts[kind][label]:,}" for kind in counts)])
    rows.append(["all", *(f"{number:,}" for number in as_counts(counts).values())])
    text = "<h2>Right and wrong</h2>" + _table(rows)
    text += "<p>White is the true box, coloured what was found.</p>"
    for kind, path in sheets.items():
        text += f"<h3>{escape(kind)}</h3>{_picture(folder, path)}"
    return text


def _picture(folder: Path, path: Path) -> str:
    return f'<img src="{escape(path.relative_to(folder).as_posix())}" alt="">'


def _curves(report: DetectionReport) -> str:
    """Precision against recall, a line for each class, and where they balance."""
    lines = []
    for place, (label, name) in enumerate(
        zip(report.classes, report.by_class, strict=True)
    ):
        curve = report.curve(label)
        if curve["precision"].max() < 0:
            continue
        pairs = zip(curve["recall"], curve["precision"], strict=True)
        points = " ".join(f"{SIDE * x:.1f},{SIDE * (1 - y):.1f}" for x, y in pairs)
        color = "#{:02x}{:02x}{:02x}".format(*class_color(label))
        style = f'fill="none" stroke="{color}" stroke-width="2"'
        lines.append(f'<polyline points="{points}" {style}/>')
        best = balance(report, label)
        if best is not None:
            x, y = SIDE * best.recall, SIDE * (1 - best.precision)
            lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}"/>')
        if place < SIDE // 18:
            at = f'x="{SIDE + 12}" y="{18 * place + 14}" fill="{color}"'
            lines.append(f"<text {at}>{escape(name)}</text>")
    frame = f'<rect width="{SIDE}" height="{SIDE}" fill="none" stroke="#999"/>'
    view = f'viewBox="-4 -4 {SIDE + 200} {SIDE + 28}" width="{SIDE + 200}"'
    below = f'<text x="0" y="{SIDE + 18}">recall (across), precision (up)</text>'
    return f"<h2>Curves</h2><svg {view}>{frame}{''.join(lines)}{below}</svg>"
