"""The file of a saved model: a zip of JSON and safetensors, and nothing that is run.

    model.json             what the model is: classes and their arguments, how compiled
    weights.safetensors    the variables, by path
    optimizer.safetensors  the state of the optimizer, if it was saved

Entries are stored, not compressed, so that no small file can ask for much memory.
Files are written atomically; equal models give equal bytes. `docs/format.md` is the
specification.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, FormatError
from chainrule.ir.dtype import ALL, bfloat16, bool_, float16
from chainrule.training.data import Array
from chainrule.training.files import write_atomically
from chainrule.training.stored import UNREADABLE, pack_stored, read_stored

FORMAT = "chainrule-model"
VERSION = 1
DESCRIPTION = "model.json"
WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"
ENTRIES = (DESCRIPTION, WEIGHTS, OPTIMIZER)
LARGEST_DESCRIPTION = 16 << 20  # bytes of JSON
LARGEST_HEADER = 16 << 20  # bytes of JSON before the numbers of safetensors
ZIP_START = b"PK"

Arrays = dict[str, Array]


@dataclass(frozen=True)
class Contents:
    """What a file of a model holds.

    Attributes:
        description: what `model.json` says.
        weights: the variables.
        optimizer: the state of the optimizer; None where it was not saved.
    """

    description: dict[str, Any]
    weights: Arrays
    optimizer: Arrays | None = None


def write_model(path: str | os.PathLike[str], contents: Contents) -> Path:
    """Write a model's file, whole or not at all.

    Example:
        >>> import tempfile
        >>> contents = Contents({"name": "tiny"}, {"bias": np.zeros(2, np.float32)})
        >>> path = write_model(f"{tempfile.mkdtemp()}/tiny.chainrule", contents)
        >>> read_model(path).weights["bias"].tolist()
        [0.0, 0.0]
    """
    head = {"format": FORMAT, "version": VERSION}
    text = json.dumps({**head, **contents.description}, indent=1, allow_nan=False)
    if len(text) > LARGEST_DESCRIPTION:
        raise ArgumentError(
            "what describes the model is too large to be saved",
            where=str(path),
            got=f"{len(text):,} bytes of JSON",
            expected=f"at most {LARGEST_DESCRIPTION:,}",
            fix="keep large arrays in weights, and vocabularies short",
        )
    entries = {DESCRIPTION: text.encode(), WEIGHTS: pack_arrays(contents.weights)}
    if contents.optimizer is not None:
        entries[OPTIMIZER] = pack_arrays(contents.optimizer)
    return write_atomically(path, pack_stored(entries))


def read_model(path: str | os.PathLike[str]) -> Contents:
    """Read a model's file. Runs nothing that it contains.

    Raises:
        FormatError: when the file is damaged, of another kind, made by a newer version,
            or asks for more memory than its own size.
        OSError: when it cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            limits = {DESCRIPTION: LARGEST_DESCRIPTION}
            entries = read_stored(file, (ENTRIES, ENTRIES[:2]), limits)
        except FormatError as error:
            raise FormatError(
                f"this is no model of chainrule: {error.problem}",
                where=str(path),
                got=error.got,
            ) from None
        except UNREADABLE as error:
            raise _damaged(path, f"{error}") from None
    description = _parse_description(entries[DESCRIPTION], path)
    optimizer = entries.get(OPTIMIZER)
    return Contents(
        description,
        unpack_arrays(entries[WEIGHTS], f"{path}: {WEIGHTS}"),
        None if optimizer is None else unpack_arrays(optimizer, f"{path}: {OPTIMIZER}"),
    )


def _damaged(path: str | os.PathLike[str], reason: str) -> FormatError:
    return FormatError(
        "the file is damaged, or is no model of chainrule",
        where=str(path),
        got=reason,
        expected="a file that model.save wrote",
        fix="copy or save it again",
    )


