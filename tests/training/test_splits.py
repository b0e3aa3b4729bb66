import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule import Sequential, Split
from chainrule.errors import ArgumentError, DataError
from chainrule.layers import Dense

LABELS = np.array([0] * 60 + [1] * 30 + [2] * 10)
GROUPS = np.repeat(np.arange(20), 5)
X = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
Y = X.sum(axis=1)


def whole(parts):
    return sorted(np.concatenate(parts).tolist()) == list(range(100))


@given(
    st.sampled_from(["last", "shuffled", "stratified", "grouped", "time"]),
    st.floats(0.05, 0.9),
    st.integers(0, 5),
)
def test_every_row_is_on_one_side(kind, fraction, seed):
    by = {"grouped": GROUPS, "time": np.arange(100)}.get(kind)
    parts = Split(fraction, kind, by, seed).rows(100, LABELS)
    assert whole(parts)
    assert abs(len(parts[1]) / 100 - fraction) < 0.04


def test_last_is_what_a_number_means():
    assert Split(0.3, "last").rows(100)[1].tolist() == list(range(70, 100))


def test_shuffled_rows_depend_on_the_seed_alone():
    first, again = (Split(0.2, seed=1).rows(100)[1] for _ in range(2))
    other = Split(0.2, seed=2).rows(100)[1]
    assert (first == again).all()
    assert (first != other).any()
    assert first.tolist() != list(range(80, 100))


def test_stratified_keeps_the_share_of_every_class():
    _, held_out = Split(0.2, "stratified").rows(100, LABELS)
    assert np.bincount(LABELS[held_out]).tolist() == [12, 6, 2]
    _, one_hot = Split(0.2, "stratified").rows(100, np.eye(3)[LABELS])
    assert (held_out == one_hot).all()


def test_groups_stay_together():
    train, held_out = Split(0.25, "grouped", by=GROUPS).rows(100)
    assert not set(GROUPS[train]) & set(GROUPS[held_out])
    assert len(held_out) == 25


def test_later_rows_validate_and_equal_times_stay_together():
    times = np.array([5, 1, 3, 3, 2, 4, 3, 0])
    train, held_out = Split(0.5, "time", by=times).rows(8)
    assert times[train].max() < times[held_out].min()
    assert sorted(times[held_out].tolist()) == [3, 3, 3, 4, 5]


def model():
    made = Sequential([Dense(1, input_shape=(3,))])
    made.compile("sgd", "mse")
    return made


def test_fit_trains_on_one_side_and_measures_the_other():
    split = Split(0.3, "grouped", by=GROUPS, seed=3)
    train, held_out = split.rows(100)
    first, second = model(), model()
    second.set_weights(first.get_weights())
    a = first.fit(X, Y, validation_split=split, epochs=2, verbose=0, seed=0).history
    b = second.fit(
        X[train],
        Y[train],
        validation_data=(X[held_out], Y[held_out]),
        epochs=2,
        verbose=0,
        seed=0,
    ).history
    assert a == b
    assert (first.get_weights()[0] == second.get_weights()[0]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.2, "random"), "no such split"),
        ((0.2, "grouped"), r"by=column"),
        ((1.0,), "share of the rows"),
        (("half",), "share of the rows"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        Split(*arguments)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split(0.2, "stratified"), "labels that name classes"),
        (Split(0.2, "time", by=[1, 2]), "one value for each row"),
        (Split(0.2, "grouped", by=np.zeros(100)), "one part would be empty"),
    ],
)
def test_a_split_must_fit_the_data(split, message):
    with pytest.raises(DataError, match=message):
        model().fit(X, Y, validation_split=split, verbose=0)
