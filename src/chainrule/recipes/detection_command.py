"""The commands for detection: train, evaluate and detect, with what they show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.annotations import (
    ANNOTATION_ENDINGS,
    Annotations,
    to_coco_results,
)
from chainrule.data.picture_index import find_pictures
from chainrule.errors import ArgumentError, FormatError
from chainrule.metrics import DetectionReport
from chainrule.recipes import detection_report as report
from chainrule.recipes.detection import BEST, Outcome, Plan, Problem, learn, pose
from chainrule.recipes.detection_gallery import as_counts
from chainrule.recipes.detection_measures import measure, scores_of
from chainrule.recipes.detection_mistakes import count_kinds, judge
from chainrule.recipes.detection_network import TASK
from chainrule.recipes.detection_page import PAGE
from chainrule.recipes.detection_use import Found, Suppression
from chainrule.recipes.detector import Detector, as_records
from chainrule.recipes.run_folder import choose_folder, write_run
from chainrule.recipes.tabular_command import make_console
from chainrule.training.files import write_atomically

__all__ = ["TASK", "detect", "evaluate", "is_annotations", "train"]

Array = np.ndarray[Any, Any]

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
    counts = write_outcome(folder, path, problem, plan, outcome)
    show_mistakes(console, problem.class_names, counts, scores_of(outcome.network))
    console.print(f"\nthe run is in {folder}, its report in {folder / PAGE}")
    console.print(f"  chainrule detect {folder} PICTURE.jpg -o found.png")
    return bool(outcome.history.interrupted)


def is_annotations(path: str) -> bool:
    """Whether this is a file of annotations, of COCO or Pascal VOC.

    Example:
        >>> is_annotations("instances_train.json"), is_annotations("people.csv")
        (False, False)
    """
    file = Path(path)
    return file.suffix.lower() in ANNOTATION_ENDINGS and file.is_file()


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
) -> dict[str, list[int]]:
    """Write the model, the History, figures and the report; the mistakes by kind."""
    held_out = problem.annotations.subset(problem.held_out)
    score = scores_of(outcome.network)
    judged = judge(held_out, outcome.found, score)
    counts = count_kinds(judged, len(held_out.class_names))
    numbers = {
        "data": str(Path(path).resolve()),
        "pictures": {"train": len(problem.train), "held_out": len(problem.held_out)},
        "held_out": outcome.report.figures,
        "by_class": outcome.report.by_class,
        "mistakes": as_counts(counts),
        "problems": [str(each) for each in problem.annotations.problems],
    }
    write_run(folder, outcome.network, outcome.history, plan, numbers)
    (folder / BEST).unlink(missing_ok=True)  # the model has these weights
    title = f"{path}: {len(held_out):,} pictures held out"
    shown = (held_out, outcome.found, outcome.report, judged, score)
    report.write_report(folder, title, *shown)
    return counts


# ---- saved models --------------------------------------------------------------------


def evaluate(
    network: Any,
    path: str | None,
    suppression: Suppression | None = None,
    results: Path | None = None,
    out: Path | None = None,
) -> None:
    """Measure a saved detector on annotated pictures.

    Of annotations with parts, those held out are taken.

    Args:
        network: a saved detector.
        path: the annotations.
        suppression: how boxes of the same object are told apart.
        results: a file of COCO results to write.
        out: a folder for the report.

    Raises:
        ArgumentError: without annotations.
    """
    if path is None:
        raise ArgumentError(
            "say on which pictures to measure",
            where="data",
            fix="chainrule evaluate MODEL ANNOTATIONS",
        )
    console = make_console()
    detector = Detector(network, suppression)
    annotations = detector.read(path)
    show_problems(console, annotations)
    found = detector.find_annotated(annotations)
    part = "".join(f" of the part {name}" for name in annotations.splits)
    title = f"{path}: {len(annotations):,} pictures{part}"
    console.print(f"{title}\n", markup=False)
    measured = measure(annotations, found)
    judged = judge(annotations, found, detector.scores)
    counts = count_kinds(judged, len(detector.class_names))
    show_measured(console, measured, counts, detector)
    if results is not None:
        rows = to_coco_results(annotations, [vars(each) for each in found])
        write_atomically(results, (json.dumps(rows) + "\n").encode())
        console.print(f"\n{len(rows):,} boxes in {results}", markup=False)
    if out is not None:
        shown = (annotations, found, measured, judged, detector.scores)
        page = report.write_report(out, title, *shown)
        console.print(f"\nthe report is {page}", markup=False)


def show_measured(
    console: Any,
    measured: DetectionReport,
    counts: dict[str, list[int]],
    detector: Detector,
) -> None:
    """Figures of each class, those of COCO, and the mistakes."""
    console.print(report.measures_table(measured))
    console.print()
    console.print(report.figures_table(measured))
    show_mistakes(console, detector.class_names, counts, detector.scores)


def show_mistakes(
    console: Any, names: Sequence[str], counts: dict[str, list[int]], scores: Array
) -> None:
    """How many objects were found, missed and mistaken."""
    pairs = zip(names, scores.tolist(), strict=True)
    least = ", ".join(f"{name} {score:.2f}" for name, score in pairs)
    console.print(f"\nfrom these scores on: {least}\n", markup=False)
    console.print(report.mistakes_table(names, counts))


def detect(
    network: Any,
    source: Path,
    output: Path | None,
    score: float | None = None,
    numbers: Path | None = None,
    suppression: Suppression | None = None,
) -> None:
    """Find objects in a picture, or in all pictures of a folder, and draw them.

    Args:
        network: a saved detector.
        source: the picture, or the folder.
        output: the picture to write, or the folder for them.
        score: the least score of what is drawn; by default that of its class, where
            precision and recall were best together.
        numbers: a JSON file for what was found.
        suppression: how boxes of the same object are told apart.

    Raises:
        ArgumentError: when the model is no detector, or the score no share.
        FormatError: when the picture is damaged; in a folder it is named and left out.
    """
    detector = Detector(network, suppression)
    least = detector.scores if score is None else score
    if score is not None and not 0 <= score <= 1:
        raise ArgumentError("a score is a share", where="--score", got=score)
    console = make_console()
    whole = source.is_dir()
    files = [Path(name) for name in find_pictures(source)] if whole else [source]
    listed = []
    for file in files:
        try:
            found = detector.find(file).above(least)
        except FormatError as error:
            if not whole:
                raise
            console.print(f"left out: {error}", markup=False)
            continue
        records = as_records(detector.class_names, found)
        listed.append({"picture": str(file), "found": records})
        show_found(console, network, file, found)
        target = target_of(file, output, whole)
        report.draw(target, file, found, detector.class_names)
    if numbers is not None:
        write_atomically(numbers, (json.dumps(listed, indent=1) + "\n").encode())


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
