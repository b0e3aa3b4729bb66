"""Models: layers that can be compiled, trained, measured, summarised and saved."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from chainrule.configurable import serialize
from chainrule.errors import ArgumentError
from chainrule.functional import random
from chainrule.functional.recording import PLACEHOLDERS
from chainrule.ir import tree
from chainrule.ir.dtype import as_dtype
from chainrule.ir.spec import Spec
from chainrule.ir.trace import trace
from chainrule.layers import Layer
from chainrule.layers.layer import as_tensors
from chainrule.models import prepare
from chainrule.models.ends import Ends
from chainrule.models.foreign import Mapped
from chainrule.models.objective import Objective
from chainrule.models.prepare import Outputs
from chainrule.models.storage import save_model
from chainrule.models.summary import summarize
from chainrule.models.trainer import Trainer
from chainrule.models.weights import WeightsReport, load_weights, save_weights
from chainrule.training.case import SampleShape
from chainrule.training.targets import Output, default_names

Shape = tuple[int | None, ...]
ANY_AXIS = frozenset(range(1, 32))  # but that of the rows


class Model(Trainer):
    """A layer that can be trained: the base of `Sequential`, and of models of your own.

    `Model(inputs, outputs)` is a `Functional`: what leads from some symbols to others.

    Args:
        inputs: a symbol, or a list or dict of symbols; see `Input`. None for a model
            that defines `call`.
        outputs: what was made of them.
        name: its name.
        trainable: whether training changes the weights.

    Attributes:
        optimizer: the optimizer that `compile` was given.
        loss: the loss that `compile` was given.
        history: the History of the last `fit`.
        stop_training: set by callbacks to end `fit` after this epoch.

    Example:
        >>> import chainrule
        >>> class Line(Model):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.dense = chainrule.layers.Dense(1)
        ...     def call(self, inputs):
        ...         return self.dense(inputs)
        >>> model = Line()
        >>> model.compile(chainrule.optimizers.SGD(0.1), loss="mse")
        >>> history = model.fit([[0.0], [1.0]], [[1.0], [3.0]], epochs=300, verbose=0)
        >>> history.history["loss"][-1] < 0.1
        True
    """

    drawn: ClassVar[type[Model]]  # `Functional`, which is built on this class

    def __init__(
        self,
        inputs: Any = None,
        outputs: Any = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        is_drawn = inputs is not None or outputs is not None
        if is_drawn:
            self.__class__ = _drawn_class(type(self))
        super().__init__(name=name, trainable=trainable)
        self._seen_inputs: tuple[list[Spec], tree.Structure] | None = None
        self.inputs: Any = None
        self.outputs: Any = None
        self._seen_shape: SampleShape | None = None
        self._seen_outputs: Outputs | None = None
        if is_drawn:
            self._draw(inputs, outputs)

    @property
    def layers(self) -> list[Layer]:
        """The layers that it is made of."""
        found = [part for part in vars(self).values() if isinstance(part, Layer)]
        return list(dict.fromkeys(found))

    @property
    def output_shape(self) -> Shape | None:
        """The shape of the output, rows first; None while the input is not known."""
        shape = self._sample_shape()
        if shape is None or not self.built:
            return None
        return self.compute_output_shape((None, *shape))

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of this name, or at this place.

        Raises:
            ArgumentError: when there is none.

        Example:
            >>> import chainrule
            >>> layers = [chainrule.layers.Dense(3, name="hidden")]
            >>> chainrule.Sequential(layers).get_layer("hidden") is layers[0]
            True
        """
        layers = self.layers
        if index is not None and -len(layers) <= index < len(layers):
            return layers[index]
        found = [layer for layer in layers if layer.name == name]
        if not found:
            raise ArgumentError(
                "there is no such layer",
                where=self.name,
                got=f"name={name!r}" if index is None else f"index={index}",
                expected=", ".join(layer.name for layer in layers),
            )
        return found[0]

    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Callable[[str], object] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Sequence[str] | None = None,
    ) -> None:
        r"""Print the layers, and what training them costs, before it begins.

        Operations count two for each product that is summed up. Memory is that of the
        compiled step. The time is an estimate from operations and bytes, and from the
        measured limits of this machine: good to a factor of three, where nothing else
        runs.

        Args:
            line_length: width of the table.
            positions: where columns end, as shares of the line or in characters.
            print_fn: is given the text instead of `print`.
            expand_nested: whether to show the layers of models inside.
            show_trainable: whether to show which layers are trained.
            layer_range: names, or patterns, of the first and the last layer to show.

        Raises:
            ArgumentError: for positions or a range that do not fit.

        Example:
            >>> import chainrule
            >>> dense = chainrule.layers.Dense(2, input_shape=(3,), name="out")
            >>> model, text = chainrule.Sequential([dense], name="tiny"), []
            >>> model.summary(line_length=64, print_fn=text.append)
            >>> print("\n".join(text[0].splitlines()[2:7]))
            Layer (type)           Output shape    Parameters  FLOPs a row
            --------------------------------------------------------------
            out (Dense)            (None, 2)               8          14
            --------------------------------------------------------------
            Parameters: 8 (32 B)
        """
        (print_fn or print)(
            summarize(
                self,
                line_length,
                positions,
                expand_nested,
                show_trainable,
                layer_range,
            )
        )

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = True,
        include_optimizer: bool = True,
    ) -> Path:
        """Write the model to one file, which `load_model` reads.

        The file is a zip of JSON and safetensors. It is written under a temporary name
        and renamed, so that nobody meets half of it.

        Args:
            path: where to.
            overwrite: whether an existing file is replaced.
            include_optimizer: whether to save the optimizer's state as well, so that
                training can go on where it was.

        Raises:
            ArgumentError: when it has no weights yet, exists already, or has a part
                that no config describes.

        Example:
            >>> import chainrule, tempfile
            >>> dense = chainrule.layers.Dense(2, input_shape=(3,))
            >>> model = chainrule.Sequential([dense])
            >>> path = model.save(f"{tempfile.mkdtemp()}/model.chainrule")
            >>> chainrule.load_model(path).count_params()
            8
        """
        return save_model(self, path, overwrite, include_optimizer)

    def save_weights(
        self, path: str | os.PathLike[str], *, overwrite: bool = True
    ) -> Path:
        """Write the weights alone, as a plain safetensors file with readable names.

        Args:
            path: where to.
            overwrite: whether an existing file is replaced.

        Raises:
            ArgumentError: when it has no weights yet, or the file exists already.

        Example:
            >>> import chainrule, tempfile
            >>> dense = chainrule.layers.Dense(2, input_shape=(3,), name="out")
            >>> model = chainrule.Sequential([dense])
            >>> path = model.save_weights(f"{tempfile.mkdtemp()}/w.safetensors")
            >>> model.load_weights(path).loaded
            ('out/kernel', 'out/bias')
        """
        return save_weights(self, path, overwrite)

    def load_weights(
        self,
        path: str | os.PathLike[str] | Mapping[str, Any],
        skip_mismatch: bool = False,
        *,
        strict: bool = True,
        layout: str | None = None,
        mapping: Mapped | None = None,
    ) -> WeightsReport:
        """Read weights, by their names, from a file, or take those of a dict.

        A file is in the format safetensors, that of a model, or Keras's `.weights.h5`
        (which needs the package h5py). Floating-point numbers of another width are
        converted. Nothing is unpickled.

        Weights of PyTorch and Keras are turned: names, the order of axes, and the order
        of inputs behind `Flatten`. Where layers have other names than there, they are
        matched by order, if every shape agrees; or else those whose shape no other has.

        Args:
            path: the file, or arrays by name, such as `state_dict()` of PyTorch.
            skip_mismatch: as `strict=False`.
            strict: whether every weight and every array must find its partner; if not,
                those that fit are loaded, and what is left out is printed.
            layout: whose names they have: `torch`, `keras`, or None for our own.
            mapping: names of layers in the file to names of layers of the model, or
                a function from the one to the other; None leaves a layer out.

        Returns:
            What was loaded, missing, unexpected, and of another shape; and the names in
            the file.

        Raises:
            FormatError: when the file is damaged, or does not fit and `strict`, or it
                cannot be told which layer is which; then nothing was changed.
            ArgumentError: for an unknown layout, a name in `mapping` that the model
                does not have, and files of Keras without h5py.

        Example:
            >>> import chainrule, numpy
            >>> model = chainrule.Sequential(
            ...     [chainrule.layers.Dense(2, input_shape=(3,), name="out")]
            ... )
            >>> linear = {"0.weight": numpy.ones((2, 3)), "0.bias": numpy.zeros(2)}
            >>> dict(model.load_weights(linear, layout="torch").sources)
            {'out/kernel': '0.weight', 'out/bias': '0.bias'}
        """
        gentle = skip_mismatch or not strict
        report = load_weights(self, path, not gentle, layout, mapping)
        if not report.complete:
            print(report)
        return report

    def to_json(self, **options: Any) -> str:
        """The model without its weights, as JSON; `model_from_json` makes it again.

        Args:
            **options: of `json.dumps`.
        """
        return json.dumps(serialize(self), **options)

    def enter(self, inputs: Any) -> Any:
        """What the host layers at its front make of raw data; without any, the same."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal model, fit for JSON."""
        config = super().get_config()
        if self.inputs is None:  # it was not drawn, and cannot be given them
            config.pop("inputs", None), config.pop("outputs", None)
        return config

    def _draw(self, inputs: Any, outputs: Any) -> None:
        """Find what leads from inputs to outputs."""
        raise NotImplementedError

    def _convert(self, inputs: Any) -> Any:
        """Arrays as tensors; their dtype is the business of the layers inside."""
        values = as_tensors(inputs)
        if self._seen_inputs is None:
            leaves, structure = tree.flatten(values)
            self._seen_inputs = [leaf.spec for leaf in leaves], structure
        return values

    def _sample_shape(self) -> Any:
        """The shape of a sample, declared or seen; behind the host layers."""
        return self._seen_shape

    def _build_for_samples(self, shape: tuple[int, ...]) -> None:
        """Make the weights for samples of this shape."""
        self._seen_shape = shape
        if not self.built:
            self._see(Spec((PLACEHOLDERS[0], *shape), self.dtype))

    def _build_for_inputs(self, x: Any) -> None:
        """Make the weights for inputs like these, an array or a tree of several."""
        if isinstance(x, np.ndarray):
            self._build_for_samples(x.shape[1:] or (1,))
            return
        leaves, structure = tree.flatten(x)
        rows = PLACEHOLDERS[0]
        specs = [Spec((rows, *leaf.shape[1:]), self._dtype_of(leaf)) for leaf in leaves]
        self._see(*specs, structure=structure)

    def _dtype_of(self, array: Any) -> Any:
        found = as_dtype(array.dtype)
        return self.dtype if found.is_float else found

    def _see(self, *specs: Spec, structure: tree.Structure = tree.LEAF) -> None:
        """Learn what comes out for inputs like these; nothing is computed."""
        if type(self).call is Layer.call:
            return  # it has steps of its own
        found: list[Any] = []

        def call(*values: Any) -> list[Any]:
            result = self(tree.unflatten(structure, values), training=False)
            found.append(result)
            return tree.flatten(result)[0]

        graph, _ = trace(call, list(specs), name="shape")
        shapes = tuple(spec.shape[1:] for spec in graph.output_specs)
        self._seen_outputs = Outputs(self._names_of(found[0]), shapes)

    def _names_of(self, result: Any) -> tuple[str, ...]:
        """The names of the outputs: declared ones, or the keys of a dict."""
        count = len(tree.flatten(result)[0])
        declared = getattr(self, "output_names", None)
        if declared is not None and len(declared) == count:
            return tuple(declared)
        if isinstance(result, dict) and len(result) == count:
            return tuple(map(str, result))
        return tuple(default_names([Output()] * count))

    def _outputs(self) -> Outputs | None:
        """What the model returns; None while the input is not known.

        None as well for a model without `call`, which has steps of its own.
        """
        if self._seen_outputs is None:
            shape = self._sample_shape()
            if shape is None or not self.built:
                return None
            lengths = tuple(n or 1 for n in shape)
            self._see(Spec((PLACEHOLDERS[0], *lengths), self.dtype))
        return self._seen_outputs

    def _describe(self) -> list[Ends]:
        """A network for each output, for the checks."""
        outputs = self._outputs()
        if outputs is None or len(outputs.names) == 1:
            shape = None if outputs is None else outputs.shapes[0]
            return [Ends(self._flat_layers(), self._sample_shape(), shape, self.name)]
        named = zip(outputs.names, outputs.shapes, strict=True)
        return [Ends((), None, shape, name) for name, shape in named]

    def _flat_layers(self) -> Sequence[Layer]:
        """Layers in the order of the data, where there is such an order."""
        return ()

    def _takes_several(self) -> bool | None:
        """Whether a list of arrays is several inputs; None where its look decides."""
        return None

    def _preparable(
        self, objective: Objective | None, key: Any = None
    ) -> prepare.Model:
        def build(x: Any) -> None:
            if key is None:
                self._build_for_inputs(x)
                return
            with random.stream(random.fold_in(key, 0)):
                self._build_for_inputs(x)

        return prepare.Model(
            self._sample_shape,
            build,
            self._describe,
            self._outputs,
            objective,
            enter=self.enter,
            trainable=self.is_trained,
            several=self._takes_several(),
            labelled=self._own_steps().train is None,
            free_axes=self._free_axes,
        )

    def _free_axes(self) -> frozenset[int]:
        """The axes along which batches may differ in length, as far as is declared."""
        return ANY_AXIS  # its layers refuse what they cannot take


_drawn_classes: dict[type, type[Model]] = {}


def _drawn_class(given: type[Model]) -> type[Model]:
    """The class of a model that was drawn, and is of the given class as well."""
    if given is Model or issubclass(given, Model.drawn):
        return Model.drawn if given is Model else given
    if given not in _drawn_classes:
        about = {key: getattr(given, key) for key in ("__module__", "__doc__")}
        made = type(given.__name__, (given, Model.drawn), about)
        _drawn_classes[given] = made
    return _drawn_classes[given]
