"""Layers that act while training alone, so that a network does not learn by heart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np

from chainrule import functional
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import random
from chainrule.functional.promotion import Tensor
from chainrule.layers.layer import Layer, LayerOptions


class Dropout(Layer):
    """While training sets a share of the inputs to 0, and scales up the rest.

    Each input is kept with probability `1 - rate` and then divided by it, so that sums
    stay the same on average; otherwise the input passes unchanged. Which are kept is a
    function of the key of `chainrule.random.stream` in force: the same seed and step
    give the same mask. Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov,
    "Dropout", JMLR 2014.

    Args:
        rate: the share that is dropped, from 0 up to but not including 1.
        noise_shape: the shape of the mask where several inputs share one; None or -1
            stands for the length of the input.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `LayerOptions`.

    Example:
        >>> layer = Dropout(0.5)
        >>> layer([[1.0, 2.0]]).numpy().tolist()
        [[1.0, 2.0]]
        >>> dropped = layer(functional.ones((100, 100)), training=True).numpy()
        >>> sorted(set(dropped.ravel().tolist()))
        [0.0, 2.0]
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if isinstance(rate, str) or not 0 <= rate < 1:
            raise ArgumentError(
                "the rate is the share of inputs that are dropped",
                where=self.name,
                got=f"rate={rate!r}",
                expected="0 <= rate < 1",
                fix=f"rate={rate / 100}"
                if not isinstance(rate, str) and 1 < rate < 100
                else None,
            )
        self.rate = rate
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        self.seed = seed

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """The input, with a share of it dropped while training."""
        if not training or self.rate == 0:
            return inputs
        key = random.next_key()
        if self.seed is not None:
            key = random.fold_in(key, self.seed)
        bits = random.bits(key, self._mask_shape(inputs.shape))
        keep = bits >= np.uint32(round(self.rate * 2**32))
        return functional.where(keep, inputs * (1 / (1 - self.rate)), 0.0)

    def _mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if self.noise_shape is None:
            return shape
        if len(self.noise_shape) != len(shape):
            raise ShapeError(
                "the mask must have as many axes as the input",
                where=self.name,
                got=f"noise_shape={self.noise_shape}",
                expected=f"{len(shape)} lengths, for inputs of shape {shape}",
            )
        pairs = zip(self.noise_shape, shape, strict=True)
        return tuple(own if n in (None, -1) else int(n or 0) for n, own in pairs)
