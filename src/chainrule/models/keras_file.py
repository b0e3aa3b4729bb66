"""The weights in files of Keras: HDF5, layers numbered by class, arrays by place."""

from __future__ import annotations

import os
import re
from typing import Any

from chainrule.errors import ArgumentError, FormatError
from chainrule.models.foreign import NO_WEIGHTS, Module
from chainrule.training.data import Array
from chainrule.training.saving import Arrays


def read_keras(path: str | os.PathLike[str]) -> list[Module]:
    """The layers in a file that Keras's `save_weights` wrote.

    Raises:
        ArgumentError: where the package h5py is not installed.
        FormatError: when the file is damaged or holds something else.
    """
    try:
        # files of Keras alone need it
        import h5py  # noqa: PLC0415
    except ImportError:
        raise ArgumentError(
            "files of HDF5 are read by the package h5py, which is not there",
            where=str(path),
            fix="pip install h5py; or keep the weights in safetensors: "
            "save_file({v.path: v.numpy() for v in model.weights}, path)",
        ) from None
    try:
        with h5py.File(path, "r") as file:
            return [m for at in _numbered(file, "layers") for m in _inside(*at, "")]
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FormatError(
            "the file is damaged, or holds no weights of Keras",
            where=str(path),
            got=repr(error)[:200],
        ) from None


def _numbered(group: Any, name: str) -> list[tuple[str, Any]]:
    """The groups in `group[name]` as Keras numbered them: dense, dense_1, dense_10."""
    if name not in group:
        return []

    def place(key: str) -> tuple[str, int]:
        number = re.search(r"_(\d+)$", key)
        return _kind(key), int(number[1]) if number else 0

    return [(key, _held(group[name], key)) for key in sorted(group[name], key=place)]


def _kind(key: str) -> str:
    """The class in what Keras calls a layer by its class and its place."""
    return re.sub(r"_\d+$", "", key)


def _held(group: Any, key: str) -> Any:
    """What a group holds itself: no link leads elsewhere, to another file perhaps."""
    if type(group.get(key, getlink=True)).__name__ != "HardLink":
        raise ValueError(f"{group.name}/{key} is a link")
    return group[key]


def _inside(key: str, group: Any, prefix: str) -> list[Module]:
    """The layer of a group; or the layers of a model that it is."""
    name = str(group["vars"].attrs.get("name", key)) if "vars" in group else key
    path = f"{prefix}{name}"
    inner = _numbered(group, "layers")
    if inner:
        return [m for place in inner for m in _inside(*place, f"{path}/")]
    parts = _parts(group, "")
    # a layer of several, whose order the file does not tell, has no kind of ours
    kind = _kind(key) if len(parts) == 1 else f"{_kind(key)} of several"
    return [
        Module(f"{path}{part}", held, {x: f"{path}{part}/{x}" for x in held}, kind)
        for part, held in parts
    ]


def _parts(group: Any, path: str) -> list[tuple[str, Arrays]]:
    """The groups of arrays in a group and in those inside it."""
    found: list[tuple[str, Arrays]] = []
    for key in group:
        part = _held(group, key)
        if key == "vars":
            held = {x: _plain(_held(part, x)) for x in sorted(part, key=int)}
            found += [(path, held)] if held else []
        elif key not in NO_WEIGHTS and hasattr(part, "keys"):
            found += _parts(part, f"{path}/{key}")
    return found


def _plain(part: Any) -> Array:
    """The numbers of a data set that are in the file, as Keras writes them."""
    stored = part.compression is None and not part.external and not part.is_virtual
    if not stored or part.dtype.kind not in "fiub":
        raise ValueError(f"{part.name} is no plain array of numbers: {part.dtype}")
    if part.id.get_storage_size() < part.nbytes:
        raise ValueError(
            f"{part.name} claims {part.nbytes:,} bytes, which are not there"
        )
    array: Array = part[()]
    return array
