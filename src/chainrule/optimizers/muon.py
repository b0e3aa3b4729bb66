"""Muon."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Unpack

from chainrule import functional
from chainrule.functional.promotion import Tensor
from chainrule.optimizers.base import ClippingOptions, Optimizer
from chainrule.optimizers.transforms import (
    Moment,
    Tensors,
    Transformation,
    missing_share,
    mix,
    norm,
)
from chainrule.variable import Variable


class Muon(Optimizer):
    """Momentum whose step is a matrix with all singular values near 1.

    For a matrix `m = momentum * m + g`, and n is m, or `g + momentum * m` with
    `nesterov`. `ns_steps` times, from `x = n / |n|` on, Newton-Schulz takes
    `a = x @ x.T` and `x = muon_a * x + (muon_b * a + muon_c * a @ a) @ x`; then
    `w -= learning_rate * rms_rate * sqrt(max(w.shape)) * x`. All else is left to AdamW:
    what is no matrix, embeddings, and excluded layers, such as the last one. Jordan et
    al., "Muon", 2024; Liu et al., "Muon is scalable for LLM training", arXiv
    2502.16982.

    Args:
        learning_rate: the step size, or a function of the number of steps so far.
        adam_beta_1: of AdamW, as are the next two.
        adam_beta_2: how slowly the mean of squares forgets.
        adam_weight_decay: the weight decay of what is left to AdamW.
        epsilon: keeps AdamW's divisor from 0.
        weight_decay: the weight decay of matrices.
        exclude_layers: regular expressions; a matrix in whose path one is found is left
            to AdamW.
        exclude_embeddings: whether paths with "embedding" in them are, too.
        muon_a: of the iteration, as are the next two.
        muon_b: see above.
        muon_c: see above.
        adam_lr_ratio: AdamW's share of the learning rate.
        momentum: how much of the last steps goes on.
        ns_steps: how often the iteration goes round.
        nesterov: whether to look one step ahead.
        rms_rate: makes learning rates and weight decays those of Adam; None takes x as
            it is.
        **options: see `ClippingOptions`.

    Example:
        >>> from chainrule import functional
        >>> optimizer = Muon(learning_rate=0.1, weight_decay=None, rms_rate=None)
        >>> w = functional.asarray([[4.0, 0.0], [0.0, 2.0]])
        >>> (w,), _ = optimizer.update([w], optimizer.init([w]), [w])
        >>> [[round(x, 1) for x in row] for row in w.tolist()]
        [[3.9, 0.0], [0.0, 1.9]]
    """

    moves_rows = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1.0,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **options: Unpack[ClippingOptions],
    ) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, **options)
        self.adam_beta_1 = adam_beta_1
        self.adam_beta_2 = adam_beta_2
        self.adam_weight_decay = adam_weight_decay
        self.epsilon = epsilon
        self.exclude_layers = list(exclude_layers or [])
        self.exclude_embeddings = exclude_embeddings
        self.muon_a = muon_a
        self.muon_b = muon_b
        self.muon_c = muon_c
        self.adam_lr_ratio = adam_lr_ratio
        self.momentum = momentum
        self.ns_steps = ns_steps
        self.nesterov = nesterov
        self.rms_rate = rms_rate
        for share in ("adam_beta_1", "adam_beta_2"):
            self._check_share(share)
        self._check_share("momentum", limit_included=True)
        for argument in ("adam_weight_decay", "epsilon", "adam_lr_ratio", "rms_rate"):
            self._check_not_negative(argument)
        self._check_count("ns_steps", 0)

    def transformation(self) -> Transformation:
        """A rounded step for matrices, AdamW's for the rest."""
        return Transformation(self._init, self._update)

    def _init(self, params: Tensors) -> dict[str, list[Any]]:
        rest = self._left_to_adam(params)
        return {
            "momentum": [functional.zeros_like(p) for p in params],
            "square": [
                functional.zeros_like(p) if left else None
                for p, left in zip(params, rest, strict=True)
            ],
        }

    def _update(
        self, updates: Tensors, state: Any, params: Tensors, moment: Moment
    ) -> tuple[list[Tensor], Any]:
        steps, new = [], {"momentum": [], "square": []}  # type: ignore[var-annotated]
        slots = zip(state["momentum"], state["square"], strict=True)
        columns = enumerate(zip(updates, slots, params, moment.rates, strict=True))
        for place, (u, (old, older), p, rate) in columns:
            square = older
            if older is None:
                mean = self.momentum * old + u
                step = -rate * self._rounded(u, mean)
            else:
                mean = mix(moment.read(place, old), u, self.adam_beta_1)
                square = mix(
                    moment.read(place, older), functional.square(u), self.adam_beta_2
                )
                root = functional.sqrt(missing_share(self.adam_beta_2, moment.step, p))
                scale = root / missing_share(self.adam_beta_1, moment.step, p)
                divisor = functional.sqrt(square) + self.epsilon
                step = -(rate * self.adam_lr_ratio) * ((mean * scale) / divisor)
                mean = moment.write(place, old, mean)
                square = moment.write(place, older, square)
            steps.append(step)
            new["momentum"].append(mean)
            new["square"].append(square)
        return steps, new

    def _rounded(self, u: Tensor, mean: Tensor) -> Tensor:
        """The step of a matrix, all of whose directions are about as long."""
        x = u + self.momentum * mean if self.nesterov else mean
        rows, columns = x.shape
        x = functional.matrix_transpose(x) if rows > columns else x
        x = x / (norm(x) + 1e-7)
        for _ in range(self.ns_steps):
            square = x @ functional.matrix_transpose(x)
            change = self.muon_b * square + (self.muon_c * square) @ square
            x = self.muon_a * x + change @ x
        x = functional.matrix_transpose(x) if rows > columns else x
        if self.rms_rate is None:
            return x
        return x * (math.sqrt(max(rows, columns)) * self.rms_rate)

    def _can_move_rows(self, variable: Variable) -> bool:
        return self._is_left(variable.path, 2)

    def _left_to_adam(self, params: Tensors) -> list[bool]:
        if self.exclude_layers:
            self._know(params, "exclude_layers")
        known = len(self._variables) == len(params)
        paths = self._paths() if known else [""] * len(params)
        pairs = zip(params, paths, strict=True)
        return [self._is_left(path, p.ndim) for p, path in pairs]

    def _is_left(self, path: str, ndim: int) -> bool:
        return (
            ndim != 2
            or (self.exclude_embeddings and "embedding" in path.lower())
            or any(re.search(pattern, path) for pattern in self.exclude_layers)
        )

    def _weight_decays(self, params: Tensors) -> list[float]:
        left = self._left_to_adam(params)
        return [
            (self.adam_weight_decay if a else self.weight_decay) or 0.0 for a in left
        ]
