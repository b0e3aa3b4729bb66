"""Callbacks against Keras's own, told the same numbers."""

import random
import warnings

import pytest

from chainrule import callbacks as ours

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")
    theirs = keras.callbacks

CHANCE = random.Random(0)


class Stub(keras.Model):
    """A model whose weights are the number of the epoch, for either library."""

    def __init__(self):
        super().__init__()
        self.epoch = 0
        self.saved = {}

    def get_weights(self):
        return [self.epoch]

    def set_weights(self, weights):
        self.epoch = weights[0]

    def save(self, path, overwrite=True):
        self.saved[str(path)] = self.epoch


class Optimizer:
    learning_rate = 1.0
    fixed_learning_rate = 1.0


def play(callback, numbers):
    """What happens in epochs that measured these numbers."""
    model = Stub()
    model.optimizer = Optimizer()
    callback.set_model(model)
    callback.set_params({"epochs": len(numbers)})
    model.stop_training = False
    callback.on_train_begin({})
    rates = []
    for epoch, number in enumerate(numbers):
        callback.on_epoch_begin(epoch, {})
        model.epoch = epoch
        callback.on_epoch_end(epoch, {"val_loss": number})
        rates.append(round(model.optimizer.learning_rate, 9))
        if model.stop_training:
            break
    callback.on_train_end({})
    return epoch, model.epoch, rates, model.saved


def draw(choices):
    return {name: CHANCE.choice(values) for name, values in choices.items()}


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        (
            "EarlyStopping",
            {
                "patience": [0, 1, 2, 3],
                "min_delta": [0, 0.15, -0.15],
                "mode": ["min", "max", "auto"],
                "baseline": [None, None, 0.5],
                "restore_best_weights": [True, True, False],
                "start_from_epoch": [0, 0, 2],
                "verbose": [1],
            },
        ),
        (
            "ReduceLROnPlateau",
            {
                "patience": [1, 2, 3],
                "factor": [0.5, 0.1],
                "min_delta": [0, 0.15],
                "mode": ["min", "max", "auto"],
                "cooldown": [0, 1, 3],
                "min_lr": [0.0, 0.3],
                "verbose": [1],
            },
        ),
        (
            "ModelCheckpoint",
            {
                "filepath": ["{epoch:02d}-{val_loss:.1f}.keras", "best.keras"],
                "save_best_only": [True, False],
                "mode": ["min", "max", "auto"],
                "initial_value_threshold": [None, None, 0.5],
                "verbose": [1],
            },
        ),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_they_do_and_say_what_keras_does(name, choices, capsys):
    for _ in range(60):
        arguments = draw(choices)
        numbers = [round(CHANCE.random(), 2) for _ in range(9)]
        results = []
        for library in (ours, theirs):
            done = play(getattr(library, name)(**arguments), numbers)
            results.append((done, capsys.readouterr().out))
        assert results[0] == results[1], (arguments, numbers)


def test_lines_of_a_file_are_those_of_keras(tmp_path):
    model = Stub()
    for library in (ours, theirs):
        logger = library.CSVLogger(str(tmp_path / library.__name__), separator=";")
        logger.set_model(model)
        logger.on_train_begin({})
        logger.on_epoch_end(0, {"val_loss": 0.5, "accuracy": 1e-9})
        logger.on_epoch_end(1, {"val_loss": float("nan"), "accuracy": [1, 2]})
        logger.on_train_end({})
    mine, other = ((tmp_path / lib.__name__).read_text() for lib in (ours, theirs))
    assert mine.splitlines() == other.splitlines()
