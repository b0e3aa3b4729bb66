"""The commands for detection: train, evaluate and detect, with what they show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chainrule.data.annotations import Annotations, read_annotations
from chainrule.data.picture_index import find_pictures
from chainrule.data.pictures import load_picture
from chainrule.errors import ArgumentError, FormatError
from chainrule.recipes import detection_report as report
from chainrule.recipes.detection import (
    BEST,
    HELD_OUT_PARTS,
    Outcome,
    Plan,
    Problem,
    find_in,
    learn,
    pose,
)
from chainrule.recipes.detection_measures import USUAL_SCORE, measure
from chainrule.recipes.detection_network import TASK, is_detector
from chainrule.recipes.detection_pictures import Examples, Frame
from chainrule.recipes.detection_use import Found, find_objects, size_of
from chainrule.recipes.run_folder import MODEL, choose_folder, write_run
from chainrule.recipes.tabular_command import make_console
from chainrule.training.files import write_atomically

__all__ = ["TASK", "detect", "detect_picture", "evaluate", "train"]

DRAWN = 8  # pictures of a run with what was found in them
MOST_SHOWN = 20  # objects, or problems, that are named


def train(path: str, plan: Plan, out: Path | None, resume: bool = False) -> bool:
    """Learn from annotated pictures, show what came out, leave the folder of a run.

    Args:
        path: the annotations; see `read_annotations`.
        plan: how to train.
        out: the folder asked for.
        resume: whether to go on with a run that was cut short.

    Returns:
        Whether training was interrupted.
    """
    console = make_console()
    problem = pose(path, plan)
    show_problem(console, path, problem)
    name = Path(path).resolve().name.partition(".")[0]
    folder = choose_folder(name, out, resume=resume)

    def show(line: str) -> None:
        console.print(line, markup=False)

    outcome = learn(problem, plan, folder, show)
    show_outcome(console, outcome)
    write_outcome(folder, path, problem, plan, outcome)
    console.print(f"\nthe run is in {folder}, the model in {folder / MODEL}")
    console.print(f"  chainrule detect {folder} PICTURE.jpg -o found.png")
    return bool(outcome.history.interrupted)


def show_problem(console: Any, path: str, problem: Problem) -> None:
    """What there is to learn from, and what was wrong with it."""
    annotations, size = problem.annotations, problem.size
    classes = len(annotations.class_names)
    console.print(f"{path}: {len(annotations):,} pictures, {classes} classes\n")
    parts = {"to learn from": problem.train, "held out": problem.held_out}
    console.print(report.boxes_table(annotations, parts))
    for note in problem.notes:
        console.print(f"  - {note}", markup=False)
    show_problems(console, annotations)
    strides = ", ".join(map(str, size.strides))
    console.print(
        f"\n{len(problem.train):,} pictures to learn from, {len(problem.held_out):,} "
        f"held out; the network sees {size.width} x {size.height} pixels and looks in "
        f"steps of {strides}\n"
    )


def show_problems(console: Any, annotations: Annotations) -> None:
    """The first problems of the annotations, and how many there are."""
    for problem in annotations.problems[:MOST_SHOWN]:
        console.print(f"  - {problem}", markup=False)
    more = len(annotations.problems) - MOST_SHOWN
    if more > 0:
        console.print(f"  - and {more:,} problems more")


def show_outcome(console: Any, outcome: Outcome) -> None:
    """How well objects are found in the pictures held out."""
    weights = outcome.network.count_params()
    epochs = len(outcome.history.epoch)
    console.print(f"\n{weights:,} weights, trained for {epochs} epochs\n")
    console.print(report.measures_table(outcome.report))


def write_outcome(
    folder: Path, path: str, problem: Problem, plan: Plan, outcome: Outcome
) -> None:
    """Write the model, the History, figures, curves, problems and pictures."""
    numbers = {
        "data": str(Path(path).resolve()),
        "pictures": {"train": len(problem.train), "held_out": len(problem.held_out)},
        "held_out": outcome.report.figures,
        "by_class": outcome.report.by_class,
        "problems": [str(each) for each in problem.annotations.problems],
    }
    write_run(folder, outcome.network, outcome.history, plan, numbers)
    report.write_curves(folder, outcome.report)
    held_out = problem.annotations.subset(problem.held_out)
    (folder / BEST).unlink(missing_ok=True)  # the model has these weights
    report.draw_found(folder, held_out, outcome.found, score_of(outcome.network), DRAWN)


def score_of(network: Any) -> float:
    """From which score on a network's boxes are shown."""
    return float(network.notes.get("score", USUAL_SCORE))


