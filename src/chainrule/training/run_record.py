"""What is written down about a run, so that it can be repeated."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from chainrule.compiler.engine import host_target
from chainrule.settings import SETTINGS
from chainrule.training.files import write_atomically
from chainrule.version import VERSION

RECORD = "run.json"
PACKAGES = ("numpy", "llvmlite", "safetensors")


def describe_surroundings() -> dict[str, Any]:
    """Versions, machine, settings and the command of this process.

    Example:
        >>> sorted(describe_surroundings())
        ['command', 'machine', 'settings', 'started', 'versions']
    """
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(sys.orig_argv),
        "versions": {
            "chainrule": VERSION,
            "python": platform.python_version(),
            **{name: _version(name) for name in PACKAGES},
        },
        "machine": {
            "system": platform.platform(),
            "processor": host_target().cpu,
        },
        "settings": {
            name: str(value) if isinstance(value, os.PathLike) else value
            for name, value in asdict(SETTINGS).items()
        },
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def read_record(folder: Path) -> dict[str, Any]:
    """What is written down in a folder; nothing where there is no readable record."""
    try:
        found = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_record(folder: Path, **sections: Any) -> Path:
    """Write sections of `run.json`; the others stay as they are.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> path = write_record(folder, seed=1, data="digits")
        >>> path = write_record(folder, seed=2)
        >>> json.loads(path.read_text())
        {'seed': 2, 'data': 'digits'}
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**read_record(folder), **sections}, indent=1, default=str)
    return write_atomically(folder / RECORD, text.encode() + b"\n")


def record_start(folder: Path, facts: dict[str, Any], resumed: bool) -> None:
    """Write down what begins, or goes on, in this folder.

    Args:
        folder: the folder of the run.
        facts: model, data and settings of the run.
        resumed: whether the run goes on; what was written when it began stays then.
    """
    surroundings = describe_surroundings()
    if not resumed:
        write_record(folder, **surroundings, facts=facts, resumed=[])
        return
    earlier = read_record(folder).get("resumed")
    again = [*(earlier if isinstance(earlier, list) else []), surroundings]
    write_record(folder, resumed=again)
