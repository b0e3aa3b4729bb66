"""Ctrl-C: the run ends after the step in progress, the script goes on."""

import json
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from chainrule import Sequential
from chainrule.callbacks import Callback
from chainrule.layers import Dense
from chainrule.training.interrupt import hold_interrupts

X = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
Y = X @ np.arange(6, dtype=np.float32)

SCRIPT = """
import json
import numpy as np
from chainrule import Sequential
from chainrule.layers import Dense

model = Sequential([Dense(64, "relu", input_shape=(6,)), Dense(1)])
model.compile("adam", "mse")
x = np.random.default_rng(0).normal(size=(20000, 6)).astype("float32")
y = x @ np.arange(6, dtype="float32")
history = model.fit(x, y, epochs=100_000, batch_size=8, verbose=2)
loss = model.evaluate(x, y, verbose=0)
again = model.fit(x, y, epochs=1, verbose=0)
print(json.dumps([history.interrupted, len(history.epoch), loss, len(again.epoch)]))
"""


def model_and_steps():
    model = Sequential([Dense(1, input_shape=(6,))])
    model.compile("sgd", "mse")
    return model


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
def test_ctrl_c_ends_fit_soon_and_the_script_goes_on():
    command = [sys.executable, "-u", "-c", SCRIPT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        lines = [child.stdout.readline()]
        assert lines[0].startswith("Epoch 1/100000")
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        pressed = time.perf_counter()
        while lines[-1].startswith("Epoch"):
            lines.append(child.stdout.readline())
        assert time.perf_counter() - pressed < 5
        assert "Interrupted after" in lines[-1]
        interrupted, epochs, loss, again = json.loads(child.stdout.read())
    assert child.returncode == 0
    assert interrupted
    assert epochs == len(lines) - 1
    assert np.isfinite(loss)
    assert again == 1


class Press(Callback):
    """Presses Ctrl-C, or raises what it raises, at one place."""

    def __init__(self, hook, at, act):
        super().__init__()
        setattr(self, hook, lambda number, logs=None: act() if number == at else None)
        self.ended = 0

    def on_train_end(self, logs=None):
        self.ended += 1


def press():
    signal.raise_signal(signal.SIGINT)


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("act", [press, interrupt])
def test_history_and_weights_are_whole_when_an_epoch_is_the_last(act, capsys):
    model, same = model_and_steps(), model_and_steps()
    same.set_weights(model.get_weights())
    callback = Press("on_epoch_end", 1, act)
    history = model.fit(X, Y, epochs=9, verbose=2, seed=0, callbacks=[callback])
    assert "Interrupted after 2 finished epochs" in capsys.readouterr().out
    assert history.interrupted
    assert history.epoch == [0, 1]
    assert callback.ended == 1
    plain = same.fit(X, Y, epochs=2, verbose=0, seed=0)
    assert not plain.interrupted
    assert plain.history == history.history
    for a, b in zip(model.get_weights(), same.get_weights(), strict=True):
        assert (a == b).all()


@pytest.mark.parametrize("act", [press, interrupt])
def test_weights_are_those_after_the_step_in_progress(act):
    model, same = model_and_steps(), model_and_steps()
    same.set_weights(model.get_weights())

    class Within(Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 4:
                act()

    history = model.fit(X, Y, epochs=3, verbose=0, shuffle=False, callbacks=[Within()])
    assert history.epoch == []
    assert model.optimizer.iterations == 5
    same.fit(X[: 5 * 32], Y[: 5 * 32], epochs=1, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), same.get_weights(), strict=True):
        assert (a == b).all()


def test_an_error_in_a_callback_leaves_weights_whole_and_comes_through():
    def fail():
        raise RuntimeError("mine")

    model = model_and_steps()
    callback = Press("on_epoch_end", 1, fail)
    with pytest.raises(RuntimeError, match="mine"):
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[callback])
    assert model.history.epoch == [0, 1]
    assert model.optimizer.iterations == 26
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_press_raises_at_once():
    with hold_interrupts() as held:
        press()
        assert held.requested
        with pytest.raises(KeyboardInterrupt):
            press()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_program_is_left_alone():
    def own(number, frame):
        pass

    before = signal.signal(signal.SIGINT, own)
    try:
        with hold_interrupts():
            assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)


def test_fit_works_in_a_thread():
    losses = []

    def work():
        losses.append(model_and_steps().fit(X, Y, verbose=0).history["loss"][0])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert np.isfinite(losses[0])
