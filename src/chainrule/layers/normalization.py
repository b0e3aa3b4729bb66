"""Layers that bring numbers to a common size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from chainrule import constraints, functional, initializers, regularizers
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import normalization
from chainrule.functional.promotion import Tensor
from chainrule.ir.spec import normalize_axes
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.layer import InputShape, Layer, LayerOptions, check_positive
from chainrule.variable import Variable

Axis = int | Sequence[int]

# Divides sums of masked samples, so that a batch without any sample stays finite.
NO_SAMPLES = 1e-7


class AffineOptions(LayerOptions, total=False):
    """What layers with a scale `gamma` and an offset `beta` take.

    Attributes:
        beta_initializer: of the offset, `zeros` by default.
        gamma_initializer: of the scale, `ones` by default.
        beta_regularizer: a penalty on the offset.
        gamma_regularizer: a penalty on the scale.
        beta_constraint: a limit of the offset.
        gamma_constraint: a limit of the scale.
    """

    beta_initializer: Any
    gamma_initializer: Any
    beta_regularizer: Any
    gamma_regularizer: Any
    beta_constraint: Any
    gamma_constraint: Any


class AffineNormalization(Layer):
    """Base of layers that normalize, then multiply by `gamma` and add `beta`.

    Args:
        center: whether to add an offset `beta`.
        scale: whether to multiply by a scale `gamma`.
        beta_initializer: of the offset.
        gamma_initializer: of the scale.
        beta_regularizer: a penalty on the offset.
        gamma_regularizer: a penalty on the scale.
        beta_constraint: a limit of the offset.
        gamma_constraint: a limit of the scale.
        **options: see `LayerOptions`.
    """

    wide = True

    gamma: Variable | None
    beta: Variable | None

    def __init__(
        self,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.gamma = self.beta = None

    def _add_affine(self, shape: Sequence[int], scale: bool, center: bool) -> None:
        """Make the scale and the offset."""
        if scale:
            self.gamma = self.add_weight(
                "gamma",
                shape,
                self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if center:
            self.beta = self.add_weight(
                "beta",
                shape,
                self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )

    def _affine(self, normal: Tensor, shape: Sequence[int]) -> Tensor:
        """`gamma * normal + beta`, both reshaped to `shape` first."""
        if self.gamma is not None:
            normal = normal * functional.reshape(self.gamma.value, tuple(shape))
        if self.beta is not None:
            normal = normal + functional.reshape(self.beta.value, tuple(shape))
        return normal


class BatchNormalization(AffineNormalization):
    """Brings every feature to mean 0 and variance 1 over the samples of a batch.

    While training, `gamma * (x - mean) / sqrt(variance + epsilon) + beta` with the
    moments of the batch, and moving statistics follow them:
    `moving = momentum * moving + (1 - momentum) * batch`. Otherwise, and where the
    layer is not trainable, the moving statistics take their place. Ioffe, Szegedy,
    "Batch normalization", ICML 2015.

    Args:
        axis: the axis of the features.
        momentum: how slowly the moving statistics follow.
        epsilon: keeps the divisor from 0.
        center: whether to add an offset `beta`.
        scale: whether to multiply by a scale `gamma`.
        moving_mean_initializer: of the moving mean.
        moving_variance_initializer: of the moving variance.
        synchronized: is refused: all samples of a batch are in one process.
        **options: see `AffineOptions`.

    Raises:
        ArgumentError: when `momentum` is no share, or `synchronized` is set.
        ShapeError: when the number of features is not known, or changes.

    Example:
        >>> layer = BatchNormalization(momentum=0.5, epsilon=0.0)
        >>> layer([[1.0], [3.0]], training=True).tolist()
        [[-1.0], [1.0]]
        >>> layer.moving_mean.numpy().tolist()
        [1.0]
    """

    supports_masking = True

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        synchronized: bool = False,
        **options: Unpack[AffineOptions],
    ) -> None:
        super().__init__(center, scale, **options)
        if not 0 <= momentum <= 1:
            raise ArgumentError(
                "the momentum is the share of the old statistics that is kept",
                where=self.name,
                got=f"momentum={momentum!r}",
                expected="0 <= momentum <= 1",
            )
        if synchronized:
            raise ArgumentError(
                "there is nothing to synchronize: all samples of a batch are in one "
                "process",
                where=self.name,
                got="synchronized=True",
                fix="leave it out",
            )
        self.axis = int(axis)
        self.momentum = float(momentum)
        self.epsilon = check_epsilon(self.name, epsilon)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.synchronized = synchronized

    def build(self, input_shape: InputShape) -> None:
        """Make scale, offset and moving statistics."""
        axis, length = known_axis(self.name, input_shape, self.axis)
        self._add_affine((length,), self.scale, self.center)
        self.moving_mean = self.add_weight(
            "moving_mean", (length,), self.moving_mean_initializer, trainable=False
        )
        self.moving_variance = self.add_weight(
            "moving_variance",
            (length,),
            self.moving_variance_initializer,
            trainable=False,
        )
        self.input_spec = InputSpec(ndim=len(input_shape), axes={axis: length})

    def call(
        self, inputs: Tensor, training: bool = False, mask: Tensor | None = None
    ) -> Tensor:
        """The normalized input.

        Args:
            inputs: samples first.
            training: whether to take the moments of this batch.
            mask: true for the samples (or steps) that the moments are taken of; one
                axis less than the input.
        """
        axis = self.axis % inputs.ndim
        shape = tuple(n if i == axis else 1 for i, n in enumerate(inputs.shape))
        if not (training and self.trainable):
            mean, variance = self.moving_mean.value, self.moving_variance.value
            factor = 1.0 / functional.sqrt(variance + self.epsilon)
            normal = (inputs - functional.reshape(mean, shape)) * functional.reshape(
                factor, shape
            )
            return self._affine(normal, shape)
        axes = tuple(i for i in range(inputs.ndim) if i != axis)
        if mask is not None:
            mean, variance = self._masked_moments(inputs, mask, axes)
            factor = 1.0 / functional.sqrt(variance + self.epsilon)
            outputs = self._affine((inputs - mean) * factor, shape)
        else:
            mean, variance = normalization.moments(inputs, axes)
            outputs = self._normalized(inputs, axes, shape)
        if inputs.spec.size:
            self._follow(self.moving_mean, mean)
            self._follow(self.moving_variance, variance)
        return outputs

    def _normalized(
        self, inputs: Tensor, axes: tuple[int, ...], shape: tuple[int, ...]
    ) -> Tensor:
        scale = functional.ones(shape, dtype=inputs.dtype)
        offset = functional.zeros(shape, dtype=inputs.dtype)
        if self.gamma is not None:
            scale = functional.reshape(self.gamma.value, shape)
        if self.beta is not None:
            offset = functional.reshape(self.beta.value, shape)
        return normalization.batch_normalization(
            inputs, scale, offset, axes, self.epsilon
        )

    def _masked_moments(
        self, inputs: Tensor, mask: Tensor, axes: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """Moments of the samples that the mask lets through."""
        mask = functional.asarray(mask)
        if mask.shape != inputs.shape[:-1]:
            raise ShapeError(
                "the mask has the axes of the input, without that of the features",
                where=self.name,
                got=mask.shape,
                expected=inputs.shape[:-1],
            )
        keep = functional.expand_dims(functional.astype(mask, "bool"), axis=-1)
        weight = functional.broadcast_to(keep, inputs.shape)
        count = functional.sum(
            functional.astype(weight, inputs.dtype), axis=axes, keepdims=True
        )
        kept = functional.where(keep, inputs, 0.0)
        mean = functional.sum(kept, axis=axes, keepdims=True) / (count + NO_SAMPLES)
        apart = functional.where(keep, functional.square(inputs - mean), 0.0)
        total = functional.sum(apart, axis=axes, keepdims=True)
        return mean, total / (count + NO_SAMPLES)

    def _follow(self, moving: Variable, batch: Tensor) -> None:
        """Move a moving statistic towards that of the batch."""
        new = functional.stop_gradient(functional.reshape(batch, moving.shape))
        moving.assign(moving.value * self.momentum + new * (1.0 - self.momentum))


class LayerNormalization(AffineNormalization):
    """Brings every sample to mean 0 and variance 1 over its own features.

    `gamma * (x - mean) / sqrt(variance + epsilon) + beta`; training and prediction are
    alike. Ba, Kiros, Hinton, "Layer normalization", arXiv 1607.06450.

    Args:
        axis: the axis of the features, or several.
        epsilon: keeps the divisor from 0.
        center: whether to add an offset `beta`.
        scale: whether to multiply by a scale `gamma`.
        rms_scaling: divide by the root of the variance without taking the mean off, and
            add no offset. As in Keras, the variance and not the mean square is meant;
            `RMSNormalization` divides by the latter.
        **options: see `AffineOptions`.

    Raises:
        ShapeError: when the lengths of the axes are not known.

    Example:
        >>> LayerNormalization(epsilon=0.0)([[1.0, 3.0]]).tolist()
        [[-1.0, 1.0]]
    """

    supports_masking = True

    def __init__(
        self,
        axis: Axis = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        rms_scaling: bool = False,
        **options: Unpack[AffineOptions],
    ) -> None:
        super().__init__(center, scale, **options)
        self.axis = as_axis(self.name, axis)
        self.epsilon = check_epsilon(self.name, epsilon)
        self.rms_scaling = rms_scaling

    def build(self, input_shape: InputShape) -> None:
        """Make scale and offset, of the shape of the normalized axes."""
        found = known_axes(self.name, input_shape, self.axis)
        center = self.center and not self.rms_scaling
        self._add_affine(tuple(found.values()), self.scale or self.rms_scaling, center)
        self.input_spec = InputSpec(ndim=len(input_shape), axes=found)

    def call(self, inputs: Tensor) -> Tensor:
        """The normalized input."""
        axes = normalize_axes(_hashable(self.axis), inputs.ndim, self.name)
        shape = tuple(n if i in axes else 1 for i, n in enumerate(inputs.shape))
        if not self.rms_scaling:
            normal = normalization.standardize(inputs, axes, self.epsilon)
            return self._affine(normal, shape)
        _, variance = normalization.moments(inputs, axes)
        factor = 1.0 / functional.sqrt(variance + self.epsilon)
        return self._affine(inputs * factor, shape)


class GroupNormalization(AffineNormalization):
    """Brings groups of channels of every sample to mean 0 and variance 1.

    With one group it normalizes whole samples, with a group for each channel it is
    instance normalization. Wu, He, "Group normalization", ECCV 2018.

    Args:
        groups: how many; -1 for one for each channel.
        axis: the axis of the channels.
        epsilon: keeps the divisor from 0.
        center: whether to add an offset `beta`.
        scale: whether to multiply by a scale `gamma`.
        **options: see `AffineOptions`.

    Raises:
        ArgumentError: when `groups` is no positive number.
        ShapeError: when the channels cannot be divided into so many groups.

    Example:
        >>> layer = GroupNormalization(groups=2, epsilon=0.0)
        >>> layer([[1.0, 3.0, 10.0, 30.0]]).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]
    """

    supports_masking = True

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        **options: Unpack[AffineOptions],
    ) -> None:
        super().__init__(center, scale, **options)
        if groups != -1:
            groups = check_positive(self.name, "groups", groups)
        self.groups = groups
        self.axis = int(axis)
        self.epsilon = check_epsilon(self.name, epsilon)

    def build(self, input_shape: InputShape) -> None:
        """Make scale and offset."""
        axis, length = known_axis(self.name, input_shape, self.axis)
        if axis == 0:
            raise ShapeError(
                "the first axis is that of the samples",
                where=self.name,
                got=f"axis={self.axis}",
                expected="an axis of channels, such as -1",
            )
        if self.groups != -1 and length % self.groups:
            divisors = [n for n in range(1, length + 1) if length % n == 0]
            raise ShapeError(
                "the channels cannot be divided into so many groups",
                where=self.name,
                got=f"groups={self.groups} for {length} channels",
                expected=f"one of {', '.join(map(str, divisors))}",
                fix=f"groups={max(n for n in divisors if n <= self.groups)}",
            )
        self._add_affine((length,), self.scale, self.center)
        self.input_spec = InputSpec(ndim=len(input_shape), axes={axis: length})

    def call(self, inputs: Tensor) -> Tensor:
        """The normalized input."""
        axis = self.axis % inputs.ndim
        length = inputs.shape[axis]
        groups = length if self.groups == -1 else self.groups
        before, after = inputs.shape[:axis], inputs.shape[axis + 1 :]
        split = (*before, groups, length // groups, *after)
        grouped = functional.reshape(inputs, split)
        axes = tuple(i for i in range(1, grouped.ndim) if i != axis)
        normal = normalization.standardize(grouped, axes, self.epsilon)
        shape = tuple(n if i == axis else 1 for i, n in enumerate(inputs.shape))
        return self._affine(functional.reshape(normal, inputs.shape), shape)


class RMSNormalization(Layer):
    """Divides every sample by the root of the mean square of its features.

    `scale * x / sqrt(mean(x ** 2) + epsilon)`. Zhang, Sennrich, "Root mean square layer
    normalization", NeurIPS 2019.

    Args:
        axis: the axis of the features, or several.
        epsilon: keeps the divisor from 0.
        **options: see `LayerOptions`.

    Raises:
        ShapeError: when the lengths of the axes are not known.

    Example:
        >>> RMSNormalization(epsilon=0.0)([[3.0, 3.0]]).tolist()
        [[1.0, 1.0]]
    """

    wide = True

    supports_masking = True

    def __init__(
        self,
        axis: Axis = -1,
        epsilon: float = 1e-6,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.axis = as_axis(self.name, axis)
        self.epsilon = check_epsilon(self.name, epsilon)

    def build(self, input_shape: InputShape) -> None:
        """Make the scale, of the shape of the normalized axes."""
        found = known_axes(self.name, input_shape, self.axis)
        self.scale = self.add_weight("scale", tuple(found.values()), "ones")
        self.input_spec = InputSpec(ndim=len(input_shape), axes=found)

    def call(self, inputs: Tensor) -> Tensor:
        """The normalized input."""
        axes = normalize_axes(_hashable(self.axis), inputs.ndim, self.name)
        shape = tuple(n if i in axes else 1 for i, n in enumerate(inputs.shape))
        squares = functional.mean(functional.square(inputs), axis=axes, keepdims=True)
        factor = 1.0 / functional.sqrt(squares + self.epsilon)
        return inputs * factor * functional.reshape(self.scale.value, shape)


class UnitNormalization(Layer):
    """Divides every sample by its Euclidean norm: `x / sqrt(max(sum(x ** 2), 1e-12))`.

    Args:
        axis: the axis that the norm is taken over, or several.
        **options: see `LayerOptions`.

    Example:
        >>> UnitNormalization()([[0.0, 5.0]]).tolist()
        [[0.0, 1.0]]
    """

    wide = True

    supports_masking = True

    def __init__(self, axis: Axis = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis = as_axis(self.name, axis)

    def call(self, inputs: Tensor) -> Tensor:
        """The input with norm 1; a sample of zeros stays one."""
        axes = normalize_axes(_hashable(self.axis), inputs.ndim, self.name)
        return normalization.unit(inputs, axes)


def as_axis(where: str, axis: Any) -> Axis:
    """An axis, or a list of axes.

    Raises:
        ArgumentError: for anything else.
    """
    if isinstance(axis, int) and not isinstance(axis, bool):
        return axis
    several = isinstance(axis, (list, tuple)) and len(axis) > 0
    if several and all(isinstance(n, int) and not isinstance(n, bool) for n in axis):
        return list(axis)
    raise ArgumentError(
        "an axis is a whole number, or several are a list",
        where=where,
        got=f"axis={axis!r}",
        expected="such as -1 or [1, 2]",
    )


def _hashable(axis: Axis) -> int | tuple[int, ...]:
    return axis if isinstance(axis, int) else tuple(axis)


def check_epsilon(where: str, epsilon: Any) -> float:
    """`epsilon` as a number that is not negative.

    Raises:
        ArgumentError: when it is not one.
    """
    if isinstance(epsilon, (str, bool)) or not epsilon >= 0:
        raise ArgumentError(
            "epsilon must not be negative",
            where=where,
            got=f"epsilon={epsilon!r}",
            expected="a small number such as 0.001",
        )
    return float(epsilon)


def known_axes(where: str, input_shape: InputShape, axis: Axis) -> dict[int, int]:
    """The lengths of these axes, in their order.

    Raises:
        ShapeError: when an axis does not exist, or its length is not known.
    """
    found: dict[int, int] = {}
    for each in normalize_axes(_hashable(axis), len(input_shape), where):
        length = input_shape[each]
        if length is None:
            raise ShapeError(
                f"axis {each} of the input must have a known length",
                where=where,
                got=input_shape,
                fix="give the first layer the shape of a sample: input_shape=(784,)",
            )
        found[each] = length
    return found


def known_axis(where: str, input_shape: InputShape, axis: int) -> tuple[int, int]:
    """One axis, counted from the front, and its length; see `known_axes`."""
    return next(iter(known_axes(where, input_shape, axis).items()))
