import json

import pytest

from chainrule.training.files import write_atomically
from chainrule.training.history import History


@pytest.fixture
def history():
    made = History()
    made.on_epoch_end(0, {"loss": 0.5})
    made.on_epoch_end(1, {"loss": 0.25, "val_loss": float("nan")})
    return made


def test_columns_are_lists_by_name(history):
    assert history.epoch == [0, 1]
    assert history.history["loss"] == [0.5, 0.25]


def test_csv_leaves_cells_empty_where_nothing_was_measured(history, tmp_path):
    text = history.to_csv(tmp_path / "history.csv").read_text()
    assert text == "epoch,loss,val_loss\n0,0.5,\n1,0.25,nan\n"


def test_json_is_standard_json(history, tmp_path):
    content = json.loads(history.to_json(tmp_path / "history.json").read_text())
    assert content == {
        "epoch": [0, 1],
        "history": {"loss": [0.5, 0.25], "val_loss": [None]},
    }


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = write_atomically(tmp_path / "file", b"old")

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
