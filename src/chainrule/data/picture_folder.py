"""A folder of pictures as a data set: found, put in order, decoded by threads."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from chainrule.data.dataset import Dataset, check_count
from chainrule.data.picture_index import (
    check_labels,
    code_labels,
    index_folder,
    split_rows,
)
from chainrule.data.picture_sizes import read_size
from chainrule.data.pictures import check_options, load_picture, pillow
from chainrule.errors import ArgumentError, DamagedFileWarning, FormatError
from chainrule.settings import SETTINGS

Array = np.ndarray[Any, Any]
Item = TypeVar("Item")
Made = TypeVar("Made")

DATA_FORMATS = (None, "channels_last", "channels_first")
CHOICES = ("raise", "skip")
MOST_THREADS = 8


def thread_count() -> int:
    """How many threads decode: one a core, not many."""
    return max(1, min(SETTINGS.threads or os.cpu_count() or 1, MOST_THREADS))


def made_ahead(
    function: Callable[[Item], Made], items: Iterable[Item], ahead: int
) -> Iterator[Made]:
    """`function` of every item, in order, by several threads up to `ahead` in advance.

    Example:
        >>> list(made_ahead(abs, [-2, 1, -3], ahead=2))
        [2, 1, 3]
    """
    waiting: deque[Future[Made]] = deque()
    pool = ThreadPoolExecutor(thread_count(), "chainrule-pictures")
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class PictureReader:
    """Reads pictures by their path, and knows what to do with damaged ones.

    Args:
        size: height and width.
        on_error: `"raise"`, or `"skip"` to warn once and leave the file out.
        options: as `load_picture` takes them.
    """

    def __init__(self, size: Any, on_error: str = "raise", **options: Any) -> None:
        if on_error not in CHOICES:
            raise ArgumentError(
                "a damaged file is refused or left out",
                where="on_error",
                got=repr(on_error),
                expected=" or ".join(CHOICES),
            )
        self.size = read_size(size)
        self.on_error = on_error
        check_options(**options)
        self.options = options
        self.skipped: list[str] = []

    def read(self, path: str) -> Array | None:
        """The picture; None where it is damaged and left out."""
        try:
            return load_picture(path, size=self.size, **self.options)
        except FormatError as error:
            if self.on_error == "raise":
                raise
            self.skipped.append(path)
            warnings.warn(f"left out: {error}", DamagedFileWarning, stacklevel=2)
            return None

    def read_all(self, paths: Sequence[str], ahead: int = 32) -> Iterator[Array | None]:
        """Pictures in the order of their paths; None for those that are left out."""
        pillow()
        return made_ahead(self.read, paths, ahead)


class PictureDataset(Dataset):
    """Batches of pictures that are read from files when they are needed.

    Attributes:
        class_names: the names of the classes, in the order of the labels; None without.
        file_paths: the files, in their first order.
        skipped: damaged files that were met and left out so far.
    """

    def __init__(
        self,
        file_paths: Sequence[str],
        labels: Array | None,
        class_names: list[str] | None,
        reader: PictureReader,
        batch_size: int | None = 32,
        shuffle: bool = False,
        seed: int = 0,
        data_format: str | None = None,
    ) -> None:
        if data_format not in DATA_FORMATS:
            raise ArgumentError(
                "unknown data_format",
                where="data_format",
                got=repr(data_format),
                expected=", ".join(map(repr, DATA_FORMATS)),
            )
        self.file_paths = list(file_paths)
        self.class_names = class_names
        self._labels = labels
        self._reader = reader
        self._batch_size = batch_size
        self._seed = seed if shuffle else None
        self._channels_first = data_format == "channels_first"
        self._passes = iter(range(1 << 62))
        super().__init__(self._read)

    @property
    def skipped(self) -> list[str]:
        """Damaged files that were met and left out so far."""
        return self._reader.skipped

    def cardinality(self) -> int:
        """How many batches a pass has, as far as damaged files are known."""
        rows = len(self.file_paths) - len(self.skipped)
        return -(-rows // (self._batch_size or 1))

    def __len__(self) -> int:
        return self.cardinality()

    def _read(self) -> Iterator[Any]:
        """One pass."""
        samples = self._samples()
        if self._batch_size is None:
            for picture, row in samples:
                yield self._element(picture, row)
            return
        while group := list(islice(samples, self._batch_size)):
            pictures = np.stack([picture for picture, _ in group])
            yield self._element(pictures, [row for _, row in group])

    def _samples(self) -> Iterator[tuple[Array, int]]:
        """Pictures with the number of their file, whole ones alone."""
        gone = set(self.skipped)
        order = [row for row in self._order() if self.file_paths[row] not in gone]
        paths = [self.file_paths[row] for row in order]
        ahead = max(32, self._batch_size or 0)
        pictures = self._reader.read_all(paths, ahead)
        for row, picture in zip(order, pictures, strict=True):
            if picture is not None:
                yield picture, row

    def _order(self) -> list[int]:
        """An order of its own for every pass."""
        count = len(self.file_paths)
        if self._seed is None:
            return list(range(count))
        numbers = np.random.default_rng([self._seed, next(self._passes)])
        return numbers.permutation(count).tolist()

    def _element(self, pictures: Array, rows: Any) -> Any:
        if self._channels_first:
            pictures = np.ascontiguousarray(np.moveaxis(pictures, -1, -3))
        return pictures if self._labels is None else (pictures, self._labels[rows])


def image_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: Any = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    verbose: bool = True,
    *,
    antialias: bool = False,
    on_error: str = "raise",
) -> Any:
    """Batches of the pictures in a folder, for `fit`; a folder in it for every class.

    As Keras does it, the labels are the places of the classes' folders in alphabetical
    order, pictures in folders below those count as well, and the same seed chooses the
    same pictures for validation. Pictures come as bytes, 0 to 255, and not as float32:
    begin the network with `Rescaling(1 / 255)`. They are decoded by several threads,
    ahead of use.

    Args:
        directory: the folder.
        labels: `"inferred"` from the folders, None for none, or one whole number for
            every picture in the order of their paths.
        label_mode: `"int"`: int32 `(batch,)`; `"categorical"`: float32
            `(batch, classes)`, 1 for the class; `"binary"`: float32 `(batch, 1)`, for
            two classes; None: no labels.
        class_names: the folders to take, in the order of their labels.
        color_mode: `"rgb"`, `"grayscale"` or `"rgba"`.
        batch_size: pictures of a batch; None gives single ones.
        image_size: the height and width that all are given.
        shuffle: whether every pass has a random order.
        seed: decides the orders, and which pictures validate.
        validation_split: the share of pictures to validate with.
        subset: `"training"`, `"validation"`, or `"both"`, which gives two data sets.
        interpolation: see `load_picture`.
        follow_links: whether to look into folders that are links.
        crop_to_aspect_ratio: whether to crop rather than distort.
        pad_to_aspect_ratio: whether to add borders rather than distort.
        data_format: `"channels_last"`, or `"channels_first"`.
        verbose: whether to print what was found.
        antialias: whether a pixel of a smaller picture takes in all that it covers,
            which is better for large photographs; Keras does not.
        on_error: `"raise"` refuses a damaged file by its name; `"skip"` warns and
            leaves it out, see `skipped`.

    Returns:
        A `PictureDataset` with `class_names` and `file_paths`; two for `"both"`.

    Raises:
        DataError: when there is no folder, or there are no pictures in it.
        ArgumentError: for arguments that do not fit.
        FormatError: during a pass, for a damaged file.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name, shade in {"day": "200 220", "night": "10 20"}.items():
        ...     (folder / name).mkdir()
        ...     _ = (folder / name / "1.pgm").write_text(f"P2 2 1 255 {shade}")
        >>> data = image_dataset_from_directory(folder, image_size=2, shuffle=False)
        Found 2 files belonging to 2 classes.
        >>> [(x.shape, y.tolist()) for x, y in data]
        [((2, 2, 2, 3), [0, 1])]
    """
    if labels is None or label_mode is None:
        labels = label_mode = None
    check_labels(labels, label_mode, class_names)
    if batch_size is not None:
        check_count("batch_size", batch_size, 1)
    seeded = seed is not None or not shuffle
    seed = SETTINGS.seed if seed is None else seed
    order, names, coded = _ordered(
        index_folder(Path(directory), labels, class_names, follow_links),
        label_mode,
        seed if shuffle else None,
        verbose,
    )
    parts = split_rows(len(order), validation_split, subset, seeded, str(directory))
    data_sets = []
    for number, rows in enumerate(parts):
        reader = PictureReader(
            image_size,
            on_error,
            color_mode=color_mode,
            interpolation=interpolation,
            antialias=antialias,
            crop_to_aspect_ratio=crop_to_aspect_ratio,
            pad_to_aspect_ratio=pad_to_aspect_ratio,
        )
        data_sets.append(
            PictureDataset(
                order[rows],
                None if coded is None else coded[rows],
                names,
                reader,
                batch_size,
                shuffle=shuffle and number == 0,
                seed=seed,
                data_format=data_format,
            )
        )
    return tuple(data_sets) if subset == "both" else data_sets[0]


def _ordered(
    index: tuple[list[str], Array | None, list[str] | None],
    label_mode: str | None,
    seed: int | None,
    verbose: bool,
) -> tuple[list[str], list[str] | None, Array | None]:
    """Pictures in a random order for a seed, the names of classes, coded labels."""
    paths, places, names = index
    if verbose:
        belonging = "" if names is None else f" belonging to {len(names)} classes"
        print(f"Found {len(paths)} files{belonging}.")
    coded = None
    if places is not None:
        coded = code_labels(places, label_mode, len(names or ()))
    if seed is None:
        return paths, names, coded
    order = np.arange(len(paths))
    # the generator of NumPy that Keras takes, for the same parts from the same seed
    np.random.RandomState(seed).shuffle(order)
    paths = [paths[row] for row in order.tolist()]
    return paths, names, None if coded is None else coded[order]
