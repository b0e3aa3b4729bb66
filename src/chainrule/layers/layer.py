"""The base of all layers: their life-cycle, their weights, their names."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypedDict

import numpy as np

from chainrule import constraints, functional, initializers, regularizers
from chainrule.configurable import snake_case
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.recording import Call, has_symbol
from chainrule.ir import tree
from chainrule.ir.dtype import DTypeLike, as_dtype
from chainrule.ir.trace import eagerly
from chainrule.ir.value import Value
from chainrule.layers.collected import collected_losses as collected_losses
from chainrule.layers.collected import collector
from chainrule.layers.drawing import draw, drawn, output_shape, tree_of_shapes
from chainrule.layers.input_spec import check_inputs
from chainrule.layers.masks import hand_on, told
from chainrule.layers.surroundings import Surroundings, Within, around, join
from chainrule.layers.typed import Typed, cast_floats
from chainrule.precision import PolicyLike, as_policy
from chainrule.variable import Variable

InputShape = tuple[int | None, ...]

_name_counts: Counter[str] = Counter()
_holds: dict[type, str] = {}  # see `_how_it_holds`


_source: ContextVar[Callable[..., Any] | None] = ContextVar("source", default=None)


@contextmanager
def weights_from(source: Callable[..., Any]) -> Iterator[None]:
    """Within the block, new weights are `source(shape, dtype=...)`, not initialized.

    Example:
        >>> with weights_from(lambda shape, dtype: functional.full(shape, 7.0)):
        ...     Layer().add_weight("scale", (2,)).numpy().tolist()
        [7.0, 7.0]
    """
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)


class LayerOptions(TypedDict, total=False):
    """What every layer takes.

    Attributes:
        name: its name, such as `dense_1`; counted up by class when None.
        dtype: a floating-point type or a policy such as `mixed_bfloat16`, that of
            `chainrule.dtype_policy()` when None; see `chainrule.DTypePolicy`.
        trainable: whether training changes its weights.
        input_shape: the shape of one sample, for the first layer of a model.
        activity_regularizer: a penalty on the output, per sample; see `regularizers`.
    """

    name: str | None
    dtype: PolicyLike | None
    trainable: bool
    input_shape: Sequence[int | None] | None
    activity_regularizer: Any


class Layer(Typed):
    """A function with weights. Subclasses define `call`, and `build` if they have any.

    `__init__` stores its arguments under their own names; `build(input_shape)` makes
    the weights with `add_weight`, at the first call; `call(inputs)` or
    `call(inputs, training)` computes. Layers and variables held in attributes are found
    by themselves.

    Args:
        name: its name, such as `dense_1`; counted up by class when None.
        dtype: of its weights, or a policy: a name such as `mixed_bfloat16` or a
            `chainrule.DTypePolicy`; that of `chainrule.dtype_policy()` when None.
            Floating-point inputs are cast to the type that it computes in.
        trainable: whether training changes its weights.
        input_shape: the shape of one sample, for the first layer of a model.
        activity_regularizer: a function of the output, divided by the number of
            samples and added to the loss.

    Example:
        >>> class Scale(Layer):
        ...     def build(self, input_shape):
        ...         self.factor = self.add_weight("factor", input_shape[-1:], "ones")
        ...     def call(self, inputs):
        ...         return inputs * self.factor.value
        >>> layer = Scale(name="scale")
        >>> layer([[1.0, 2.0]]).numpy().tolist(), layer.count_params()
        ([[1.0, 2.0]], 2)
    """

    # Whether it computes on NumPy arrays before the compiled program; see `HostLayer`.
    host = False
    # Whether the mask of a sequence holds for its output; see `compute_mask`.
    supports_masking = False
    # Whether `mask` in `call` is that of the steps, as it hangs on the input.
    mask_of_steps = True

    def __init__(
        self,
        *,
        name: str | None = None,
        dtype: PolicyLike | None = None,
        trainable: bool = True,
        input_shape: Sequence[int | None] | None = None,
        activity_regularizer: Any = None,
    ) -> None:
        self.name = _auto_name(type(self)) if name is None else _checked_name(name)
        self.dtype_policy = as_policy(dtype, self.name)
        if type(self).trainable is Layer.trainable:
            self._trainable = bool(trainable)  # there are no layers inside yet
        else:
            self.trainable = trainable
        self.input_shape = (
            None if input_shape is None else check_shape(self.name, input_shape)
        )
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.built = False
        # one, or a list or dict of them for several inputs
        self.input_spec: Any = None
        self._weights: list[Variable] = []
        self._calls: list[Call] = []  # with symbols, while models were drawn
        self._added_losses: list[Any] = []

    def build(self, input_shape: InputShape) -> None:
        """Make the weights for inputs of this shape, samples first."""

    def call(self, inputs: Any) -> Any:
        """Compute the output. A layer that acts otherwise while training also takes
        `training`.
        """
        raise NotImplementedError

    def __call__(
        self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any
    ) -> Any:
        """Build at the first call, check the input, and compute.

        Called with a symbol (see `Input`), it computes nothing and gives symbols.

        Args:
            inputs: a tensor, an array or a nested list, samples first; or a tree.
            *args: whatever more `call` takes.
            training: whether this is a training step; by default as in the layer
                around this one, and False outside of any.
            **kwargs: whatever more `call` takes.

        Raises:
            ShapeError: when the input does not fit, naming the layer.
        """
        if has_symbol((inputs, *args, *kwargs.values())):
            self.build_for(input_shape_of(inputs))
            check_inputs(self.name, self.input_spec, inputs)
            return draw(self, (inputs, *args), kwargs, training)
        inputs = self._convert(inputs)
        outer = around()
        mode = outer.training if training is None else training
        path = join(outer.path, self.name)
        with Within(self, Surroundings(path, mode)):
            if not self.built:
                self._build(input_shape_of(inputs))
            check_inputs(self.name, self.input_spec, inputs)
            if not outer.path:
                self._forget_losses()
            options, mask = told(self, inputs, mode, args, kwargs)
            outputs = self.call(inputs, *args, **options)
            if self.wide and self.compute_dtype.is_half:
                outputs = cast_floats(outputs, self.compute_dtype)
            if self.activity_regularizer is not None:
                self._penalize(outputs)
            hand_on(self, inputs, outputs, mask)
            return outputs

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of the output, or a list of them; see `supports_masking`.

        Args:
            inputs: what the layer was called with.
            previous_mask: the mask that hangs on it; a list of masks for several
                inputs.
        """
        return previous_mask

    @property
    def hands_masks_on(self) -> bool:
        """Whether what it gives may have masks."""
        own = type(self).compute_mask is not Layer.compute_mask
        return own or self.supports_masking

    def build_for(self, input_shape: Any, *others: Any) -> None:
        """Build, unless that has happened, as a call with this input would.

        Args:
            input_shape: the shape with the axis of the samples, which may be None; a
                list or dict of shapes for several inputs.
            *others: shapes of further arguments, where `build` takes them.
        """
        if not self.built:
            outer = around()
            path = join(outer.path, self.name)
            with Within(self, Surroundings(path, outer.training)):
                self._build(*map(tree_of_shapes, (input_shape, *others)))

    def add_weight(
        self,
        name: str,
        shape: Sequence[int] = (),
        initializer: Any = "glorot_uniform",
        trainable: bool = True,
        dtype: DTypeLike | None = None,
        regularizer: Any = None,
        constraint: Any = None,
    ) -> Variable:
        """A new variable of this layer.

        Args:
            name: unique within the layer, such as `kernel`.
            shape: its shape.
            initializer: a name, an `Initializer`, or a function of (shape, dtype).
            trainable: whether training changes it.
            dtype: its dtype, that of the layer when None.
            regularizer: a name, a `Regularizer`, or a function of the value, added to
                the loss while the variable is trained.
            constraint: a name, a `Constraint`, or a function from an updated value to
                the one that is kept.
        """
        kind = self.dtype if dtype is None else as_dtype(dtype)
        make = _source.get() or initializers.get(initializer)
        with eagerly():
            value = make(tuple(shape), dtype=kind)
        variable = Variable(
            value,
            name,
            trainable,
            kind,
            regularizers.get(regularizer),
            constraints.get(constraint),
        )
        variable.path = join(around().path or self.name, name)
        self._weights.append(variable)
        return variable

    def add_loss(self, loss: Any) -> None:
        """Add to what training makes small; for use inside of `call`.

        Args:
            loss: a scalar, or several in a list.

        Raises:
            ShapeError: when one is no scalar.

        Example:
            >>> class Quiet(Layer):
            ...     def call(self, inputs):
            ...         self.add_loss(functional.mean(functional.abs(inputs)))
            ...         return inputs
            >>> layer = Quiet()
            >>> output = layer([[1.0, -3.0]])
            >>> [loss.item() for loss in layer.losses]
            [2.0]
        """
        collected = collector()
        for value in map(functional.asarray, tree.flatten(loss)[0]):
            if value.ndim != 0:
                raise ShapeError(
                    "an added loss is a scalar",
                    where=self.name,
                    got=value.spec,
                    fix="self.add_loss(chainrule.mean(loss))",
                )
            if collected is not None:
                collected.append(value)
            elif value.data is not None:
                self._added_losses.append(value)

    @property
    def losses(self) -> list[Any]:
        """What this layer adds to a loss: the losses of its last call, those of the
        layers it holds, and the regularizers of its trainable weights.

        A compiled call leaves nothing behind; there, use `collected_losses`.

        Example:
            >>> from chainrule.layers import Dense
            >>> layer = Dense(1, kernel_initializer="ones", kernel_regularizer="l2")
            >>> output = layer([[2.0, 3.0]])
            >>> [round(loss.item(), 4) for loss in layer.losses]
            [0.02]
        """
        added = [loss for layer in self.walk() for loss in layer._added_losses]
        penalties = [
            variable.regularizer(variable.value)
            for variable in self.trainable_weights
            if variable.regularizer is not None
        ]
        return added + penalties

    @property
    def weights(self) -> list[Variable]:
        """All variables, its own first, then those of the layers it holds."""
        return list({id(v): v for _, v in self._reach(True)}.values())

    @property
    def trainable_weights(self) -> list[Variable]:
        """The variables that training changes."""
        found = {id(v): v for on, v in self._reach(True) if on and v.trainable}
        return list(found.values())

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The variables that training leaves alone, such as moving statistics."""
        trained = {id(variable) for variable in self.trainable_weights}
        return [variable for variable in self.weights if id(variable) not in trained]

    def is_trained(self) -> bool:
        """Whether training would change any weight."""
        parts = [*self._weights, *_held_by(self)]
        return self.trainable and any(
            part.is_trained() if isinstance(part, Layer) else part.trainable
            for part in parts
        )

    def is_whole(self) -> bool:
        """Whether it and all layers that it holds have their weights."""
        return self.built and all(
            part.is_whole() for part in _held_by(self) if isinstance(part, Layer)
        )

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """Copies of the numbers of all weights, in the order of `weights`."""
        return [variable.numpy() for variable in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace the numbers of all weights.

        Raises:
            ShapeError: when their number or a shape differs.
        """
        own = self.weights
        if len(own) != len(weights):
            raise ShapeError(
                "the layer has another number of weights",
                where=self.name,
                got=len(weights),
                expected=f"{len(own)}: {', '.join(v.path for v in own)}",
            )
        for variable, value in zip(own, weights, strict=True):
            variable.assign(value)

    def count_params(self) -> int:
        """How many numbers its weights hold."""
        return sum(math.prod(variable.shape) for variable in self.weights)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output for inputs of this shape, samples first.

        Lengths that are None stay unknown; several inputs are a list or dict of shapes.
        The layer is built if it is not yet; nothing is computed.

        Example:
            >>> from chainrule.layers import Dense
            >>> Dense(10).compute_output_shape((None, 784))
            (None, 10)
        """
        self.build_for(input_shape)
        return output_shape(self, input_shape)

    @property
    def input(self) -> Any:
        """What it was called with first, while a model was drawn; see `Input`."""
        return drawn(self, "input")

    @property
    def output(self) -> Any:
        """What it gave first, while a model was drawn.

        Example:
            >>> from chainrule import Input, Model
            >>> from chainrule.layers import Dense
            >>> hidden = Dense(3)
            >>> y = Dense(1)(hidden(Input((4,))))
            >>> Model(hidden.input, hidden.output).output_shape
            (None, 3)
        """
        return drawn(self, "output")

    @property
    def trainable(self) -> bool:
        """Whether training changes its weights, from the next `fit` on.

        Setting it sets that of the layers inside as well.
        """
        return self._trainable

    @trainable.setter
    def trainable(self, trainable: bool) -> None:
        self._trainable = bool(trainable)
        for part in _held_by(self):
            if isinstance(part, Layer):
                part.trainable = trainable

    def _convert(self, inputs: Any) -> Any:
        """Arrays as tensors; floating-point ones of the type that it computes in."""
        return cast_floats(as_tensors(inputs), self._working_dtype)

    def _build(self, *shapes: Any) -> None:
        with eagerly():
            self.build(*shapes)
        self.built = True

    def _penalize(self, outputs: Any) -> None:
        """Add the activity regularizer of every output, per sample."""
        for output in tree.flatten(outputs)[0]:
            penalty = self.activity_regularizer(output)
            self.add_loss(penalty / max(1, output.spec.shape[0]))

    def _forget_losses(self) -> None:
        """An outermost call begins: the losses of the last one are gone."""
        for layer in self.walk():
            layer._added_losses.clear()

    def walk(self) -> Iterator[Layer]:
        """This layer and those that it holds, each once."""
        found: dict[int, Layer] = {}
        self._find_parts(True, [], found)
        return iter(found.values())

    def _find_parts(
        self,
        trained: bool,
        variables: list[tuple[bool, Variable]],
        layers: dict[int, Layer],
    ) -> None:
        """Find everything that it holds.

        Args:
            trained: whether the layers around it are trainable.
            variables: takes the variables, with whether all layers around each are
                trainable; one that is held several times is there several times.
            layers: takes the layers by their `id`, this one first.
        """
        layers.setdefault(id(self), self)
        trained = trained and self.trainable
        variables += [(trained, variable) for variable in self._weights]
        for part in _held_by(self):
            if isinstance(part, Layer):
                part._find_parts(trained, variables, layers)
            else:
                variables.append((trained, part))

    def _reach(self, trained: bool) -> list[tuple[bool, Variable]]:
        """Each variable, with whether all layers around it are trainable."""
        found: list[tuple[bool, Variable]] = []
        self._find_parts(trained, found, {})
        return found


def held(container: Any) -> list[Any]:
    """The layers and variables in nested lists, tuples and dicts."""
    found: list[Any] = []
    _find_held((container,), found)
    return found


def _held_by(layer: Layer) -> list[Any]:
    """The layers and variables in the attributes of a layer."""
    found: list[Any] = []
    _find_held(vars(layer).values(), found)
    return found


def _find_held(values: Iterable[Any], found: list[Any]) -> None:
    for value in values:
        kind = type(value)
        if (holds := _holds.get(kind)) is None:  # asked of every attribute
            holds = _holds[kind] = _how_it_holds(kind)
        if holds == "itself":
            found.append(value)
        elif holds:
            _find_held(value.values() if holds == "values" else value, found)


def _how_it_holds(kind: type) -> str:
    """Whether objects of a class are layers or variables, or may have some in them."""
    if issubclass(kind, (Layer, Variable)):
        return "itself"
    if issubclass(kind, Mapping):
        return "values"
    return "parts" if issubclass(kind, (list, tuple)) else ""


def _auto_name(owner: type) -> str:
    base = snake_case(owner.__name__)
    _name_counts[base] += 1
    count = _name_counts[base] - 1
    return f"{base}_{count}" if count else base


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or not name or "/" in name:
        raise ArgumentError(
            "a layer's name is a string without '/'",
            where="name",
            got=repr(name),
            fix=f"name={str(name).replace('/', '_')!r}" if name else None,
        )
    return name


def check_shape(where: str, shape: Any) -> InputShape:
    """The shape of one sample, as a tuple.

    Raises:
        ShapeError: when it is no sequence of positive lengths and None.
    """
    if isinstance(shape, (int, np.integer)):
        raise ShapeError(
            "a shape is a tuple",
            where=where,
            got=shape,
            expected=f"({shape},)",
            fix=f"input_shape=({shape},)",
        )
    found = tuple(None if n is None else int(n) for n in shape)
    if any(n is not None and n <= 0 for n in found):
        raise ShapeError(
            "the lengths of a shape are positive",
            where=where,
            got=found,
            expected="positive integers, or None for a length that varies",
        )
    return found


def check_positive(where: str, argument: str, value: Any) -> int:
    """`value` as a positive integer.

    Raises:
        ArgumentError: when it is not one.
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < 1:
        raise ArgumentError(
            f"{argument} must be a positive integer",
            where=where,
            got=f"{argument}={value!r}",
            expected="1, 2, 3, ...",
            fix=f"{argument}={int(value)}"
            if isinstance(value, float) and value.is_integer() and value >= 1
            else None,
        )
    return int(value)


def check_data_format(where: str, data_format: Any) -> str:
    """The order of the axes; None stands for `channels_last`.

    Raises:
        ArgumentError: for an unknown one.
    """
    if data_format is None:
        return "channels_last"
    if data_format not in ("channels_last", "channels_first"):
        raise ArgumentError(
            "unknown order of the axes",
            where=where,
            got=f"data_format={data_format!r}",
            expected="'channels_last' or 'channels_first'",
        )
    return str(data_format)


def as_tensors(inputs: Any) -> Any:
    """A tree of arrays as one of tensors; a nested list of numbers is one array."""
    several = isinstance(inputs, Mapping) or (
        isinstance(inputs, (list, tuple))
        and any(isinstance(part, (Value, np.ndarray)) for part in inputs)
    )
    if several:
        return tree.tree_map(functional.asarray, inputs)
    return functional.asarray(inputs)


def input_shape_of(inputs: Any) -> Any:
    """The shape of a tensor or a symbol; a tree of shapes for a tree of several."""
    return tree.tree_map(lambda leaf: leaf.shape, inputs)
