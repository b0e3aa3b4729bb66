import os
import pty
import subprocess
import sys

import pytest

from chainrule.errors import ArgumentError
from chainrule.training.progress import Bar, Lines, Silent, make_progress

SCRIPT = """
import sys
import numpy as np
from chainrule import Sequential
from chainrule.layers import Dense
model = Sequential([Dense(1, input_shape=(2,))])
model.compile("sgd", "mse")
x = np.zeros((64, 2), "float32")
model.fit(x, x[:, :1], epochs=2, validation_split=0.5, verbose={verbose!r})
model.evaluate(x, x[:, :1], verbose={verbose!r})
model.predict(x, verbose={verbose!r})
print("rich" in sys.modules)
"""


def run(verbose, **options):
    code = SCRIPT.format(verbose=verbose)
    return subprocess.run([sys.executable, "-c", code], check=True, **options)


@pytest.mark.parametrize("verbose", ["auto", 1, 2])
def test_a_log_gets_one_plain_line_an_epoch(verbose):
    output = run(verbose, stdout=subprocess.PIPE, text=True).stdout
    *lines, rich = output.splitlines()
    assert rich == "False"
    assert [line.split(" - ")[0] for line in lines[:3]] == [
        "Epoch 1/2",
        "Epoch 2/2",
        "evaluate: 64 rows",
    ]
    assert "val_loss: 0.0000" in lines[0]
    assert "\x1b" not in output
    assert "\r" not in output
    assert len(lines) == (4 if verbose == 2 else 3)


def test_silence_is_silent():
    assert run(0, stdout=subprocess.PIPE, text=True).stdout == "False\n"


def test_a_terminal_gets_a_bar_and_keeps_one_line_an_epoch():
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    run("auto", stdout=follower, env=environment)
    os.close(follower)
    output = b""
    try:
        while piece := os.read(leader, 65536):
            output += piece
    except OSError:
        pass  # the other end is closed
    os.close(leader)
    text = output.decode()
    assert text.rstrip().endswith("True")
    assert "\x1b[" in text
    assert text.count("Epoch 2/2 - ") == 1


def test_other_values_are_refused():
    with pytest.raises(ArgumentError, match="verbose='auto'"):
        make_progress("loud")


def test_what_shows_what():
    assert type(make_progress(0)) is Silent
    assert type(make_progress(2)) is Lines
    assert Bar.live
    assert not Lines.live
