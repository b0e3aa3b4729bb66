"""Labels and outputs that a loss has no use for, and those that it takes."""

import numpy as np
import pytest

from chainrule.layers import Dense
from chainrule.losses import Pinball
from tests.models.test_mistakes import (
    BINARY,
    BITS,
    CATEGORICAL,
    CLASSES,
    MULTI_HOT,
    ONE_HOT,
    QUANTITY,
    SPARSE,
    X,
    linear,
    network,
    problems_of,
    sigmoid,
    softmax,
)

MISTAKES = {
    "entropy, classes": (
        [sigmoid(1)],
        "crossentropy",
        CLASSES,
        ["2 mistakes", "binary cross-entropy needs labels from 0 to 1"],
        ["Dense(3, activation='softmax', name='out')", f"loss='{SPARSE}'"],
    ),
    "focal, classes": (
        [sigmoid(1)],
        "binary_focal_crossentropy",
        CLASSES,
        ["2 mistakes", "binary focal cross-entropy needs labels from 0 to 1"],
        ["Dense(3, activation='softmax', name='out')", f"loss='{SPARSE}'"],
    ),
    "focal, no activation": (
        [linear(3)],
        "categorical_focal_crossentropy",
        ONE_HOT,
        ["takes probabilities"],
        ["Dense(3, activation='softmax', name='out')"],
    ),
    "generalized, one-hot": (
        [softmax(3)],
        "categorical_generalized_cross_entropy",
        ONE_HOT,
        ["vectors", "class numbers"],
        [f"loss='{CATEGORICAL}'"],
    ),
    "divergence, no distribution": (
        [softmax(3)],
        "kl_divergence",
        MULTI_HOT,
        ["must sum to 1"],
        [f"loss='{BINARY}'"],
    ),
    "hinge, classes": (
        [linear(1)],
        "hinge",
        CLASSES,
        ["2 mistakes", "two sides", "-1 and 1, or 0 and 1"],
        ["Dense(3, activation='softmax', name='out')", f"loss='{SPARSE}'"],
    ),
    "hinge, three sides": (
        [linear(1)],
        "squared_hinge",
        CLASSES - 1,
        ["two sides"],
        ["loss='mean_squared_error'"],
    ),
    "hinge, sigmoid": (
        [sigmoid(1)],
        "hinge",
        BITS,
        ["never negative"],
        ["Dense(1, activation='linear', name='out')"],
    ),
    "poisson, negative": (
        [Dense(1, "softplus", name="out")],
        "poisson",
        QUANTITY,
        ["quantities from 0 up", "from -3 to 40"],
        ["loss='mean_squared_error'"],
    ),
    "poisson, no activation": (
        [linear(1)],
        "poisson",
        CLASSES,
        ["may be negative"],
        ["Dense(1, activation='softplus', name='out')"],
    ),
    "logarithmic, negative": (
        [linear(1)],
        "msle",
        QUANTITY,
        ["mean_squared_logarithmic_error is of quantities from 0 up"],
        ["loss='mean_squared_error'"],
    ),
    "percentage, zeros": (
        [linear(1)],
        "mape",
        CLASSES,
        ["no percentage", "4 of 12 targets equal to 0"],
        ["loss='mean_absolute_error'"],
    ),
    "circle, one-hot": (
        [linear(2)],
        "circle",
        ONE_HOT,
        ["numbers of their classes"],
        ["y = y.argmax(axis=-1)"],
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_refused_with_the_corrected_line(case):
    layers, loss, y, problems, fixes = MISTAKES[case]
    text = problems_of(layers, loss, y)
    for part in [*problems, *fixes]:
        assert part in text
    if "mistakes" not in problems[0]:
        assert "mistakes" not in text


FINE = {
    "entropy": ([sigmoid(1)], "crossentropy", BITS),
    "entropy, class numbers": ([softmax(3)], "crossentropy", CLASSES),
    "entropy, one-hot": ([softmax(3)], "ce", ONE_HOT),
    "focal": ([sigmoid(1)], "binary_focal_crossentropy", BITS),
    "focal, categorical": ([softmax(3)], "categorical_focal_crossentropy", ONE_HOT),
    "generalized": ([softmax(3)], "categorical_generalized_cross_entropy", CLASSES),
    "divergence": ([softmax(3)], "kl_divergence", ONE_HOT * 0.7 + 0.1),
    "dice": ([sigmoid(3)], "dice", MULTI_HOT),
    "hinge": ([linear(1)], "hinge", BITS),
    "hinge, signs": ([Dense(1, "tanh", name="out")], "squared_hinge", 2 * BITS - 1),
    "hinge, categorical": ([linear(3)], "categorical_hinge", ONE_HOT),
    "poisson": ([Dense(1, "exponential", name="out")], "poisson", CLASSES),
    "logarithmic": ([linear(1)], "msle", QUANTITY + 3),
    "percentage": ([linear(1)], "mape", QUANTITY + 9),
    "pinball": ([linear(1)], "pinball", QUANTITY),
    "pinball, three": ([linear(3)], Pinball([0.1, 0.5, 0.9]), QUANTITY),
    "circle": ([linear(2)], "circle", CLASSES),
}


@pytest.mark.parametrize("case", FINE)
def test_what_fits_is_trained(case):
    layers, loss, y = FINE[case]
    model = network(*(type(each).from_config(each.get_config()) for each in layers))
    model.compile("sgd", loss)
    history = model.fit(X, y, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
