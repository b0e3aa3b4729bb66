"""Detectors in a few lines: learn, find, draw, measure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.boxes import draw_boxes
from chainrule.data.annotations import Annotations, read_annotations
from chainrule.errors import ArgumentError
from chainrule.metrics import DetectionReport
from chainrule.models import load_model
from chainrule.recipes.detection import HELD_OUT_PARTS, Plan, find_in, learn, pose
from chainrule.recipes.detection_measures import measure, scores_of
from chainrule.recipes.detection_network import is_detector
from chainrule.recipes.detection_pictures import Examples, Frame, load_pixels
from chainrule.recipes.detection_use import Found, Suppression, find_objects, size_of
from chainrule.recipes.run_folder import choose_folder, find_model, write_run

__all__ = ["Detector", "Found", "Suppression", "as_records", "train_detector"]

Array = np.ndarray[Any, Any]


class Detector:
    """A network that finds objects, and how its boxes are told apart.

    Args:
        network: of `train_detector`, or loaded by `load_model`.
        suppression: see `Suppression`.

    Attributes:
        class_names: what labels stand for.
        scores: from which score on boxes are shown, for each class: where precision
            and recall were best together on the pictures held out.

    Raises:
        ArgumentError: when the network does not find objects.

    Example:
        >>> from PIL import Image
        >>> from chainrule.recipes.detection_network import Size, build_network
        >>> size = Size(32, 32, (4, 8), stem=2, stages=(2, 2), pyramid=2, head=1)
        >>> detector = Detector(build_network(size, ["cat"]))
        >>> picture = np.zeros((20, 40, 3), np.uint8)
        >>> detector.find(picture).above(0.5).boxes.shape
        (0, 4)
        >>> detector.draw(picture, score=0.5).shape
        (20, 40, 3)
    """

    def __init__(self, network: Any, suppression: Suppression | None = None) -> None:
        if not is_detector(network):
            raise ArgumentError(
                "this model does not find objects",
                where=network.name,
                fix="chainrule train ANNOTATIONS --task detect",
            )
        self.network = network
        self.suppression = suppression or Suppression()
        self.class_names: list[str] = list(network.notes["class_names"])
        self.scores = scores_of(network)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], suppression: Suppression | None = None
    ) -> Detector:
        """The detector in a file, or in the folder of a run.

        Raises:
            ArgumentError: when there is none.
            FormatError: when the file is damaged.
        """
        return cls(load_model(find_model(Path(path))), suppression)

    def find(self, picture: Any) -> Found:
        """The objects in one picture: a path, bytes, an open file, or pixels.

        Raises:
            FormatError: when it is damaged.
        """
        return next(self.find_all([picture]))

    def find_all(self, pictures: Iterable[Any], batch_size: int = 1) -> Iterator[Found]:
        """The objects in each of many pictures, looked at in batches."""

        def frames() -> Iterator[tuple[Frame, Array]]:
            for picture in pictures:
                pixels = load_pixels(picture)
                frame = Frame(*size_of(self.network), pixels.shape[:2])
                yield frame, frame.fill(picture)

        return find_objects(self.network, frames(), batch_size, self.suppression)

    def draw(
        self, picture: Any, found: Found | None = None, score: float | None = None
    ) -> Array:
        """The picture with the objects in it: uint8 `(height, width, 3)`.

        Args:
            picture: as for `find`.
            found: what was found in it before; it is looked at again by default.
            score: the least score of what is drawn; `self.scores` by default.
        """
        objects = self.find(picture) if found is None else found
        shown = objects.above(self.scores if score is None else score)
        names = self.class_names
        pixels = load_pixels(picture)
        return draw_boxes(pixels, shown.boxes, shown.labels, shown.scores, names)

    def read(self, path: str | os.PathLike[str]) -> Annotations:
        """Annotated pictures with the classes of this detector.

        Of annotations with parts, those held out from training are taken.
        """
        annotations = read_annotations(path, class_names=self.class_names)
        named = [name for name in HELD_OUT_PARTS if name in annotations.splits]
        if not named:
            return annotations
        part, problems = annotations.split(named[0]), annotations.problems
        return replace(
            part, problems=problems, splits={named[0]: list(range(len(part)))}
        )

    def find_annotated(self, annotations: Annotations) -> list[Found]:
        """The objects in annotated pictures."""
        examples = Examples(annotations.pictures, size_of(self.network))
        return find_in(self.network, examples, self.suppression)

    def evaluate(self, annotations: str | os.PathLike[str]) -> DetectionReport:
        """The figures of COCO on annotated pictures; see `read`."""
        pictures = self.read(annotations)
        return measure(pictures, self.find_annotated(pictures))


def train_detector(
    annotations: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    show: Callable[[str], object] = lambda line: None,
    **options: Any,
) -> Detector:
    """Learn from annotated pictures to find what they show.

    Args:
        annotations: a folder, a zip or a file; see `read_annotations`.
        out: the folder of the run, in which the model is left; by default
            `runs/NAME`, `runs/NAME-2`, ...
        show: is told of every epoch, as `print` is.
        **options: see `Plan`: `epochs`, `size`, `seed` and others.

    Raises:
        DataError: when there is nothing to learn from.
        ArgumentError: when the folder holds a model already.
    """
    size = options.get("size")
    if isinstance(size, int):
        options["size"] = (size,)
    path, plan = str(annotations), Plan(**options)
    problem = pose(path, plan)
    wanted = None if out is None else Path(out)
    folder = choose_folder(Path(path).resolve().name.partition(".")[0], wanted)
    outcome = learn(problem, plan, folder, show)
    results = {"data": path, "held_out": outcome.report.figures}
    write_run(folder, outcome.network, outcome.history, plan, results)
    return Detector(outcome.network)


def as_records(class_names: Sequence[str], found: Found) -> list[dict[str, Any]]:
    """What was found, in terms of JSON: `class`, `score` and `box`.

    Example:
        >>> found = Found(np.float32([[1, 2, 3, 4]]), np.float32([0.5]), np.array([0]))
        >>> as_records(["cat"], found)
        [{'class': 'cat', 'score': 0.5, 'box': [1.0, 2.0, 3.0, 4.0]}]
    """
    rows = zip(
        found.labels.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True
    )
    return [
        {
            "class": class_names[label],
            "score": round(score, 4),
            "box": [round(side, 1) for side in box],
        }
        for label, score, box in rows
    ]
