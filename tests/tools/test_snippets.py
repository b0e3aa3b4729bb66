from __future__ import annotations

from pathlib import Path

import pytest

from tools import snippets


def _page(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text)
    return page


def _run(folder: Path, text: str) -> int:
    return snippets.main([str(_page(folder, text))])


def test_blocks_of_a_page_share_their_names(tmp_path: Path) -> None:
    text = "```python\nx = 1\n```\nthen\n```python\nassert x == 1\n```\n"
    assert _run(tmp_path, text) == 0
    assert _run(tmp_path, text.replace("x == 1", "x == 2")) == 1


def test_only_python_runs(tmp_path: Path) -> None:
    text = "```console\n$ make demo\n```\n```sh\nexit 1\n```\n```\nplain\n```\n"
    assert _run(tmp_path, text) == 0


def test_no_run_is_compiled_only(tmp_path: Path) -> None:
    assert _run(tmp_path, "```python no-run\nraise SystemExit(3)\n```\n") == 0
    assert _run(tmp_path, "```python no-run\nx = = 1\n```\n") == 1


@pytest.mark.parametrize(
    ("code", "line", "message"),
    [
        ("x = 1\nassert x == 2\n", 6, "AssertionError"),
        ("x = 1\nx = = 2\n", 6, "SyntaxError"),
        ("\n\nraise SystemExit(0)\n", 7, "SystemExit"),
        ("import warnings\nwarnings.warn('old')\n", 6, "UserWarning: old"),
        ("import json\njson.loads('no')\n", 6, "JSONDecodeError"),
    ],
)
def test_a_failure_names_its_line_in_the_page(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    code: str,
    line: int,
    message: str,
) -> None:
    assert _run(tmp_path, f"# Title\n\ntext\n```python\n{code}```\n") == 1
    printed = capsys.readouterr().out
    assert f"page.md:{line}: {message}" in printed
    assert "0 passed, 1 failed" in printed


def test_a_block_in_a_list_may_be_indented(tmp_path: Path) -> None:
    assert (
        _run(tmp_path, "- item\n\n  ```python\n  if True:\n      x = 1\n  ```\n") == 0
    )


def test_pages_run_in_an_empty_folder(tmp_path: Path) -> None:
    code = "import pathlib\nassert not list(pathlib.Path().iterdir())\n"
    write = "pathlib.Path('left').write_text('behind')\n"
    assert _run(tmp_path, f"```python\n{code}{write}```\n") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]


def test_an_unclosed_block_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="opens before line 3 is not closed"):
        _run(tmp_path, "text\n```python\nx = 1\n")
