"""Settings, read once from the environment. Nothing else reads `os.environ`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


def _cache_home() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "chainrule"


@dataclass(frozen=True)
class Settings:
    """What the `CHAINRULE_*` variables say.

    Attributes:
        data: `CHAINRULE_DATA`, a folder that holds data sets, searched first.
        cache: `CHAINRULE_CACHE`, the folder for downloads and compiled code.
        seed: `CHAINRULE_SEED`, the seed used when none is given.
    """

    data: Path | None = None
    cache: Path = field(default_factory=_cache_home)
    seed: int = 0

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the variables; unset ones keep their defaults."""
        data = os.environ.get("CHAINRULE_DATA")
        cache = os.environ.get("CHAINRULE_CACHE")
        return cls(
            data=Path(data).expanduser() if data else None,
            cache=Path(cache).expanduser() if cache else _cache_home(),
            seed=int(os.environ.get("CHAINRULE_SEED", "0")),
        )


SETTINGS = Settings.from_environment()
