"""What a run of training leaves behind: a folder with the model and its History."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chainrule.errors import ArgumentError
from chainrule.models import Model
from chainrule.training.files import write_atomically
from chainrule.training.history import History
from chainrule.training.resume_file import Checkpoints
from chainrule.training.run_record import write_record

MODEL = "model.chainrule"
CURVE = "loss.png"


def choose_folder(
    name: str, out: Path | None, base: Path = Path("runs"), resume: bool = False
) -> Path:
    """The folder of a run, made where it is new.

    Args:
        name: what the run is called.
        out: the folder asked for; None counts up under `base`: `digits`, `digits-2`.
        base: where runs are kept.
        resume: whether to take the last run, where there is one.

    Raises:
        ArgumentError: when a new run's folder holds another already, or cannot be made.
    """
    if out is None:
        number = 1
        free = out = base / name
        while free.exists():
            last, number = free, number + 1
            free = base / f"{name}-{number}"
            out = last if resume else free
    if not resume and Checkpoints.of_run(out).paths() and not (out / MODEL).exists():
        raise ArgumentError(
            "the folder holds a run that has not come to its end",
            where=str(out),
            fix=f"--out {out} --resume, or --out {out}-2",
        )
    if not resume and (out / MODEL).exists():
        raise ArgumentError(
            "the folder holds a model already, and it is not overwritten",
            where=str(out),
            fix=f"--out {out}-2, or remove the folder first",
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentError(
            "the folder cannot be made", where=str(out), got=error.strerror
        ) from None
    return out


def write_run(
    folder: Path,
    model: Model,
    history: History,
    plan: Any,
    results: dict[str, Any],
) -> bool:
    """Write model, History, settings and the loss curve; say whether that was drawn.

    `model.chainrule` the model; `history.csv` and `history.json` the numbers of every
    epoch; `run.json` settings and results, beside what `fit` has written there about
    versions, data and command; `loss.png` the loss curve, which needs
    matplotlib.
    """
    model.save(folder / MODEL)
    history.to_csv(folder / "history.csv")
    history.to_json(folder / "history.json")
    write_record(folder, plan=dataclasses.asdict(plan), **results)
    picture = draw_curve(history)
    if picture is not None:
        write_atomically(folder / CURVE, picture)
    return picture is not None


def find_model(path: Path) -> Path:
    """The file of a model, given as a file or as the folder of a run.

    Raises:
        ArgumentError: when there is none.
    """
    file = path / MODEL if path.is_dir() else path
    if not file.is_file():
        others = sorted(path.glob(f"*{Path(MODEL).suffix}"))
        raise ArgumentError(
            "there is no model here",
            where=str(path),
            got=", ".join(other.name for other in others) or None,
            expected=f"a file that model.save wrote, or a folder with {MODEL}",
            fix=f"name the file: {others[0]}" if others else "chainrule train digits",
        )
    return file


def newest_run(base: Path = Path("runs")) -> Path:
    """The folder of the run whose model was written last.

    Raises:
        ArgumentError: when there is none.
    """
    models = list(base.glob(f"*/{MODEL}"))
    if not models:
        raise ArgumentError(
            "there is no run here",
            where=str(base),
            expected=f"a folder with {MODEL}",
            fix="name a model, or train one first: chainrule train ...",
        )
    return max(models, key=lambda file: file.stat().st_mtime_ns).parent


def draw_curve(history: History) -> bytes | None:
    """The loss by epoch as a PNG; None where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an optional package
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415
    except ImportError:
        return None
    figure = Figure(figsize=(6.4, 4.0), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    epochs = [epoch + 1 for epoch in history.epoch]
    for name, label in (("loss", "training"), ("val_loss", "test")):
        column: Sequence[float] = history.history.get(name, ())
        if column:
            axes.plot(epochs, column, marker="o", markersize=3, label=label)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if epochs:
        axes.legend()
    axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
