from __future__ import annotations

from pathlib import Path

import pytest

from tools import size


def _function(name: str, lines: int, indent: str = "") -> str:
    """A function of `lines` lines, with a docstring of two lines more."""
    body = [f"{indent}    x = {number}" for number in range(lines - 1)]
    head = [f"{indent}def {name}():", f'{indent}    """Says', f'{indent}    little."""']
    return "\n".join([*head, *body]) + "\n"


def _check(folder: Path, text: str, **exceptions: str) -> int:
    (folder / "src").mkdir(exist_ok=True)
    (folder / "src" / "module.py").write_text(text)
    listed = {f"src/{key}": reason for key, reason in exceptions.items()}
    return size.main([], listed, folder)


def _many(*lengths: int) -> str:
    return "".join(_function(f"f{n}", lines) for n, lines in enumerate(lengths))


def test_the_docstring_is_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(_function("f", 7) + "class C:\n" + _function("m", 5, "    "))
    found = [(f.name, f.line, f.lines) for f in size.find_functions(path)]
    assert found == [("f", 1, 7), ("C.m", 11, 5)]


def test_nested_functions_are_counted_by_themselves(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("def outer():\n    if 1:\n        def inner():\n            pass\n")
    found = [(f.name, f.lines) for f in size.find_functions(path)]
    assert found == [("outer", 4), ("outer.inner", 2)]


@pytest.mark.parametrize(("lines", "status"), [(60, 0), (61, 1)])
def test_the_longest_function(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: int, status: int
) -> None:
    assert _check(tmp_path, _many(*[5] * 30, lines)) == status
    assert ("module.py:211: f30 has 61 lines" in capsys.readouterr().out) == bool(
        status
    )


@pytest.mark.parametrize(("lines", "status"), [(29, 0), (30, 1)])
def test_95_in_100_are_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: int, status: int
) -> None:
    assert _check(tmp_path, _many(*[5] * 18, lines, 59)) == status
    assert f"95 in 100 within {lines} lines, longest 59" in capsys.readouterr().out


@pytest.mark.parametrize(("lines", "status"), [(599, 0), (600, 1)])
def test_the_longest_file(tmp_path: Path, lines: int, status: int) -> None:
    assert _check(tmp_path, "x = 0\n" * lines) == status


def test_an_exception_covers_a_function_a_class_or_a_file(tmp_path: Path) -> None:
    text = _many(*[5] * 30) + "class C:\n" + _function("m", 61, "    ")
    assert _check(tmp_path, text) == 1
    assert _check(tmp_path, text, **{"module.py::C.m": "one table"}) == 0
    assert _check(tmp_path, text, **{"module.py::C": "tables"}) == 0
    assert _check(tmp_path, text, **{"module.py::D": "tables"}) == 1
    assert _check(tmp_path, "x = 0\n" * 600, **{"module.py": "one table"}) == 0


def test_an_exception_needs_a_use_and_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _check(tmp_path, "", **{"module.py": "one table"}) == 1
    assert "no longer needs its exception" in capsys.readouterr().out
    assert _check(tmp_path, "x = 0\n" * 600, **{"module.py": " "}) == 1
    assert "has no reason" in capsys.readouterr().out
