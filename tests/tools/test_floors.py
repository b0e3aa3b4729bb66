from __future__ import annotations

from pathlib import Path

import pytest

from tools import floors

PACKAGE = {
    "__init__.py": "from chainrule.tensor import Tensor\n",
    "errors.py": "class ChainruleError(Exception): ...\n",
    "settings.py": "import os\nHOME = os.environ['HOME']\n",
    "ir/__init__.py": "",
    "ir/spec.py": "from chainrule.errors import ChainruleError\n",
    "ops/__init__.py": "",
    "ops/elementwise.py": "from chainrule.ir.spec import ChainruleError\n",
    "autodiff/__init__.py": "from chainrule.ops import elementwise\n",
    "compiler/__init__.py": "import chainrule.ir.spec\n",
    "tensor.py": "import chainrule.compiler\nclass Tensor: ...\n",
    "layers/__init__.py": "from chainrule.tensor import Tensor\n",
    "losses.py": "from .tensor import Tensor\n",
    "cli.py": "import numpy\nimport chainrule\n",
}


def _complaints(folder: Path, **planted: str) -> list[str]:
    root = folder / "chainrule"
    files = PACKAGE | {
        name.replace("__", "/") + ".py": planted[name] for name in planted
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return floors.check(root)[0]


def test_imports_that_run_down_pass(tmp_path: Path) -> None:
    assert _complaints(tmp_path) == []


@pytest.mark.parametrize(
    ("planted", "line"),
    [
        ("from chainrule.tensor import Tensor\n", 1),
        ("import chainrule.tensor as t\n", 1),
        ("from chainrule import tensor\n", 1),
        ("from ..tensor import Tensor\n", 1),
        ("from .. import tensor\n", 1),
        ("def f():\n    from chainrule.tensor import Tensor\n", 2),
        (
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n"
            "    from chainrule.tensor import Tensor\n",
            3,
        ),
        ("import importlib\nimportlib.import_module('chainrule.tensor')\n", 2),
    ],
)
def test_an_import_that_runs_up_is_found(
    tmp_path: Path, planted: str, line: int
) -> None:
    (complaint,) = _complaints(tmp_path, ops__reduce=planted)
    assert f"reduce.py:{line}:" in complaint
    assert "chainrule.ops.reduce (F2)" in complaint
    assert "chainrule.tensor (F4)" in complaint


def test_the_package_itself_is_above_what_it_shows(tmp_path: Path) -> None:
    complaints = _complaints(tmp_path, losses="import chainrule\n")
    assert "losses.py:1: chainrule.losses (F5) imports chainrule (front)" in "".join(
        complaints
    )


@pytest.mark.parametrize(
    ("name", "planted"),
    [
        ("autodiff__reverse", "from chainrule.compiler import x\n"),
        ("compiler__passes", "from chainrule.autodiff import x\n"),
        ("losses", "from chainrule.layers import Dense\n"),
    ],
)
def test_modules_of_an_independent_floor_do_not_mix(
    tmp_path: Path, name: str, planted: str
) -> None:
    (complaint,) = _complaints(tmp_path, **{name: planted})
    assert ".py:1:" in complaint
    assert "do not import one another" in complaint


def test_a_circle_inside_a_floor_is_spelled_out(tmp_path: Path) -> None:
    (complaint,) = _complaints(
        tmp_path,
        ir__graph="\nfrom chainrule.ir.value import Value\n",
        ir__value="from chainrule.ir.graph import Graph\n",
    )
    assert "graph.py:2: imports in a circle" in complaint
    assert "chainrule.ir.graph -> chainrule.ir.value" in complaint


def test_a_module_outside_the_table_is_found(tmp_path: Path) -> None:
    (complaint,) = _complaints(tmp_path, helpers="")
    assert "chainrule.helpers stands on no floor" in complaint


@pytest.mark.parametrize(
    ("planted", "line"),
    [
        ("import os\nhome = os.environ['HOME']\n", 2),
        ("import os as system\nhome = system.getenv('HOME')\n", 2),
        ("from os import environ\n", 1),
    ],
)
def test_only_settings_reads_the_environment(
    tmp_path: Path, planted: str, line: int
) -> None:
    (complaint,) = _complaints(tmp_path, ir__graph=planted)
    assert f"graph.py:{line}:" in complaint
    assert "only settings.py does" in complaint


def test_the_exit_status_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _complaints(tmp_path)
    root = tmp_path / "chainrule"
    assert floors.main([str(root)]) == 0
    (root / "errors.py").write_text("import chainrule.ir\n")
    assert floors.main([str(root)]) == 1
    assert "1 wrong" in capsys.readouterr().out


def test_this_package_keeps_its_floors() -> None:
    assert floors.main([]) == 0
