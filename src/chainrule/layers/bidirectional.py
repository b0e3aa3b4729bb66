"""`Bidirectional`: a recurrent layer that reads sequences both ways."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.functional.promotion import Tensor
from chainrule.layers.layer import InputShape, Layer, LayerOptions
from chainrule.layers.recurrent import RNN
from chainrule.layers.registry import REGISTRY

MERGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": lambda forward, backward: forward + backward,
    "mul": lambda forward, backward: forward * backward,
    "ave": lambda forward, backward: (forward + backward) / 2,
    "concat": lambda forward, backward: functional.concat([forward, backward], axis=-1),
}
SHARED = ("stateful", "return_sequences", "return_state")


class Bidirectional(Layer):
    """Reads sequences from both ends, with a layer for each direction.

    The outputs of both are merged step by step, so that the output of a step knows what
    comes before and behind it. Schuster, Paliwal, "Bidirectional recurrent neural
    networks", IEEE Transactions on Signal Processing, 1997.

    Args:
        layer: a recurrent layer; copies of it with weights of their own do the work.
        merge_mode: how the outputs become one: `concat`, `sum`, `mul`, `ave`; None for
            both side by side, as a tuple.
        weights: arrays to begin with, those of the forward layer first.
        backward_layer: the layer that begins at the end, with `go_backwards=True`; by
            default a copy of the other.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when a layer is no recurrent one, the two do not fit together, or
            the mode is unknown.

    Example:
        >>> from chainrule.layers import LSTM
        >>> layer = Bidirectional(LSTM(4, return_sequences=True))
        >>> layer(functional.zeros((2, 7, 3))).shape
        (2, 7, 8)
    """

    supports_masking = True

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        weights: Sequence[Any] | None = None,
        backward_layer: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if merge_mode is not None and merge_mode not in MERGES:
            raise ArgumentError(
                "unknown way to merge both directions",
                where=self.name,
                got=f"merge_mode={merge_mode!r}",
                expected=f"{', '.join(map(repr, MERGES))} or None",
            )
        layer = self._recurrent(layer)
        self.forward_layer = _fresh(layer, "forward_")
        if backward_layer is None:
            self.backward_layer = _fresh(layer, "backward_")
            self.backward_layer.go_backwards = True
        else:
            self.backward_layer = self._recurrent(backward_layer)
        self.merge_mode = merge_mode
        self._check_pair()
        for each in (self.forward_layer, self.backward_layer):
            if isinstance(each, RNN):
                each.zero_output_for_mask = each.return_sequences
        self._first_weights = None if weights is None else list(weights)

    @property
    def layer(self) -> Any:
        """The layer of the forward direction."""
        return self.forward_layer

    @property
    def return_sequences(self) -> bool:
        """Whether the outputs of all steps are returned."""
        return bool(self.forward_layer.return_sequences)

    @property
    def return_state(self) -> bool:
        """Whether the states are returned as well."""
        return bool(self.forward_layer.return_state)

    @property
    def stateful(self) -> bool:
        """Whether a batch goes on where the one before it ended."""
        return bool(self.forward_layer.stateful)

    def build(self, input_shape: InputShape) -> None:
        """Build both layers."""
        self.forward_layer.build_for(input_shape)
        self.backward_layer.build_for(input_shape)
        self.input_spec = self.forward_layer.input_spec
        if self._first_weights is not None:
            self.set_weights(self._first_weights)

    def call(
        self,
        sequences: Tensor,
        initial_state: Any = None,
        mask: Tensor | None = None,
        training: bool = False,
    ) -> Any:
        """Run both layers.

        Args:
            sequences: `(samples, steps, features)`.
            initial_state: the states of the forward layer, then those of the other.
            mask: `(samples, steps)`: False for steps that are skipped.
            training: whether dropout acts.
        """
        told: dict[str, Any] = {"training": training}
        if mask is not None:
            told["mask"] = mask
        halves: list[dict[str, Any]] = [{}, {}]
        if initial_state is not None:
            count = len(initial_state) // 2
            parts = initial_state[:count], initial_state[count:]
            halves = [{"initial_state": list(part)} for part in parts]
        forward = self.forward_layer(sequences, **told, **halves[0])
        backward = self.backward_layer(sequences, **told, **halves[1])
        states: tuple[Any, ...] = ()
        if self.return_state:
            states = (*forward[1:], *backward[1:])
            forward, backward = forward[0], backward[0]
        if self.return_sequences:
            backward = functional.flip(backward, axis=1)
        if self.merge_mode is None:
            return (forward, backward, *states)
        output = MERGES[self.merge_mode](forward, backward)
        return (output, *states) if self.return_state else output

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """That of the input where all steps are returned."""
        if not self.return_sequences:
            return None
        return [previous_mask] * (2 if self.merge_mode is None else 1)

    def reset_state(self) -> None:
        """Let the next batch begin with states of zeros.

        Raises:
            ArgumentError: when the layers keep none.
        """
        if not self.stateful:
            raise ArgumentError(
                "the layers keep no state from batch to batch",
                where=self.name,
                fix="Bidirectional(LSTM(128, stateful=True))",
            )
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    def reset_states(self) -> None:
        """The same as `reset_state`."""
        self.reset_state()

    def _recurrent(self, layer: Any) -> Any:
        """A layer, or the one that a config describes, if it is a recurrent one."""
        if isinstance(layer, Mapping):
            layer = REGISTRY.get(layer)
        wanted = (*SHARED, "go_backwards")
        if not isinstance(layer, Layer) or not all(hasattr(layer, x) for x in wanted):
            raise ArgumentError(
                "what reads both ways is a recurrent layer",
                where=self.name,
                got=repr(layer),
                expected=f"a layer with {', '.join(wanted)}",
                fix="Bidirectional(LSTM(128))",
            )
        return layer

    def _check_pair(self) -> None:
        forward, backward = self.forward_layer, self.backward_layer
        if forward.go_backwards == backward.go_backwards:
            raise ArgumentError(
                "both layers read in the same direction",
                where=self.name,
                got=f"go_backwards={forward.go_backwards} for both",
                fix="backward_layer=LSTM(..., go_backwards=True)",
            )
        for name in SHARED:
            one, two = getattr(forward, name), getattr(backward, name)
            if one != two:
                raise ArgumentError(
                    f"both layers have the same {name}",
                    where=self.name,
                    got=f"{one} forward, {two} backward",
                    fix=f"{name}={one} for both",
                )

    def _argument(self, name: str) -> Any:
        """The weights of the beginning are weights by now."""
        return None if name == "weights" else super()._argument(name)


def _fresh(layer: Any, prefix: str) -> Any:
    """A copy of a layer, with weights of its own and another name."""
    if layer.built:
        config = layer.get_config()
        twin = type(layer).from_config(config)
    else:
        twin = copy.deepcopy(layer)
    twin.name = prefix + layer.name.removeprefix(prefix)
    return twin
