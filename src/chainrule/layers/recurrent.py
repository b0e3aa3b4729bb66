"""`RNN`: a cell run along sequences, and cells stacked on one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from chainrule import functional
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.promotion import Tensor
from chainrule.ir import tree
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.layer import InputShape, Layer, LayerOptions
from chainrule.layers.masks import checked_mask
from chainrule.layers.recurrence import Found, Recurrence
from chainrule.layers.recurrent_cells import Cell
from chainrule.layers.registry import REGISTRY
from chainrule.precision import PolicyLike


class StackedRNNCells(Layer):
    """Several cells as one: each takes what the one before it gives.

    Args:
        cells: the cells in order.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when one is no cell, or there is none.

    Example:
        >>> from chainrule.layers import LSTMCell
        >>> layer = RNN(StackedRNNCells([LSTMCell(8), LSTMCell(4)]))
        >>> layer(functional.zeros((2, 5, 3))).shape
        (2, 4)
    """

    def __init__(self, cells: Sequence[Any], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.cells = [checked_cell(self.name, cell) for cell in cells]
        if not self.cells:
            raise ArgumentError(
                "there is nothing to stack",
                where=self.name,
                got="no cell",
                fix="StackedRNNCells([LSTMCell(128), LSTMCell(128)])",
            )

    @property
    def runs_in_turn(self) -> bool:
        """Whether each may run along the whole sequence before the next begins."""
        return type(self).call is StackedRNNCells.call

    @property
    def state_size(self) -> list[Any]:
        """The state sizes of all cells."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> Any:
        """The width of what the last cell gives."""
        return output_width(self.cells[-1])

    def build(self, input_shape: InputShape) -> None:
        """Build the cells."""
        for cell in self.cells:
            if isinstance(cell, Layer):
                cell.build_for(input_shape)
            input_shape = (input_shape[0], output_width(cell))

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """The first states of all cells."""
        dtype = self.compute_dtype
        return [initial_state(cell, batch_size, dtype) for cell in self.cells]

    def call(  # type: ignore[override]
        self, inputs: Tensor, states: Sequence[Any], training: bool = False
    ) -> tuple[Tensor, list[Any]]:
        """One step of every cell."""
        new = []
        for cell, state in zip(self.cells, states, strict=True):
            told = {"training": training} if isinstance(cell, Layer) else {}
            inputs, after = cell(inputs, state, **told)
            new.append(after)
        return inputs, new


