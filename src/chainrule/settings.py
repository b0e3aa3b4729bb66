"""Settings, read once from the environment. Nothing else reads `os.environ`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def _cache_home() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "chainrule"


def _whole_number(name: str, default: T, *, at_least: int) -> int | T:
    text = os.environ.get(name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < at_least:
        raise ValueError(
            f"{name}={text!r} is not a whole number of at least {at_least}"
        )
    return int(text)


@dataclass(frozen=True)
class Settings:
    """What the `CHAINRULE_*` variables say.

    Attributes:
        data: `CHAINRULE_DATA`, a folder that holds data sets, searched first.
        cache: `CHAINRULE_CACHE`, the folder for downloads and compiled code.
        seed: `CHAINRULE_SEED`, the seed used when none is given.
        threads: `CHAINRULE_THREADS`, how many threads a program runs on at most; none
            means as many as the process has cores.
        cache_limit: `CHAINRULE_CACHE_LIMIT`, bytes of compiled code kept on disk; 0
            keeps none.
        backend: `CHAINRULE_BACKEND`, what compiled functions run on: `native` code, or
            `interpret`, the NumPy reference.
    """

    data: Path | None = None
    cache: Path = field(default_factory=_cache_home)
    seed: int = 0
    threads: int | None = None
    cache_limit: int = 1 << 30
    backend: str = "native"

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the variables; unset ones keep their defaults."""
        data = os.environ.get("CHAINRULE_DATA")
        cache = os.environ.get("CHAINRULE_CACHE")
        return cls(
            data=Path(data).expanduser() if data else None,
            cache=Path(cache).expanduser() if cache else _cache_home(),
            seed=_whole_number("CHAINRULE_SEED", 0, at_least=0),
            threads=_whole_number("CHAINRULE_THREADS", None, at_least=1),
            cache_limit=_whole_number("CHAINRULE_CACHE_LIMIT", 1 << 30, at_least=0),
            backend=os.environ.get("CHAINRULE_BACKEND") or "native",
        )


SETTINGS = Settings.from_environment()
