from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.errors import ArgumentError, DataError
from chainrule.recipes.use_model import (
    data_for,
    fit_rows,
    read_rows,
    write_predictions,
)


def test_rows_from_npy_and_csv(tmp_path: Path) -> None:
    rows = np.array([[1.5, 2.0], [3.0, -4.0]], np.float32)
    np.save(tmp_path / "rows.npy", rows)
    np.savetxt(tmp_path / "rows.csv", rows, delimiter=",")
    (tmp_path / "named.csv").write_text("a,b\n1.5,2\n\n3,-4\n", "utf-8")
    for name in ("rows.npy", "rows.csv", "named.csv"):
        np.testing.assert_array_equal(read_rows(tmp_path / name), rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no rows"),
        ("a,b\n", "holds no rows"),
        ("1,2\n3\n", "line 2: lines differ"),
        ("1,2\n3,x\n", "line 2: a cell is no number"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(DataError, match=message):
        read_rows(path)


def test_a_npy_file_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"no \.npy file of numbers"):
        read_rows(tmp_path / "rows.npy")


@given(content=st.binary(max_size=80), suffix=st.sampled_from([".npy", ".csv"]))
def test_any_bytes_are_rows_or_a_data_error(
    content: bytes, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzz{suffix}"
    path.write_bytes(content)
    try:
        rows = read_rows(path)
    except DataError:
        return
    assert rows.ndim == 2


@pytest.mark.parametrize(
    ("shape", "wanted", "result"),
    [
        ((5, 64), (8, 8), (5, 8, 8)),
        ((5, 8, 8), (64,), (5, 64)),
        ((8, 8), (8, 8), (1, 8, 8)),
        ((64,), (8, 8), (1, 8, 8)),
        ((5, 7), (None,), (5, 7)),
    ],
)
def test_rows_take_the_shape_of_the_model(
    shape: tuple[int, ...], wanted: tuple[int | None, ...], result: tuple[int, ...]
) -> None:
    assert fit_rows(np.zeros(shape), wanted, "rows").shape == result


def test_rows_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match="do not fit the model"):
        fit_rows(np.zeros((5, 63)), (8, 8), "rows")


def test_distributions_are_written_with_their_class(tmp_path: Path) -> None:
    outputs = np.array([[0.25, 0.75], [0.875, 0.125]], np.float32)
    write_predictions(tmp_path / "out.csv", outputs)
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "row,class,p0,p1",
        "0,1,0.25,0.75",
        "1,0,0.875,0.125",
    ]


def test_other_outputs_are_written_as_they_are(tmp_path: Path) -> None:
    write_predictions(tmp_path / "out.csv", np.array([[2.5], [-1.0]], np.float32))
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "row,output0",
        "0,2.5",
        "1,-1",
    ]


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="cannot be written"):
        write_predictions(tmp_path / "none" / "out.csv", np.ones((1, 1)))


@pytest.mark.parametrize(
    ("shape", "name"), [((8, 8), "digits"), ((64,), "digits"), ((28, 28), "mnist")]
)
def test_the_data_set_is_found_by_the_input(shape: tuple[int, ...], name: str) -> None:
    parts = [cr.layers.Input(shape), cr.layers.Flatten(), cr.layers.Dense(2)]
    assert data_for(cr.Sequential(parts)) == name


def test_a_model_of_other_inputs_has_no_data_set() -> None:
    with pytest.raises(ArgumentError, match="no data set"):
        data_for(cr.Sequential([cr.layers.Dense(2, input_shape=(5,))]))
