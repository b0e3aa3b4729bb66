"""Callbacks, told by hand what training measured, and in training."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

import chainrule
from chainrule import Sequential, callbacks
from chainrule.callbacks import (
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    SwapEMAWeights,
)
from chainrule.errors import ArgumentError, ResumeError
from chainrule.layers import Dense
from chainrule.training.callbacks import CallbackList
from chainrule.training.callbacks.monitor import find_direction

X = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]


class Stub:
    """What callbacks need of a model: weights, saving, an optimizer."""

    def __init__(self, rate=1.0):
        self.stop_training = False
        self.epoch = 0
        self.optimizer = chainrule.optimizers.SGD(rate)

    def get_weights(self):
        return [np.full(2, self.epoch)]

    def set_weights(self, weights):
        self.epoch = int(weights[0][0])

    def save(self, path, overwrite):
        Path(path).write_text(f"model {self.epoch}")

    def save_weights(self, path, overwrite):
        Path(path).write_text(f"weights {self.epoch}")


def play(callback, numbers, name="val_loss", model=None, begin=True):
    """Tell a callback of epochs that measured `numbers`; how many there were."""
    model = model or Stub()
    model.stop_training = False
    listed = CallbackList(callback, model, {"epochs": len(numbers)})
    if begin:
        listed.call("on_train_begin", {})
    for epoch, number in enumerate(numbers):
        listed.call("on_epoch_begin", epoch, {})
        model.epoch = epoch
        logs = {} if number is None else {name: number}
        listed.call("on_epoch_end", epoch, logs)
        if model.stop_training:
            break
    listed.call("on_train_end", {})
    return epoch + 1, model


# ---- EarlyStopping -------------------------------------------------------------------

STOPPING = [
    # arguments, measured, epochs that are run, the epoch whose weights are left
    ({}, [3, 2, 2, 1], 3, 1),
    ({}, [3, 4, 1], 2, 0),
    ({"patience": 2}, [3, 2, 2.5, 2.5, 1], 4, 1),
    ({"patience": 1, "min_delta": 0.5}, [3, 2.8, 2.6, 2], 2, 0),
    ({"patience": 1, "min_delta": -0.5}, [3, 2.8, 2.6, 2], 2, 0),
    ({"patience": 2, "baseline": 1.0}, [3, 2, 1.5, 1.6, 0.5], 4, 2),
    ({"patience": 2, "baseline": 2.5}, [3, 2, 1.5, 1], 4, 3),
    ({"start_from_epoch": 2}, [1, 2, 3, 2.5, 2.6], 5, 3),
    ({"mode": "max"}, [1, 2, 3, 2], 4, 2),
    ({"patience": 5}, [3, 1, 2, 2], 4, 1),
    ({"patience": 1}, [np.nan, 2, np.nan, 1], 3, 1),
    ({"patience": 9}, [np.nan, np.nan], 2, 0),
]


@pytest.mark.parametrize(("arguments", "numbers", "epochs", "best"), STOPPING)
def test_early_stopping(arguments, numbers, epochs, best):
    stop = EarlyStopping(restore_best_weights=True, **arguments)
    ran, model = play(stop, numbers)
    assert (ran, model.epoch, stop.best_epoch) == (epochs, best, best)


def test_early_stopping_leaves_the_last_weights_unless_asked():
    assert play(EarlyStopping(), [3, 2, 4])[1].epoch == 2


def test_early_stopping_can_be_used_again():
    stop = EarlyStopping(patience=1)
    assert play(stop, [1, 0, 2])[0] == 3
    assert play(stop, [9, 8, 7])[0] == 3


def test_early_stopping_tells_what_it_does(capsys):
    play(EarlyStopping(verbose=1, restore_best_weights=True), [3, 2, 4])
    assert capsys.readouterr().out == (
        "Epoch 3: early stopping\n"
        "Restoring model weights from the end of the best epoch: 2.\n"
    )


def test_a_number_that_is_not_measured_is_warned_of():
    with pytest.warns(UserWarning, match="`val_loss` which is not available"):
        assert play(EarlyStopping(), [None, None])[0] == 2


def test_the_best_weights_come_back_when_training_runs_to_its_end():
    model = Sequential([Dense(1, input_shape=(1,))])
    model.compile(chainrule.optimizers.SGD(0.1), "mse")
    seen = []
    stop = EarlyStopping("rising", patience=9, mode="min", restore_best_weights=True)

    def measure(epoch, logs):
        seen.append(model.get_weights())
        logs["rising"] = abs(epoch - 1.0)

    told = LambdaCallback(on_epoch_end=measure)
    model.fit(X, X, epochs=4, callbacks=[told, stop], verbose=0)
    for mine, best in zip(model.get_weights(), seen[1], strict=True):
        assert mine.tobytes() == best.tobytes()


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("loss", "min"),
        ("val_head_loss", "min"),
        ("val_mean_absolute_error", "min"),
        ("binary_crossentropy_2", "min"),
        ("accuracy", "max"),
        ("val_auc", "max"),
        ("top_k_categorical_accuracy", "max"),
        ("val_r2_score", "max"),
        ("lossless", None),
    ],
)
def test_names_tell_the_direction(name, direction):
    assert find_direction(name) == direction


def test_a_metric_with_a_name_of_its_own_is_known_by_its_class():
    model = Stub()
    model.metrics = [chainrule.metrics.BinaryAccuracy(name="right")]
    assert play(EarlyStopping("val_right"), [1, 2, 3, 2], "val_right", model)[0] == 4


def test_a_name_that_tells_nothing_is_refused():
    with pytest.raises(ArgumentError, match="mode='max'"):
        play(EarlyStopping("throughput"), [1])
    with pytest.raises(ArgumentError, match="no such mode"):
        EarlyStopping(mode="up")


# ---- the learning rate ---------------------------------------------------------------


def rates(callback, numbers, rate=1.0):
    model, seen = Stub(rate), []
    note = LambdaCallback(
        on_epoch_end=lambda *_: seen.append(model.optimizer.learning_rate)
    )
    play([callback, note], numbers, model=model)
    return seen


PLATEAUS = [
    ({"patience": 1}, [3, 3, 3], [1, 0.1, 0.01]),
    ({"patience": 2}, [3, 3, 3, 3], [1, 1, 0.1, 0.1]),
    ({"patience": 1, "factor": 0.5, "cooldown": 2}, [3] * 5, [1, 0.5, 0.5, 0.25, 0.25]),
    ({"patience": 1, "min_lr": 0.3}, [3, 3, 3], [1, 0.3, 0.3]),
    ({"patience": 1, "min_delta": 0.5}, [3, 2.6, 2], [1, 0.1, 0.1]),
    ({"patience": 1, "mode": "max"}, [1, 2, 2], [1, 1, 0.1]),
]


@pytest.mark.parametrize(("arguments", "numbers", "expected"), PLATEAUS)
def test_reduce_on_plateau(arguments, numbers, expected):
    assert rates(ReduceLROnPlateau(**arguments), numbers) == pytest.approx(expected)


def test_reduce_on_plateau_tells_and_notes_the_rate(capsys):
    logs = {"val_loss": 1.0}
    reduce = ReduceLROnPlateau(patience=0, verbose=1)
    reduce.set_model(Stub())
    reduce.on_train_begin()
    reduce.on_epoch_end(0, logs)
    reduce.on_epoch_end(1, logs)
    assert logs["learning_rate"] == 1.0
    assert capsys.readouterr().out == (
        "\nEpoch 2: ReduceLROnPlateau reducing learning rate to 0.1.\n"
    )
    with pytest.raises(ArgumentError, match="factor=1"):
        ReduceLROnPlateau(factor=1.5)


def test_scheduler_takes_functions_of_one_and_two_arguments():
    assert rates(LearningRateScheduler(lambda epoch: 1 / (1 + epoch)), [0, 0]) == [
        1.0,
        0.5,
    ]
    assert rates(LearningRateScheduler(lambda epoch, rate: rate / 2), [0, 0]) == [
        0.5,
        0.25,
    ]
    with pytest.raises(ArgumentError, match="must return a number"):
        rates(LearningRateScheduler(lambda epoch: None), [0])


def test_an_error_within_the_schedule_is_not_taken_for_another_signature():
    with pytest.raises(TypeError, match="str"):
        rates(LearningRateScheduler(lambda epoch, rate: rate + "1"), [0])


@pytest.mark.parametrize("make", [ReduceLROnPlateau, lambda: LearningRateScheduler(id)])
def test_a_schedule_of_the_optimizer_is_not_overwritten(make):
    with pytest.raises(ArgumentError, match="follows a schedule"):
        rates(make(), [1], rate=lambda step: 0.1)


# ---- ModelCheckpoint -----------------------------------------------------------------

SAVING = [
    ({}, [3, 1, 2], {"1": 0, "2": 1, "3": 2}),
    ({"save_best_only": True}, [3, 4, 1], {"1": 0, "3": 2}),
    ({"save_best_only": True, "initial_value_threshold": 2}, [3, 1, 2], {"2": 1}),
    ({"save_best_only": True}, [np.nan, np.nan, 1], {"1": 0, "2": 1, "3": 2}),
    ({"keep": 2}, [1, 2, 3], {"2": 1, "3": 2}),
    ({"save_best_only": True, "keep": 1}, [3, 4, 1, 2], {"3": 2}),
    ({"save_best_only": True, "keep": 2}, [3, 4, 1, 2, 5], {"3": 2, "4": 3}),
    ({"save_best_only": True, "keep": 2}, [np.nan, 1, 3], {"2": 1, "3": 2}),
    (
        {"save_best_only": True, "keep": 2, "mode": "max"},
        [3, 4, 1, 2, 5],
        {"2": 1, "5": 4},
    ),
]


@pytest.mark.parametrize(("arguments", "numbers", "expected"), SAVING)
def test_what_is_saved(tmp_path, arguments, numbers, expected):
    play(ModelCheckpoint(tmp_path / "in" / "{epoch}", **arguments), numbers)
    found = {path.name: path.read_text() for path in (tmp_path / "in").iterdir()}
    assert found == {name: f"model {epoch}" for name, epoch in expected.items()}


def test_names_are_filled_in_and_weights_saved_alone(tmp_path):
    name = tmp_path / "{epoch:02d}-{val_loss:.2f}.weights"
    play(ModelCheckpoint(name, save_weights_only=True), [0.123])
    assert (tmp_path / "01-0.12.weights").read_text() == "weights 0"
    with pytest.raises(ArgumentError, match="accuracy"):
        play(ModelCheckpoint(tmp_path / "{accuracy}"), [0.1])


def test_saving_tells_what_it_does(tmp_path, capsys):
    path = tmp_path / "m"
    play(ModelCheckpoint(path, save_best_only=True, verbose=1), [2.0, 3.0])
    assert capsys.readouterr().out == (
        f"\nEpoch 1: val_loss improved from None to 2.00000, saving model to {path}\n"
        f"\nEpoch 1: finished saving model to {path}\n"
        "\nEpoch 2: val_loss did not improve from 2.00000\n"
    )


def test_without_the_number_it_saves_and_warns(tmp_path):
    with pytest.warns(UserWarning, match="Can save best model only with val_loss"):
        play(ModelCheckpoint(tmp_path / "m", save_best_only=True), [None])
    assert (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "arguments",
    [{"save_freq": "batch"}, {"save_freq": 0}, {"keep": 0}, {"keep": 2}],
)
def test_what_cannot_be_saved_so_is_refused(arguments):
    with pytest.raises(ArgumentError):
        ModelCheckpoint("model", **arguments)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="a folder"):
        play(ModelCheckpoint(tmp_path), [1])


def test_models_are_saved_every_so_many_batches(tmp_path):
    model = Sequential([Dense(1, input_shape=(1,))])
    model.compile("sgd", "mse")
    path = tmp_path / "{epoch}-{batch}"
    save = ModelCheckpoint(path, save_freq=3)
    model.fit(X, X, batch_size=16, epochs=2, callbacks=save, verbose=0)
    assert sorted(os.listdir(tmp_path)) == ["1-3", "2-2"]
    again = chainrule.load_model(tmp_path / "2-2")
    assert again.optimizer.get_config() == model.optimizer.get_config()


# ---- SwapEMAWeights ------------------------------------------------------------------


def averaging(**options):
    chainrule.set_seed(0)
    model = Sequential([Dense(1, input_shape=(1,))])
    options = {"use_ema": True, "ema_momentum": 0.5, **options}
    model.compile(chainrule.optimizers.SGD(0.1, **options), "mse")
    return model


def test_averages_are_measured_and_weights_trained():
    model, plain, seen = averaging(), averaging(), []

    def look(logs):
        averages = model.optimizer.state["average"]
        kernel, _ = model.get_weights()
        assert kernel.tobytes() == averages[0].numpy().tobytes()
        seen.append(kernel)

    probe = LambdaCallback(on_test_begin=look)
    options = {"epochs": 3, "validation_data": (X, X), "verbose": 0, "seed": 0}
    options["sanity_steps"] = 0
    history = model.fit(X, X, callbacks=[SwapEMAWeights(), probe], **options)
    assert history.history["loss"] == plain.fit(X, X, **options).history["loss"]
    assert len(seen) == 3
    assert model.evaluate(X, X, verbose=0) == history.history["val_loss"][-1]


def test_averages_stay_for_callbacks_that_come_after(tmp_path):
    model, plain = averaging(), averaging()
    save = ModelCheckpoint(tmp_path / "{epoch}.chainrule")
    swap = SwapEMAWeights(swap_on_epoch=True)
    history = model.fit(X, X, epochs=3, callbacks=[swap, save], verbose=0, seed=0)
    assert history.history == plain.fit(X, X, epochs=3, verbose=0, seed=0).history
    last = chainrule.load_model(tmp_path / "3.chainrule")
    for mine, kept in zip(model.get_weights(), last.get_weights(), strict=True):
        assert mine.tobytes() == kept.tobytes()


def test_an_optimizer_without_averages_is_refused():
    model = averaging(use_ema=False)
    with pytest.raises(ArgumentError, match=r"SGD\(..., use_ema=True\)"):
        model.fit(X, X, validation_data=(X, X), callbacks=SwapEMAWeights(), verbose=0)


# ---- hooks of batches ----------------------------------------------------------------


def test_hooks_around_batches_that_are_measured_and_predicted():
    told = []

    def note(name):
        return lambda batch, logs: told.append((name, batch, sorted(logs)))

    names = [f"on_{t}_batch_{p}" for t in ("test", "predict") for p in ("begin", "end")]
    look = LambdaCallback(**{name: note(name) for name in names})
    model = averaging()
    model.fit(
        X, X, validation_data=(X[:32], X[:32]), callbacks=look, verbose=0,
        sanity_steps=0,
    )  # fmt: skip
    assert told == [
        ("on_test_batch_begin", 0, []),
        ("on_test_batch_end", 0, ["loss"]),
    ]
    told.clear()
    whole = model.evaluate(X, X, verbose=0)
    assert model.evaluate(X, X, callbacks=look, verbose=0) == whole
    assert [batch for _, batch, _ in told] == [0, 0, 1, 1]
    told.clear()
    outputs = model.predict(X, callbacks=look, verbose=0)
    assert outputs.tobytes() == model.predict(X, verbose=0).tobytes()
    assert told[-1] == ("on_predict_batch_end", 1, ["outputs"])


# ---- CSVLogger -----------------------------------------------------------------------


def rows(path, separator=","):
    with open(path, newline="") as file:
        return list(csv.reader(file, delimiter=separator))


def test_lines_have_the_epoch_then_the_numbers_by_name(tmp_path):
    logger = CSVLogger(tmp_path / "new" / "log.csv", separator=";")
    logger.on_train_begin()
    logger.on_epoch_end(0, {"loss": 0.1, "accuracy": 1.0})
    assert rows(logger.filename, ";") == [
        ["epoch", "accuracy", "loss"],
        ["0", "1.0", "0.1"],
    ]


def test_appending_goes_on_below(tmp_path):
    path = tmp_path / "log.csv"
    play(CSVLogger(path), [3, 2])
    play(CSVLogger(path, append=True), [1])
    assert [row[0] for row in rows(path)] == ["epoch", "0", "1", "0"]
    play(CSVLogger(path), [1])
    assert rows(path) == [["epoch", "val_loss"], ["0", "1"]]


def test_half_a_line_is_written_over(tmp_path):
    path = tmp_path / "log.csv"
    play(CSVLogger(path), [3, 2])
    path.write_bytes(path.read_bytes()[:-2])
    play(CSVLogger(path, append=True), [7])
    assert rows(path) == [["epoch", "val_loss"], ["0", "3"], ["0", "7"]]


def test_lists_stand_in_one_field_and_late_columns_lose_no_line(tmp_path):
    logger = CSVLogger(tmp_path / "log.csv")
    logger.on_train_begin()
    logger.on_epoch_end(0, {"b": [1.0, 2.0]})
    logger.on_epoch_end(1, {"a": 0.5})
    logger.on_epoch_end(2, {"a": 0.25, "b": [3.0]})
    assert rows(logger.filename) == [
        ["epoch", "b", "a"],
        ["0", '"[1.0, 2.0]"', "NA"],
        ["1", "NA", "0.5"],
        ["2", '"[3.0]"', "0.25"],
    ]


@pytest.mark.parametrize("append", [False, True])
def test_lines_written_after_the_checkpoint_are_taken_back(tmp_path, append):
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss\n7,0.7\n" if append else "old\n")
    logger = CSVLogger(path, append=append)
    logger.on_train_begin()
    states = [(logger.state(), path.read_bytes() if append else b"")]
    for epoch in range(4):
        logger.on_epoch_end(epoch, {"loss": epoch / 2, f"{epoch // 2}": 1.0})
        states.append((logger.state(), path.read_bytes()))
    final = path.read_bytes()
    for state, content in reversed(states):
        path.write_bytes(final + b"9,9")
        again = CSVLogger(path, append=append)
        again.on_train_begin()
        again.restore(state)
        assert path.read_bytes() == content


# ---- all of them ---------------------------------------------------------------------


def test_functions_as_a_callback():
    told = []
    hooks = {
        name: (lambda *given, name=name: told.append((name, *given[:-1])))
        for name in (
            "on_train_begin",
            "on_epoch_begin",
            "on_train_batch_begin",
            "on_train_batch_end",
            "on_epoch_end",
            "on_train_end",
        )
    }
    model = Sequential([Dense(1, input_shape=(1,))])
    model.compile("sgd", "mse")
    model.fit(X, X, batch_size=64, callbacks=LambdaCallback(**hooks), verbose=0)
    assert told == [(name, *[0] * ("train_" not in name[:9] or "batch" in name))
                    for name in hooks]  # fmt: skip
    with pytest.raises(ArgumentError, match="no such hook"):
        LambdaCallback(on_epoch_stop=print)


@pytest.mark.parametrize("name", ["on_batch_end", "on_train_batch_begin"])
def test_batches_are_watched_for_hooks_of_batches_alone(name):
    assert CallbackList(LambdaCallback(**{name: print})).watches("train")
    rest = [LambdaCallback(on_epoch_end=print), ModelCheckpoint("m"), EarlyStopping()]
    assert not CallbackList(rest).watches("train")


def test_states_are_those_of_the_same_callbacks():
    stop, reduce = EarlyStopping(), ReduceLROnPlateau()
    states = CallbackList([stop, reduce, LambdaCallback()]).state()
    CallbackList([LambdaCallback(), EarlyStopping(), ReduceLROnPlateau()]).restore(
        states
    )
    with pytest.raises(ResumeError, match="EarlyStopping, ReduceLROnPlateau"):
        CallbackList([EarlyStopping()]).restore(states)


def test_the_public_names_are_those_of_keras():
    assert set(callbacks.__all__) == {
        "BackupAndRestore",
        "CSVLogger",
        "Callback",
        "CallbackList",
        "EarlyStopping",
        "History",
        "LambdaCallback",
        "LearningRateScheduler",
        "ModelCheckpoint",
        "ReduceLROnPlateau",
        "SwapEMAWeights",
        "TerminateOnNaN",
    }
