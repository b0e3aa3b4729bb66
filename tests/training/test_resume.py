"""Runs that end before their time; the last test kills real ones."""

import json
import os
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

import chainrule
from chainrule import Sequential
from chainrule.callbacks import BackupAndRestore, Callback, SwapEMAWeights
from chainrule.errors import ArgumentError, FormatError, ResumeError, ResumeWarning
from chainrule.functional import random
from chainrule.layers import Dense, Dropout
from chainrule.optimizers import SGD, Adam
from chainrule.settings import SETTINGS
from chainrule.training.resume_file import Checkpoints, pack_tree, read_checkpoint

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 6)).astype(np.float32)
Y = X @ np.arange(6, dtype=np.float32)
EPOCHS, BATCHES = 3, 3  # 90 rows by 32: the last batch has 26


class Left(Exception):
    """Stands for the end of the process."""


class Leave(Callback):
    """Leaves the run when `steps` steps are done, without a word to anybody."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise Left


def make_model(units=8, optimizer="adam"):
    chainrule.set_seed(1)
    model = Sequential([Dense(units, "relu", input_shape=(6,)), Dropout(0.2), Dense(1)])
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


def fit(model, folder=None, callbacks=(), epochs=EPOCHS, x=X, **options):
    if folder is not None:
        options = {"checkpoint_every": "1 step", **options}
    return model.fit(
        x, Y, epochs=epochs, validation_split=0.1, verbose=0, resume=folder,
        callbacks=list(callbacks), **options,
    )  # fmt: skip


def leave(folder, steps, callbacks=(), **options):
    with pytest.raises(Left):
        fit(make_model(), folder, [*callbacks, Leave(steps)], **options)


def everything(model, history):
    state = chainrule.ir.tree.flatten(model._optimizer_state())[0]
    return (
        [weight.tobytes() for weight in model.get_weights()],
        [leaf.numpy().tobytes() for leaf in state],
        history.history,
        history.epoch,
        random.next_key().tolist(),
    )


@pytest.fixture(scope="module")
def unbroken():
    model = make_model()
    return everything(model, fit(model))


@pytest.mark.parametrize("steps", range(1, EPOCHS * BATCHES))
@pytest.mark.parametrize("every", ["1 step", "2 steps", 1000])
def test_a_run_left_after_any_step_ends_in_the_same_bits(
    tmp_path, unbroken, steps, every
):
    leave(tmp_path, steps, checkpoint_every=every)
    model = make_model()
    assert everything(model, fit(model, tmp_path, checkpoint_every=every)) == unbroken


def test_writing_checkpoints_changes_no_bits(tmp_path, unbroken):
    model = make_model()
    assert everything(model, fit(model, tmp_path)) == unbroken


def test_a_finished_run_is_not_run_again_but_goes_on_for_more_epochs(
    tmp_path, unbroken
):
    fit(make_model(), tmp_path, epochs=2)
    model = make_model()
    assert fit(model, tmp_path, [Leave(1)], epochs=2).epoch == [0, 1]
    model = make_model()
    assert everything(model, fit(model, tmp_path)) == unbroken


def test_the_key_of_a_run_without_a_seed_is_that_of_its_checkpoint(tmp_path, unbroken):
    leave(tmp_path, 4)
    model = make_model()
    random.next_key()
    history = fit(model, tmp_path)
    assert everything(model, history) == unbroken


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"batch_size": 16}, "fit.batch_size: 32 then, 16 now"),
        ({"seed": 5}, "fit.seed: None then, 5 now"),
        ({"shuffle": False}, "fit.shuffle: True then, False now"),
        ({"x": X + 1}, "data['train']['data']['x']: 'float32[81, 6] "),
    ],
)
def test_another_run_is_refused(tmp_path, change, told):
    leave(tmp_path, 4)
    with pytest.raises(ResumeError) as caught:
        fit(make_model(), tmp_path, **change)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"units": 9}, "model.config.layers.0.config.units: 8 then, 9 now"),
        ({"optimizer": SGD()}, "optimizer.class_name: 'Adam' then, 'SGD' now"),
        ({"optimizer": Adam(0.1)}, "learning_rate: 0.001 then, 0.1 now"),
    ],
)
def test_another_model_is_refused(tmp_path, change, told):
    leave(tmp_path, 4)
    with pytest.raises(ResumeError) as caught:
        fit(make_model(**change), tmp_path)
    assert told in str(caught.value)


def test_the_learning_rate_that_a_callback_set_is_kept(tmp_path):
    class Halve(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.optimizer.learning_rate *= 0.5

    model = make_model()
    expected = everything(model, fit(model, callbacks=[Halve()]))
    leave(tmp_path, 8, [Halve()])
    model = make_model()
    assert everything(model, fit(model, tmp_path, [Halve()])) == expected
    assert model.optimizer.learning_rate == 0.001 / 8


def test_a_learning_rate_set_in_this_process_is_no_other_run(tmp_path, unbroken):
    class Halve(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.optimizer.learning_rate = 0.0005

    model = make_model()
    with pytest.raises(Left):
        fit(model, tmp_path, [Halve(), Leave(4)])
    assert len(fit(model, tmp_path, [Halve()]).epoch) == EPOCHS


class Batches:
    """Batches that can be passed over again and again."""

    def __iter__(self):
        for start in range(0, len(X), 16):
            yield X[start : start + 16], Y[start : start + 16]


class Samples:
    """Samples that are read by their number."""

    def __len__(self):
        return len(X)

    def __getitem__(self, row):
        return X[row], Y[row]


@pytest.mark.parametrize("leaving", [3, 5, 7])
@pytest.mark.parametrize(
    ("make", "steps"),
    [(Batches, None), (Batches, 4), (Samples, None), (lambda: iter(Batches()), 2)],
    ids=["passes", "steps", "samples", "iterator"],
)
def test_streams_go_on_behind_the_batches_that_are_done(tmp_path, make, steps, leaving):
    def run(folder=None, callbacks=()):
        model = make_model()
        options = {"resume": folder, "checkpoint_every": "1 step", "verbose": 0}
        history = model.fit(
            make(), epochs=3, steps_per_epoch=steps, callbacks=list(callbacks),
            **options,
        )  # fmt: skip
        return everything(model, history)

    expected = run()
    leaving = min(leaving, 3 * (steps or 3) - 1)
    with pytest.raises(Left):
        run(tmp_path, [Leave(leaving)])
    assert run(tmp_path) == expected


class Count(Callback):
    """Remembers the epochs in an array, and adds their number to the logs."""

    def on_train_begin(self, logs=None):
        self.seen = np.zeros(0, np.int64)

    def on_epoch_end(self, epoch, logs=None):
        self.seen = np.append(self.seen, epoch)
        logs["seen"] = float(len(self.seen))

    def state(self):
        return {"seen": self.seen}

    def restore(self, state):
        self.seen = state["seen"]


def test_callbacks_go_on_with_what_they_remember(tmp_path):
    leave(tmp_path, 8, [Count()])
    count = Count()
    history = fit(make_model(), tmp_path, [count])
    assert count.seen.tolist() == [0, 1, 2]
    assert history.history["seen"] == [1.0, 2.0, 3.0]
    with pytest.raises(ResumeError, match="other callbacks"):
        fit(make_model(), tmp_path)


def test_backup_is_the_same_under_the_name_of_keras(tmp_path, unbroken):
    def make():
        return BackupAndRestore(tmp_path / "run", save_freq=2)

    model = make_model()
    with pytest.raises(Left):
        fit(model, callbacks=[make(), Leave(5)])
    assert Checkpoints.of_run(tmp_path / "run").paths()
    model = make_model()
    assert everything(model, fit(model, callbacks=[make()])) == unbroken
    assert not Checkpoints.of_run(tmp_path / "run").paths()


@pytest.mark.parametrize(
    "arguments", [{"backup_dir": ""}, {"backup_dir": "a", "save_freq": False}]
)
def test_a_backup_without_sense_is_refused(arguments):
    with pytest.raises(ArgumentError):
        BackupAndRestore(**arguments)


def test_a_run_has_one_folder(tmp_path):
    with pytest.raises(ArgumentError, match="one folder"):
        fit(make_model(), tmp_path / "a", [BackupAndRestore(tmp_path / "b")])


@pytest.mark.parametrize("every", ["often", -1, "0 steps", True, None])
def test_an_interval_without_sense_is_refused(tmp_path, every):
    with pytest.raises(ArgumentError, match="500 steps"):
        fit(make_model(), tmp_path, checkpoint_every=every)


def test_the_folder_says_what_was_run(tmp_path):
    leave(tmp_path, 4)
    fit(make_model(), tmp_path)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["versions"]["chainrule"] == chainrule.__version__
    assert record["versions"]["numpy"] == np.__version__
    assert record["command"] == sys.orig_argv
    assert record["settings"]["threads"] == SETTINGS.threads
    assert record["facts"]["fit.seed"] is None
    assert record["facts"]["data['train']['data']['x']"].startswith("float32[")
    assert [again["command"] for again in record["resumed"]] == [sys.orig_argv]


def test_weights_under_averages_are_part_of_the_checkpoint(tmp_path):
    def make():
        return make_model(optimizer=Adam(use_ema=True, ema_momentum=0.8))

    swap = [SwapEMAWeights(swap_on_epoch=True)]
    model = make()
    expected = everything(model, fit(model, callbacks=swap))
    with pytest.raises(Left):
        fit(make(), tmp_path, [SwapEMAWeights(swap_on_epoch=True), Leave(7)],
            checkpoint_every=1000)  # fmt: skip
    model = make()
    swap = [SwapEMAWeights(swap_on_epoch=True)]
    assert everything(model, fit(model, tmp_path, swap)) == expected


# ---- the files -----------------------------------------------------------------------


def test_a_damaged_checkpoint_is_passed_over(tmp_path, unbroken):
    leave(tmp_path, 8)
    _, new = Checkpoints(tmp_path / "checkpoints").paths()
    content = bytearray(new.read_bytes())
    content[len(content) // 2] ^= 1
    new.write_bytes(content)
    model = make_model()
    with pytest.warns(ResumeWarning, match="damaged"):
        history = fit(model, tmp_path)
    assert everything(model, history) == unbroken


def test_every_single_bit_is_guarded(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.write({"numbers": np.arange(3.0), "name": "small"})
    whole = path.read_bytes()
    expected = read_checkpoint(path)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        try:
            found = read_checkpoint(path)
        except FormatError:
            continue
        # what is left are dates and permissions, which nobody reads
        assert found["numbers"].tolist() == expected["numbers"].tolist()
        assert found["name"] == "small"


def test_where_all_are_damaged_it_says_so(tmp_path):
    leave(tmp_path, 8)
    for path in Checkpoints(tmp_path / "checkpoints").paths():
        path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FormatError, match="every checkpoint of the run is damaged"):
        fit(make_model(), tmp_path)


def test_entries_that_claim_to_be_larger_than_the_file_are_refused(tmp_path):
    path = tmp_path / "0.checkpoint"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("state.json", json.dumps({"format": "x"}) + " " * 10**6)
        archive.writestr("arrays.safetensors", b"")
    with pytest.raises(FormatError, match="compressed"):
        read_checkpoint(path)


def test_temporary_files_of_a_killed_writer_are_removed(tmp_path, unbroken):
    leave(tmp_path, 4)
    left = tmp_path / "checkpoints" / ".00000009.checkpoint.abcd.part"
    left.write_bytes(b"half of it")
    model = make_model()
    assert everything(model, fit(model, tmp_path)) == unbroken
    assert not left.exists()
    assert len(Checkpoints(tmp_path / "checkpoints").paths()) == 2


def test_a_disk_that_is_full_does_not_end_the_run(tmp_path, monkeypatch, unbroken):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Checkpoints, "write", full)
    model = make_model()
    with pytest.warns(ResumeWarning, match="No space left"):
        history = fit(model, tmp_path)
    assert everything(model, history) == unbroken


def test_what_no_checkpoint_can_keep_is_named():
    with pytest.raises(ArgumentError, match="object"):
        pack_tree({"best": object()}, {})


def test_another_version_is_told_of(tmp_path, monkeypatch):
    leave(tmp_path, 4)
    monkeypatch.setattr("chainrule.training.resume_fingerprint.VERSION", "9.9")
    with pytest.warns(ResumeWarning, match=r"chainrule: '0.1.0' then, '9.9' now"):
        fit(make_model(), tmp_path)


def test_no_warning_without_a_reason(tmp_path):
    leave(tmp_path, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(make_model(), tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")
def test_runs_killed_at_random_instants_end_in_the_same_bits():
    tool = Path(__file__).parents[2] / "tools" / "kill_and_resume.py"
    source = Path(chainrule.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, str(tool), "--trials", "20", "--seed", f"{time.time_ns()}"],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("20 trials, "), done.stdout