def _parse_description(content: bytes, path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        description = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"{DESCRIPTION}: {error}") from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise _damaged(path, f"{DESCRIPTION} does not say format {FORMAT!r}")
    version = description.get("version")
    if version != VERSION:
        raise FormatError(
            "the file has another version of the format",
            where=str(path),
            got=version,
            expected=VERSION,
            fix="pip install --upgrade chainrule",
        )
    return description


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def write_weights(path: str | os.PathLike[str], weights: Mapping[str, Array]) -> Path:
    """Write arrays by name as a plain safetensors file, whole or not at all.

    Example:
        >>> import tempfile
        >>> ones = np.ones(2, np.float32)
        >>> path = write_weights(f"{tempfile.mkdtemp()}/w.safetensors", {"bias": ones})
        >>> read_weights(path)["bias"].tolist()
        [1.0, 1.0]
    """
    return write_atomically(path, pack_arrays(weights))


def read_weights(path: str | os.PathLike[str]) -> Arrays:
    """The arrays of a safetensors file, or the weights in the file of a model.

    Raises:
        FormatError: when the file is damaged.
        OSError: when it cannot be opened.
    """
    with open(path, "rb") as file:
        if file.read(len(ZIP_START)) == ZIP_START:
            return read_model(path).weights
        file.seek(0)
        # the header is looked at before the numbers are read
        _check_header(file.read(8), os.fstat(file.fileno()).st_size, str(path))
        file.seek(0)
        return unpack_arrays(file.read(), str(path))


def _check_header(start: bytes, size: int, where: str) -> None:
    """Refuse a header that is larger than the file, or than any that we write."""
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, LARGEST_HEADER):
        raise FormatError(
            "the file is damaged, or is not in the format safetensors",
            where=where,
            got=f"a header of {length:,} bytes in {size:,}",
            expected=f"at most {LARGEST_HEADER:,} bytes, and no more than there are",
        )


def pack_arrays(arrays: Mapping[str, Array]) -> bytes:
    """Arrays by name as the bytes of a safetensors file."""
    # the model's door: importing chainrule loads NumPy alone
    from safetensors.numpy import save  # noqa: PLC0415

    halves = [name for name, a in arrays.items() if a.dtype == bfloat16.numpy]
    plain = {name: np.asarray(a, order="C") for name, a in arrays.items()}
    for name in halves:  # NumPy has no name for them: words at first
        plain[name] = plain[name].view(np.uint16)
    packed: bytes = save(plain)
    return _renamed(packed, halves) if halves else packed


def _renamed(packed: bytes, halves: Sequence[str]) -> bytes:
    """The file with these arrays of words described as what they are, bfloat16."""
    end = 8 + int.from_bytes(packed[:8], "little")
    header = json.loads(packed[8:end])
    for name in halves:
        header[name]["dtype"] = "BF16"
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + packed[end:]


def _array(kind: str, shape: Sequence[int], data: Any) -> Array:
    """The numbers of one tensor of a file, by the names that the format has."""
    return np.frombuffer(data, _KINDS[kind].numpy).reshape(shape)


_KINDS = {f"{dtype.kind.upper()}{dtype.bits}": dtype for dtype in ALL}
_KINDS |= {"BOOL": bool_, "BF16": bfloat16, "F16": float16}


def unpack_arrays(content: bytes, where: str) -> Arrays:
    """The arrays in the bytes of a safetensors file.

    Raises:
        FormatError: when they are damaged or of a type that chainrule does not have.

    Example:
        >>> packed = pack_arrays({"w": np.ones(2, np.float32)})
        >>> unpack_arrays(packed, "weights")["w"].tolist()
        [1.0, 1.0]
    """
    # the model's door: importing chainrule loads NumPy alone
    from safetensors import SafetensorError, deserialize  # noqa: PLC0415

    _check_header(content[:8], len(content), where)
    try:
        arrays: Arrays = {
            name: _array(part["dtype"], part["shape"], part["data"])
            for name, part in deserialize(content)  # type: ignore[no-untyped-call]
        }
    except (
        SafetensorError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
    ) as error:
        raise FormatError(
            "the arrays are damaged", where=where, got=f"{error}"[:200]
        ) from None
    return arrays
