"""Fashion-MNIST: 70,000 pictures of clothes of 28 x 28 pixels."""

from __future__ import annotations

from pathlib import Path

from chainrule.datasets.idx_files import IdxFiles, Part, Split

FILES = IdxFiles(
    title="Fashion-MNIST",
    module="fashion_mnist",
    folders=("fashion_mnist", "fashion-mnist", "FashionMNIST/raw"),
    mirrors=(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    # the digests of the packed files are those that Keras publishes
    parts=(
        Part(
            "train-images-idx3-ubyte",
            47_040_016,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            32_000_000,
            of_packed=True,
        ),
        Part(
            "train-labels-idx1-ubyte",
            60_008,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            60_000,
            of_packed=True,
        ),
        Part(
            "t10k-images-idx3-ubyte",
            7_840_016,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            6_000_000,
            of_packed=True,
        ),
        Part(
            "t10k-labels-idx1-ubyte",
            10_008,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            10_000,
            of_packed=True,
        ),
    ),
)
CLASS_NAMES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


def load_data(path: str | Path | None = None) -> tuple[Split, Split]:
    """Fashion-MNIST as Keras gives it.

    Its files have the names of MNIST's, so they are looked for in a folder of their
    own: `fashion_mnist`, `fashion-mnist` or `FashionMNIST/raw` in the one that
    `CHAINRULE_DATA` names, then in the cache, and else downloaded to the cache. The
    SHA-256 of every packed file is checked.

    Args:
        path: a folder that holds the four packed files; nothing else is searched then.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: images uint8 `(60000, 28, 28)` and
        `(10000, 28, 28)`, 0 to 255; labels uint8, 0 to 9, which `CLASS_NAMES` names.

    Raises:
        DataError: when `path` lacks a file, or a file has another content.
        DownloadError: when a file is nowhere and no mirror delivers it; says where to
            put the files.

    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for
    benchmarking machine learning algorithms", 2017. https://arxiv.org/abs/1708.07747

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
        >>> CLASS_NAMES[9]
        'Ankle boot'
    """
    return FILES.load(path)
