"""Importing the package: quick, and nothing but NumPy."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import chainrule as cr

REPOSITORY = Path(__file__).resolve().parent.parent
LOAD = """
import sys, time
before, start = set(sys.modules), time.process_time()
import chainrule
seconds = time.process_time() - start
new = {name.partition('.')[0] for name in set(sys.modules) - before}
print(seconds, *sorted(new - set(sys.stdlib_module_names)))
"""


def load(cache: Path) -> tuple[float, list[str]]:
    """Seconds of work that the import takes, NumPy's too, and the packages it loads."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(cache)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    output = subprocess.run(
        [sys.executable, "-c", LOAD],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    seconds, *packages = output.split()
    return float(seconds), packages


def test_importing_loads_numpy_alone_and_is_quick(tmp_path: Path) -> None:
    load(tmp_path)  # an installed package has its bytecode
    runs = [load(tmp_path) for _ in range(5)]
    assert all(set(packages) <= {"chainrule", "numpy"} for _, packages in runs), runs
    assert min(seconds for seconds, _ in runs) < 0.3


def test_submodules_are_imported_at_first_use() -> None:
    assert cr.optimizers.SGD.__module__.startswith("chainrule.optimizers")
    assert "losses" in dir(cr)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = cr.nonsense


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    assert cr.__version__ == project["project"]["version"]


def test_every_public_name_exists() -> None:
    assert len(set(cr.__all__)) == len(cr.__all__)
    for name in cr.__all__:
        assert hasattr(cr, name), name


def test_all_modules_that_are_named_can_be_imported() -> None:
    for name in dir(cr):
        assert hasattr(cr, name), name
