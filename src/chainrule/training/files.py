"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], content: bytes | memoryview) -> Path:
    """Write `content` to `path`: whole, or not at all.

    The bytes go to a temporary file beside the target, are flushed to the disk, and the
    file is renamed. Whoever is killed in between leaves the old file as it was.

    Raises:
        OSError: when the folder does not exist or cannot be written.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> write_atomically(f"{folder}/notes.txt", b"42").read_bytes()
        b'42'
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(target.parent)
    return target


def _flush_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # Windows cannot open folders; its renames are journalled
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
