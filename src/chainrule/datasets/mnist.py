"""MNIST: 70,000 handwritten digits of 28 x 28 pixels."""

from __future__ import annotations

from pathlib import Path

from chainrule.datasets.idx_files import IdxFiles, Part, Split

FILES = IdxFiles(
    title="MNIST",
    module="mnist",
    folders=("mnist", "."),
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    parts=(
        Part(
            "train-images-idx3-ubyte",
            47_040_016,
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            16_000_000,
        ),
        Part(
            "train-labels-idx1-ubyte",
            60_008,
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            60_000,
        ),
        Part(
            "t10k-images-idx3-ubyte",
            7_840_016,
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            3_000_000,
        ),
        Part(
            "t10k-labels-idx1-ubyte",
            10_008,
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            10_000,
        ),
    ),
)
CLASS_NAMES = tuple("0123456789")


def load_data(path: str | Path | None = None) -> tuple[Split, Split]:
    """MNIST as Keras gives it.

    The four files of the data set (`train-images-idx3-ubyte.gz`, and so on, packed or
    not) are looked for in the folder that `CHAINRULE_DATA` names (and in `mnist` under
    it), then in the cache. A file that is in neither is downloaded to the cache. The
    content of every file is checked.

    Args:
        path: a folder that holds the files; nothing else is searched then.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: images uint8 `(60000, 28, 28)` and
        `(10000, 28, 28)`, 0 to 255; labels uint8 `(60000,)` and `(10000,)`, 0 to 9.

    Raises:
        DataError: when `path` lacks a file, or a file has another content, such as that
            of Fashion-MNIST, whose files have the same names.
        DownloadError: when a file is nowhere and no mirror delivers it; says where to
            put the files.

    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to
    document recognition", 1998.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
        >>> x_train.shape, x_train.dtype  # doctest: +SKIP
        ((60000, 28, 28), dtype('uint8'))
    """
    return FILES.load(path)