class RNN(Layer):
    """A cell run along sequences `(samples, steps, features)`.

    Each step takes the input of that step and the state that the one before it left.
    What the cell computes of the inputs alone is computed for all steps at once; the
    rest is one native loop.

    Args:
        cell: `LSTMCell`, `GRUCell`, `SimpleRNNCell`; a list of cells, which are
            stacked; or a layer of your own, with `state_size` (a width, or a list of
            them), `call(inputs, states)` that gives the output and the new states, and
            where you like `output_size`, `get_initial_state(batch_size)`.
        return_sequences: whether the outputs of all steps are wanted, and not that of
            the last.
        return_state: whether to return the states behind the last step as well.
        go_backwards: whether to begin at the end; the outputs of all steps are in the
            order in which they were computed.
        stateful: whether a batch goes on where the one before it ended, sample by
            sample; see `reset_state`.
        unroll: whether every step is a piece of the program of its own. That takes
            longer to compile, and pays for a few steps at most.
        zero_output_for_mask: whether masked steps give 0, and not the output before
            them.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when the cell is none.
        ShapeError: when a state or a mask does not fit, or the number of samples or
            steps is not known where it must be.

    Example:
        >>> class Sum(Layer):
        ...     state_size = 3
        ...     def call(self, inputs, states):
        ...         total = states[0] + inputs
        ...         return total, [total]
        >>> RNN(Sum())(functional.ones((1, 4, 3))).tolist()
        [[4.0, 4.0, 4.0]]
    """

    supports_masking = True

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell, dtype=self.dtype_policy)
        self.cell = checked_cell(self.name, cell)
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.zero_output_for_mask = zero_output_for_mask
        self.states: Any = None

    def build(self, input_shape: InputShape) -> None:
        """Build the cell; make the states that are kept."""
        rows, steps, *features = check_sequences(self.name, input_shape)
        if self.unroll and steps is None:
            raise ShapeError(
                "the number of steps must be known to unroll them",
                where=self.name,
                got=input_shape,
                fix="Input((100, 32)), or unroll=False",
            )
        if isinstance(self.cell, Layer):
            self.cell.build_for((rows, *features))
        if self.stateful and self.states is None:
            self._make_states(rows)
        width = features[-1]
        axes = {} if width is None else {-1: width}
        self.input_spec = InputSpec(ndim=len(input_shape), axes=axes)

    def call(
        self,
        sequences: Tensor,
        initial_state: Any = None,
        mask: Tensor | None = None,
        training: bool = False,
    ) -> Any:
        """Run the cell along the sequences.

        Args:
            sequences: `(samples, steps, features)`.
            initial_state: the states before the first step, one or a list of them;
                zeros by default.
            mask: `(samples, steps)`: False for steps that are skipped: the state stays
                what it was. By default that of the sequences, if they have one.
            training: whether dropout acts.

        Returns:
            The output of the last step, `(samples, units)`, or those of all steps,
            `(samples, steps, units)`; with `return_state` a tuple of that and the
            states.
        """
        found = self.run(sequences, initial_state, mask, training)
        if self.return_sequences:
            output = batch_first(found.outputs)
            output = functional.flip(output, axis=1) if self.go_backwards else output
        else:
            output = found.last
        return (output, *found.states) if self.return_state else output

    def run(
        self, sequences: Tensor, initial_state: Any, mask: Any, training: bool
    ) -> Found:
        """What the cell gives, steps first and where they lie in the input."""
        states, fresh = self._begin(sequences, initial_state)
        if mask is not None:
            mask = batch_first(checked_mask(self.name, mask, sequences))
        way = Recurrence(
            self.go_backwards,
            self.unroll,
            training,
            self.zero_output_for_mask,
            self.return_sequences,
        )
        found = way.run(self.cell, batch_first(sequences), states, mask, fresh)
        if self.stateful:
            kept = tree.flatten(self.states)[0]
            for variable, state in zip(
                kept, tree.flatten(found.states)[0], strict=True
            ):
                variable.assign(state)
        return found

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """That of the input where all steps are returned."""
        mask = previous_mask
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        return mask if self.return_sequences else None

    def get_initial_state(self, batch_size: int) -> Any:
        """The states before the first step, where none are given."""
        return initial_state(self.cell, batch_size, self.compute_dtype)

    def reset_state(self) -> None:
        """Let the next batch begin with states of zeros.

        Example:
            >>> from chainrule.layers import GRU
            >>> layer = GRU(2, stateful=True)
            >>> first = layer(functional.ones((1, 3, 2))).tolist()
            >>> layer.reset_state()
            >>> layer(functional.ones((1, 3, 2))).tolist() == first
            True
        """
        for variable in tree.flatten(self.states)[0]:
            variable.assign(functional.zeros_like(variable.value))

    def reset_states(self) -> None:
        """The same as `reset_state`."""
        self.reset_state()

    def _make_states(self, rows: int | None) -> None:
        if rows is None:
            raise ShapeError(
                "states that are kept need a fixed number of samples",
                where=self.name,
                got="stateful=True, and batches of any size",
                fix="Input(batch_shape=(32, 100, 8)), and fit(..., batch_size=32)",
            )
        first, structure = tree.flatten(self.get_initial_state(rows))
        variables = [
            self.add_weight(f"state_{i}", state.shape, "zeros", trainable=False)
            for i, state in enumerate(first)
        ]
        for variable in variables:
            variable.carried = True
        self.states = tree.unflatten(structure, variables)

    def _begin(self, sequences: Tensor, given: Any) -> tuple[Any, bool]:
        """The states before the first step, and whether they are zeros."""
        rows = sequences.shape[0]
        wanted = self.get_initial_state(rows)
        expected, structure = tree.flatten(wanted)
        if given is None and not self.stateful:
            return wanted, True
        if given is None:
            given = tree.tree_map(lambda variable: variable.value, self.states)
        found = [
            functional.astype(functional.asarray(state), self.compute_dtype)
            for state in tree.flatten(given)[0]
        ]
        shapes = [state.shape for state in expected]
        if [state.shape for state in found] != shapes:
            raise ShapeError(
                "the states do not fit the batch",
                where=self.name,
                got=", ".join(str(state.shape) for state in found),
                expected=", ".join(map(str, shapes)),
                fix=f"batches of {found[0].shape[0]} samples, also at the end: "
                "stateful=True goes on with the states of the batch before"
                if self.stateful and found
                else None,
            )
        return tree.unflatten(structure, found), False


