import itertools

import numpy as np
import pytest

from chainrule.data import (
    BucketedBatches,
    Epochs,
    pack_sequences,
    pad_sequences,
    segment_mask,
)
from chainrule.data.sequences import Ragged, bucket_limits
from chainrule.errors import ArgumentError, DataError


def some_sequences(count, longest, seed=0):
    random = np.random.default_rng(seed)
    lengths = random.integers(0, longest + 1, count)
    return [random.integers(1, 100, n).tolist() for n in lengths]


# ---- padding -------------------------------------------------------------------------


def padded_plainly(sequences, length, padding, truncating, value):
    rows = []
    for each in sequences:
        cut = len(each) - length
        if cut > 0:
            each = each[cut:] if truncating == "pre" else each[:length]
        fill = [value] * (length - len(each))
        rows.append(fill + each if padding == "pre" else each + fill)
    return np.array(rows).reshape(len(sequences), length)


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize("maxlen", [None, 0, 1, 4, 30])
def test_padding_at_either_end(padding, truncating, maxlen):
    sequences = [[], [7], *some_sequences(20, 12)]
    found = pad_sequences(
        sequences, maxlen, padding=padding, truncating=truncating, value=-1
    )
    length = max(map(len, sequences)) if maxlen is None else maxlen
    expected = padded_plainly(sequences, length, padding, truncating, -1)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)


def test_padding_of_steps_with_features():
    first, second = np.ones((3, 2), "float32"), np.full((1, 2), 5, "float32")
    found = pad_sequences([first, second], dtype="float32", padding="post")
    assert found.shape == (2, 3, 2)
    assert found[1].tolist() == [[5, 5], [0, 0], [0, 0]]


def test_padding_of_nothing():
    assert pad_sequences([]).shape == (0, 0)
    assert pad_sequences([[], []]).shape == (2, 0)
    assert pad_sequences([[]], multiple=8).shape == (1, 0)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        (["words", "words"], "sequence 0"),
        ([[1], 2], "sequence 1"),
        ([np.ones((2, 2)), np.ones((2, 3))], "one shape"),
    ],
)
def test_what_is_no_sequence(sequences, message):
    with pytest.raises(DataError, match=message):
        pad_sequences(sequences)


@pytest.mark.parametrize(
    "options",
    [{"padding": "left"}, {"truncating": "x"}, {"maxlen": -1}, {"multiple": 0}],
)
def test_arguments_of_padding(options):
    with pytest.raises(ArgumentError):
        pad_sequences([[1]], **options)


# ---- lengths of buckets --------------------------------------------------------------


def filled_up(lengths, limits):
    return sum(min(n for n in limits if n >= length) for length in lengths)


def all_limits(candidates, count, last):
    chosen = itertools.combinations([n for n in candidates if n != last], count - 1)
    return [[*each, last] for each in chosen]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("buckets", [1, 2, 3, 4])
def test_no_other_limits_fill_up_less(seed, buckets):
    lengths = np.random.default_rng(seed).geometric(0.15, 40).tolist()
    limits = bucket_limits(lengths, buckets)
    others = all_limits(sorted(set(lengths)), buckets, max(lengths))
    least = min(filled_up(lengths, each) for each in others)
    assert filled_up(lengths, limits) == least


def test_limits_of_many_different_lengths():
    limits = bucket_limits(range(5000), 6)
    assert len(limits) == 6
    assert limits == sorted(limits)
    assert limits[-1] >= 4999


def test_limits_of_empty_sequences():
    assert bucket_limits([0, 0], 4) == [1]
    assert bucket_limits([0, 9], 4, multiple=8) == [8, 16]


# ---- buckets -------------------------------------------------------------------------


def pairs(count=157, seed=3):
    return some_sequences(count, 30, seed), some_sequences(count, 25, seed + 1)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("size", [{"batch_size": 16}, {"tokens": 200}])
def test_every_pair_is_there_once_in_each_pass(shuffle, size):
    sources, targets = pairs()
    batches = BucketedBatches((sources, targets), **size, buckets=4, shuffle=shuffle)
    for epoch in range(2):
        found = []
        for x, y in batches.epoch(epoch):
            found += [
                (a[a > 0].tolist(), b[b > 0].tolist())
                for a, b in zip(x, y, strict=True)
            ]
        assert sorted(found) == sorted(zip(sources, targets, strict=True))


def test_few_shapes_and_full_batches():
    batches = BucketedBatches(pairs(), tokens=200, buckets=4, multiple=4)
    shapes = [(x.shape, y.shape) for x, y in batches.epoch(0)]
    assert len(shapes) == len(batches)
    assert len(set(shapes)) <= len(batches.limits) + 1
    for (rows, length), (_, other) in shapes:
        assert length % 4 == other % 4 == 0
        assert rows * max(length, other) <= 200