# ---- saved models --------------------------------------------------------------------


def evaluate(network: Any, path: str | None) -> None:
    """Measure a saved detector on annotated pictures.

    Of annotations with parts, those held out are taken.
    """
    if path is None:
        raise ArgumentError(
            "say on which pictures to measure",
            where="data",
            fix="chainrule evaluate MODEL ANNOTATIONS",
        )
    console = make_console()
    annotations = read_annotations(path, class_names=network.notes["class_names"])
    show_problems(console, annotations)
    part = next((name for name in HELD_OUT_PARTS if name in annotations.splits), None)
    if part is not None:
        annotations = annotations.split(part)
    found = find_in(network, Examples(annotations.pictures, size_of(network)))
    named = "" if part is None else f" of the part {part}"
    console.print(f"{path}: {len(annotations):,} pictures{named}\n", markup=False)
    console.print(report.measures_table(measure(annotations, found)))


def detect(
    network: Any,
    source: Path,
    output: Path | None,
    score: float | None = None,
    numbers: Path | None = None,
) -> None:
    """Find objects in a picture, or in all pictures of a folder, and draw them.

    Args:
        network: a saved detector.
        source: the picture, or the folder.
        output: the picture to write, or the folder for them.
        score: the least score of what is drawn; that of the network by default.
        numbers: a JSON file for what was found.

    Raises:
        ArgumentError: when the model is no detector, or the score no share.
        FormatError: when the picture is damaged; in a folder it is named and left out.
    """
    if not is_detector(network):
        raise ArgumentError(
            "this model does not find objects",
            where=network.name,
            fix="chainrule train ANNOTATIONS --task detect",
        )
    least = score_of(network) if score is None else score
    if not 0 <= least <= 1:
        raise ArgumentError("a score is a share", where="--score", got=least)
    console = make_console()
    whole = source.is_dir()
    files = [Path(name) for name in find_pictures(source)] if whole else [source]
    listed = []
    for file in files:
        try:
            found = detect_picture(network, file).above(least)
        except FormatError as error:
            if not whole:
                raise
            console.print(f"left out: {error}", markup=False)
            continue
        listed.append({"picture": str(file), "found": as_records(network, found)})
        show_found(console, network, file, found)
        target = target_of(file, output, whole)
        report.draw(target, file, found, network.notes["class_names"])
    if numbers is not None:
        write_atomically(numbers, (json.dumps(listed, indent=1) + "\n").encode())


def detect_picture(network: Any, source: Any) -> Found:
    """The objects in one picture: a path, bytes or an open file.

    Example:
        >>> import numpy as np, io
        >>> from PIL import Image
        >>> from chainrule.recipes.detection_network import Size, build_network
        >>> size = Size(32, 32, (4, 8), stem=2, stages=(2, 2), pyramid=2, head=1)
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (40, 20)).save(file, "png")
        >>> found = detect_picture(build_network(size, ["cat"]), file.getvalue())
        >>> found.above(0.5).boxes.shape
        (0, 4)
    """
    pixels = load_picture(source)
    frame = Frame(*size_of(network), pixels.shape[:2])
    return next(find_objects(network, [(frame, frame.fill(source))], batch_size=1))


def as_records(network: Any, found: Found) -> list[dict[str, Any]]:
    """What was found, in terms of JSON."""
    names = network.notes["class_names"]
    rows = zip(
        found.labels.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True
    )
    return [
        {
            "class": names[label],
            "score": round(score, 4),
            "box": [round(side, 1) for side in box],
        }
        for label, score, box in rows
    ]


def show_found(console: Any, network: Any, file: Path, found: Found) -> None:
    """The objects of one picture, in lines."""
    names: Sequence[str] = network.notes["class_names"]
    counts = {
        name: int((found.labels == label).sum()) for label, name in enumerate(names)
    }
    text = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    console.print(f"{file}: {text or 'nothing found'}", markup=False)


def target_of(file: Path, output: Path | None, folder: bool) -> Path:
    """Where the picture of what was found goes: never onto the picture itself.

    Example:
        >>> str(target_of(Path("a/b.jpg"), None, False))
        'b-found.png'
        >>> str(target_of(Path("a/b.jpg"), Path("out"), True))
        'out/b-found.png'
    """
    name = f"{file.stem}-found.png"
    if folder:
        where = Path("found") if output is None else output
        where.mkdir(parents=True, exist_ok=True)
        return where / name
    return Path(name) if output is None else output
