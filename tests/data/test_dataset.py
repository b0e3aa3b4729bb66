"""Data sets: their steps, files read piece by piece, and bounded memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.data import Dataset, read_csv, read_parquet
from chainrule.errors import ArgumentError, DataError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
arrow_csv = pytest.importorskip("pyarrow.csv")


def values(data: Any) -> list[Any]:
    return [np.asarray(element).tolist() for element in data]


def test_rows_of_arrays_in_batches() -> None:
    data = Dataset.from_tensor_slices({"a": np.arange(5), "b": np.eye(5)})
    assert len(data) == 5
    batches = list(data.batch(2))
    assert [batch["a"].tolist() for batch in batches] == [[0, 1], [2, 3], [4]]
    assert batches[0]["b"].shape == (2, 5)
    assert len(data.batch(2)) == 3
    assert values(Dataset.range(5).batch(2, drop_remainder=True)) == [[0, 1], [2, 3]]
    with pytest.raises(DataError, match="number of rows"):
        Dataset.from_tensor_slices((np.zeros(3), np.zeros(4)))


def test_generators_are_made_anew() -> None:
    def count() -> Iterator[tuple[int, int]]:
        for i in range(3):
            yield i, i * i

    data = Dataset.from_generator(count)
    for _ in range(2):
        assert [(x.tolist(), y.tolist()) for x, y in data.batch(2)] == [
            ([0, 1], [0, 1]),
            ([2], [4]),
        ]
    with pytest.raises(ArgumentError, match="once"):
        Dataset.from_generator(count())  # type: ignore[arg-type]


def test_steps() -> None:
    data = Dataset.range(10)
    assert values(data.take(3)) == [0, 1, 2]
    assert values(data.skip(7)) == [7, 8, 9]
    assert values(data.skip(2).take(20).skip(6)) == [8, 9]
    assert values(data.take(2).repeat(2)) == [0, 1, 0, 1]
    assert values(data.repeat().skip(8).take(4)) == [8, 9, 0, 1]
    assert values(data.filter(lambda x: x % 3 == 0)) == [0, 3, 6, 9]
    assert values(data.map(lambda x: x + 1).take(2)) == [1, 2]
    assert values(data.batch(4).unbatch().take(2)) == [0, 1]
    pairs = Dataset.from_tensor_slices((np.arange(4), np.arange(4)))
    added = pairs.batch(2).map(lambda x, y: x + y)
    assert values(added) == [[0, 2], [4, 6]]
    assert [len(d) for d in (data.take(3), data.skip(7), data.repeat(3))] == [3, 3, 30]
    with pytest.raises(TypeError):
        len(data.repeat())
    assert list(Dataset.range(0).repeat()) == []
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ArgumentError):
            data.batch(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("pieces", [True, False])
@pytest.mark.parametrize("buffer", [1, 7, 50, 200])
def test_shuffling_loses_nothing_and_follows_its_seed(
    pieces: bool, buffer: int
) -> None:
    def source() -> Dataset:
        return (
            Dataset(lambda: iter(np.arange(100).reshape(10, 10)), pieces=True)
            if pieces
            else Dataset.from_generator(lambda: iter(range(100)))
        )

    data = source().shuffle(buffer, seed=3)
    first, second = values(data), values(data)
    assert sorted(first) == sorted(second) == list(range(100))
    other = source().shuffle(buffer, seed=3)
    assert (values(other), values(other)) == (first, second)
    if buffer > 1:
        assert first != second
        assert first != list(range(100))


def test_a_cache_reads_once() -> None:
    reads = []

    def count() -> Iterator[int]:
        reads.append(1)
        yield from range(3)

    data = Dataset.from_generator(count).cache()
    assert values(data.take(2)) == [0, 1]
    assert values(data) == values(data) == [0, 1, 2]
    assert len(reads) == 2  # the first pass was not read to its end


def test_a_thread_reads_ahead_and_ends() -> None:
    made: list[int] = []

    def count() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    iterator = iter(Dataset.from_generator(count).prefetch(3))
    assert next(iterator) == 0
    time.sleep(0.2)
    assert 2 <= len(made) <= 6
    iterator.close()  # type: ignore[attr-defined]
    names = [thread.name for thread in threading.enumerate()]
    assert "chainrule-dataset" not in names

    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(Dataset.from_generator(broken).prefetch())


def write_csv(folder: Path, text: str) -> Path:
    path = folder / "t.csv"
    path.write_text(text)
    return path


def test_csv_in_batches(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "a,t,y\n1,u,0\n2,,1\n,v,1\n")
    (x, y), (last, _) = read_csv(path, "y", 2, matrix=False)
    assert x["t"].tolist() == ["u", None]
    assert y.tolist() == [0, 1]
    assert np.isnan(last["a"][0])
    (matrix, _), _ = read_csv(path, "y", 2, columns=["a"])
    assert matrix.dtype == np.float32
    assert values(read_csv(path, columns=["y"])) == [[[0], [1], [1]]]
    for arguments in ({"target": "z"}, {"columns": ["z"]}, {"target": "y"}):
        with pytest.raises(DataError):
            list(read_csv(path, **arguments))
    with pytest.raises(DataError, match="no such file"):
        list(read_csv(tmp_path / "none.csv"))


def test_text_far_down_in_a_column_of_numbers_is_an_error(tmp_path: Path) -> None:
    rows = "1\n" * 3_000_000
    path = write_csv(tmp_path, f"a\n{rows}many\n")
    with pytest.raises(DataError, match="text further down"):
        for _ in read_csv(path, batch_size=100_000):
            pass


def test_parquet_in_batches(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pyarrow.table({"a": np.arange(10.0), "t": ["u"] * 10, "y": range(10)})
    parquet.write_table(table, path, row_group_size=3)
    batches = list(read_parquet(path, "y", 4, columns=["a"]))
    assert [len(y) for _, y in batches] == [4, 4, 2]
    assert batches[1][0].tolist() == [[4], [5], [6], [7]]
    whole = next(iter(read_parquet(path, batch_size=10, matrix=False)))
    assert whole["t"].tolist() == ["u"] * 10
    with pytest.raises(DataError, match="no Parquet file"):
        list(read_parquet(write_csv(tmp_path, "a\n1\n")))


def test_fit_takes_a_data_set() -> None:
    x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    data = Dataset.from_tensor_slices((x, 2 * x)).shuffle(64, seed=0).batch(16)
    model = cr.Sequential([cr.layers.Dense(1)])
    model.compile(cr.optimizers.Adam(0.1), "mse")
    history = model.fit(data, epochs=20, validation_data=data, verbose=0)
    assert history.history["loss"][-1] < 0.05
    assert model.evaluate(data, verbose=0) < 0.05
    assert model.predict(data.map(lambda x, y: x), verbose=0).shape == (64, 1)


TRAIN = """
import sys
import numpy as np
import chainrule as cr
from chainrule.data import {reader}, reading