def test_buckets_fill_up_less_than_one_length():
    data = (some_sequences(1000, 30),)
    one = BucketedBatches(data, 16, buckets=1).filled
    assert BucketedBatches(data, 16, buckets=6).filled < one / 3


def test_passes_have_orders_of_their_own_and_seeds_repeat_them():
    def order(seed, epoch):
        batches = BucketedBatches(pairs(), 16, seed=seed)
        return [x.tolist() for x, _ in batches.epoch(epoch)]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_plain_passes_count_on():
    batches = BucketedBatches(pairs(), 16)
    assert isinstance(batches, Epochs)
    passes = [[x.tolist() for x, _ in batches] for _ in range(2)]
    assert passes == [[x.tolist() for x, _ in batches.epoch(n)] for n in range(2)]


def test_other_parts_keep_their_rows():
    sources, _ = pairs()
    labels = np.arange(len(sources))
    table = np.arange(2 * len(sources)).reshape(-1, 2)
    batches = BucketedBatches(({"words": sources, "table": table}, labels), 10)
    for x, y in batches.epoch(0):
        assert x["table"].tolist() == table[y].tolist()
        assert [row[row > 0].tolist() for row in x["words"]] == [sources[i] for i in y]


def test_longer_sequences_are_cut_off():
    sources, targets = pairs()
    batches = BucketedBatches((sources, targets), 16, max_length=8)
    assert batches.limits[-1] == 8
    assert max(x.shape[1] for x, _ in batches) == 8


def test_one_sample_and_empty_ones():
    ((x, y),) = BucketedBatches(([[]], [[5]]), 16)
    assert (x.tolist(), y.tolist()) == ([[0]], [[5]])
    ((x,),) = BucketedBatches(([[]],), 16)
    assert x.tolist() == [[0]]


@pytest.mark.parametrize(
    ("data", "options", "error"),
    [
        (([], []), {"batch_size": 2}, DataError),
        (([[1]], [[1], [2]]), {"batch_size": 2}, DataError),
        (([1, 2], [3, 4]), {"batch_size": 2}, DataError),
        (([[1]],), {}, ArgumentError),
        (([[1]],), {"batch_size": 2, "tokens": 3}, ArgumentError),
        (([[1]],), {"batch_size": 0}, ArgumentError),
        (([[1]],), {"tokens": 8, "buckets": 0}, ArgumentError),
    ],
)
def test_arguments_of_buckets(data, options, error):
    with pytest.raises(error):
        BucketedBatches(data, **options)


def test_ragged_takes_rows_in_any_order():
    ragged = Ragged([[1, 2], [], [3]])
    assert ragged.padded(np.array([2, 0, 2]), 2, 9).tolist() == [[3, 9], [1, 2], [3, 9]]


# ---- packing -------------------------------------------------------------------------


@pytest.mark.parametrize("length", [12, 13, 40])
def test_packing_keeps_every_sequence_whole(length):
    sequences = [[], [5], *some_sequences(60, 12)]
    packed = pack_sequences(sequences, length)
    assert [part.tolist() for part in packed.unpack(packed.tokens)] == sequences
    kept = sum(map(len, sequences))
    assert (packed.segments > 0).sum() == kept
    rows = len(packed.tokens)
    assert rows <= 1.2 * kept / length + 1
    for part in packed.unpack(packed.positions):
        assert part.tolist() == list(range(len(part)))
    for part in packed.unpack(packed.segments):
        assert len(set(part.tolist())) <= 1


def test_segments_of_a_row_count_from_one():
    packed = pack_sequences(some_sequences(50, 10), 32)
    for row in packed.segments:
        numbers = row[row > 0]
        assert (np.diff(numbers) >= 0).all()
        assert sorted(set(numbers.tolist())) == list(range(1, numbers.max() + 1))


def test_packing_of_nothing_and_of_empty_ones():
    assert pack_sequences([], 4).tokens.shape == (0, 4)
    packed = pack_sequences([[], []], 4)
    assert packed.tokens.shape == (0, 4)
    assert [
        part.tolist() for part in pack_sequences([[], [1]], 4).unpack(np.ones((1, 4)))
    ]


def test_sequences_longer_than_a_row():
    with pytest.raises(DataError, match="sequence 1"):
        pack_sequences([[1], [1, 2, 3]], 2)
    packed = pack_sequences([[1], [1, 2, 3]], 2, too_long="truncate")
    assert sorted(packed.tokens.tolist()) == [[1, 0], [1, 2]]
    with pytest.raises(ArgumentError):
        pack_sequences([[1]], 2, too_long="split")


def test_masks_keep_sequences_apart():
    segments = np.array([[1, 1, 2, 0]])
    mask = segment_mask(segments)
    assert mask[0].astype(int).tolist() == [
        [1, 1, 0, 0],
        [1, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 0],
    ]
    assert segment_mask(segments, np.array([[2, 1]]))[0].astype(int).tolist() == [
        [0, 1],
        [0, 1],
        [1, 0],
        [0, 0],
    ]
