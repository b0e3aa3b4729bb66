"""The modules that Keras names: a script for `tf.keras` runs with its import changed.

Example:
    >>> import chainrule as tf
    >>> model = tf.keras.Sequential([tf.keras.layers.Dense(10, input_shape=(784,))])
    >>> model.count_params()
    7850
"""

from __future__ import annotations

from chainrule import (
    activations,
    callbacks,
    constraints,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    mixed_precision,
    models,
    optimizers,
    regularizers,
    utils,
)
from chainrule.layers import Input
from chainrule.models import Model, Sequential

__all__ = [
    "Input",
    "Model",
    "Sequential",
    "activations",
    "callbacks",
    "constraints",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "optimizers",
    "regularizers",
    "utils",
]