def batch_first(sequences: Tensor) -> Tensor:
    """Samples and steps in the other order; from either order to the other.

    Example:
        >>> batch_first(functional.zeros((2, 3, 4))).shape
        (3, 2, 4)
    """
    return functional.permute_dims(sequences, (1, 0, *range(2, sequences.ndim)))


def check_sequences(where: str, shape: InputShape) -> InputShape:
    """The shape, if it is one of sequences.

    Raises:
        ShapeError: when an axis is missing.
    """
    if len(shape) < 3 or isinstance(shape[0], (list, tuple)):
        raise ShapeError(
            "the input is no sequence",
            where=where,
            got=shape,
            expected="(samples, steps, features)",
            fix="one number a step: x[:, :, None]; one sequence: x[None]; numbers of "
            "words: an Embedding before this layer",
        )
    return shape


def checked_cell(where: str, cell: Any) -> Any:
    """`cell`, or the one that a config describes.

    Raises:
        ArgumentError: when it has no `call` or no `state_size`.
    """
    if isinstance(cell, Mapping):
        cell = REGISTRY.get(cell)
    known = hasattr(cell, "call") and hasattr(cell, "state_size")
    if not known or isinstance(cell, RNN):
        raise ArgumentError(
            "a cell has call(inputs, states) and a state_size",
            where=where,
            got=repr(cell),
            expected="LSTMCell(128), GRUCell(128), or a layer of your own with both",
            fix=f"{type(cell).__name__}(...) without RNN(...) around it"
            if isinstance(cell, RNN)
            else None,
        )
    return cell


def initial_state(cell: Any, batch_size: int, dtype: Any) -> list[Any]:
    """The states that a cell begins with: its own, or zeros."""
    own = getattr(cell, "get_initial_state", None)
    if own is not None:
        found = own(batch_size=batch_size)
        return list(found) if isinstance(found, (list, tuple)) else [found]
    size = cell.state_size
    sizes = size if isinstance(size, (list, tuple)) else [size]
    return [functional.zeros((batch_size, n), dtype=dtype) for n in sizes]


def output_width(cell: Any) -> Any:
    """The width of a cell's output; that of its first state unless it says another."""
    size = getattr(cell, "output_size", None)
    if size is None:
        size = cell.state_size
    return size[0] if isinstance(size, (list, tuple)) else size


class OfCell(RNN):
    """Base of the recurrent layers that make their cell themselves.

    Args:
        *parts: the cell, and the flags of `RNN` in order. They are no arguments of the
            layers, which have their own.
        zero_output_for_mask: see `RNN`.
        name: see `LayerOptions`.
        dtype: see `LayerOptions`.
        trainable: see `LayerOptions`.
        input_shape: see `LayerOptions`.
        activity_regularizer: see `LayerOptions`.
    """

    def __init__(
        self,
        *parts: Any,
        zero_output_for_mask: bool = False,
        name: str | None = None,
        dtype: PolicyLike | None = None,
        trainable: bool = True,
        input_shape: Sequence[int | None] | None = None,
        activity_regularizer: Any = None,
    ) -> None:
        cell, sequences, state, backwards, stateful, unroll = parts
        super().__init__(
            cell,
            sequences,
            state,
            backwards,
            stateful,
            unroll,
            zero_output_for_mask=zero_output_for_mask,
            name=name,
            dtype=dtype,
            trainable=trainable,
            input_shape=input_shape,
            activity_regularizer=activity_regularizer,
        )

    def __getattr__(self, name: str) -> Any:
        """An argument that the cell keeps."""
        cell = self.__dict__.get("cell")
        if not isinstance(cell, Cell) or name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        return getattr(cell, name)