reading.PIECE_BYTES = 1 << 19  # small beside the file

def peak():
    # of this program alone: getrusage begins with the peak of whoever started it
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024

model = cr.Sequential([cr.layers.Dense(1, input_shape=(20,))])
model.compile("adam", "mse")
small = {reader}(sys.argv[1], "y", 256).take(20)
model.fit(small, verbose=0)
before = peak()
history = model.fit({reader}(sys.argv[1], "y", 256), verbose=0)
assert np.isfinite(history.history["loss"][0])
print(round(peak() - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as on Linux")
@pytest.mark.parametrize("reader", ["read_parquet", "read_csv"])
def test_a_file_larger_than_the_memory_it_needs_is_trained_on(
    tmp_path: Path, reader: str
) -> None:
    """Training on all of it takes little more memory than on its first rows."""
    random = np.random.default_rng(0)
    if reader == "read_parquet":
        # numbers that do not shrink: what a reader holds back is as large as they are
        numbers = random.normal(size=(21, 500_000))
    else:
        numbers = random.integers(0, 9, (21, 700_000)).astype(np.float64)
    names = [*(f"c{i}" for i in range(20)), "y"]
    table = pyarrow.table(dict(zip(names, numbers, strict=True)))
    size = numbers.nbytes / 2**20
    path = tmp_path / "t"
    if reader == "read_parquet":
        parquet.write_table(table, path, row_group_size=20_000, compression="none")
    else:
        arrow_csv.write_csv(table, path)
    del numbers, table
    script = textwrap.dedent(TRAIN.format(reader=reader))
    found = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert float(found.stdout) < 0.75 * size, f"of {size:.0f} MB"
