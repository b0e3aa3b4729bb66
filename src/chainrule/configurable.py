"""Objects described by the arguments they were made with, and their lookup by name.

Layers, losses, metrics, optimizers and initializers store the arguments of `__init__`
under their own names. Their config, their `repr` and their reconstruction follow from
the signature, so no class writes them by hand.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from types import FunctionType
from typing import Any, Self

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.ir.dtype import DType, widen
from chainrule.ir.value import Value

SHOWN = 12  # a list of up to so many words is shown whole
SHOWN_FIRST = 3  # of longer ones these

_custom: ContextVar[Mapping[str, Any]] = ContextVar("custom_objects", default={})  # noqa: B039
_function_names: dict[Callable[..., Any], str] = {}


@lru_cache(1024)
def snake_case(name: str) -> str:
    """The name of a class as Keras spells it in lower case.

    Example:
        >>> snake_case("LeakyReLU"), snake_case("MeanSquaredError"), snake_case("SGD")
        ('leaky_re_lu', 'mean_squared_error', 'sgd')
    """
    split = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", split).lower()


def parameters(owner: type) -> dict[str, inspect.Parameter]:
    """The arguments that make an `owner`.

    Where `__init__` hands further keywords on (`**options`), those of the next class in
    the order of inheritance follow.
    """
    return dict(_parameters(owner))


@cache
def _parameters(owner: Hashable) -> dict[str, inspect.Parameter]:
    assert isinstance(owner, type)
    found: dict[str, inspect.Parameter] = {}
    for ancestor in owner.__mro__:
        if "__init__" not in vars(ancestor):
            continue
        signature = inspect.signature(vars(ancestor)["__init__"])
        own = list(signature.parameters.values())[1:]
        for parameter in own:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                found.setdefault(parameter.name, parameter)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own):
            break
    return found


def serialize(value: Any) -> Any:
    """`value` in terms of numbers, strings, lists and dicts, fit for JSON.

    Raises:
        ArgumentError: for a function that has no public name, and for objects that
            cannot be described.
    """
    if isinstance(value, Configurable):
        described = {"class_name": type(value).__name__, "config": value.get_config()}
        assets = value.assets()
        return {**described, "assets": assets} if assets else described
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, DType):
        return value.name
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Value) and value.data is not None:
        return widen(value.data).tolist()
    if isinstance(value, (list, tuple)):
        return [serialize(part) for part in value]
    if isinstance(value, Mapping):
        return {str(key): serialize(part) for key, part in value.items()}
    return _function_name(value)


def is_named(value: Any) -> bool:
    """Whether a function is one that configs know by its name."""
    return callable(value) and value in _function_names


def _function_name(value: Any) -> str:
    if callable(value) and value in _function_names:
        return _function_names[value]
    for name, custom in _custom.get().items():
        if custom is value:
            return name
    raise ArgumentError(
        "this cannot be written into a config",
        got=value,
        expected="numbers, strings, lists, dicts, or objects that chainrule names",
        fix="with chainrule.configurable.custom_object_scope({'name': value}): ...",
    )


class Configurable:
    """An object that its constructor's arguments describe in full.

    Subclasses store every argument of `__init__` under the argument's name.
    """

    @classmethod
    def default_name(cls) -> str:
        """The name of one that is given none."""
        return snake_case(cls.__name__)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal object, fit for JSON."""
        return {
            name: serialize(self._argument(name)) for name in parameters(type(self))
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The object that `get_config` described.

        Raises:
            ArgumentError: when `config` has an argument that this class does not take.
        """
        unknown = set(config) - set(parameters(cls))
        if unknown:
            raise ArgumentError(
                "the config has arguments that this class does not take",
                where=cls.__name__,
                got=", ".join(sorted(unknown)),
                expected=", ".join(parameters(cls)),
            )
        return cls(**config)

    def assets(self) -> dict[str, Any]:
        """Small state beside the arguments, such as a vocabulary, fit for JSON.

        It is saved with a model; `load_assets` of an equal object gets it back, before
        anything else happens to it.
        """
        return {}

    def load_assets(self, assets: Mapping[str, Any]) -> None:
        """Take over what `assets` of an equal object gave.

        Raises:
            ArgumentError: where there is no such state.
        """
        raise ArgumentError(
            "this class has no state beside its arguments and weights",
            where=type(self).__name__,
            got=", ".join(map(str, assets))[:200],
        )

    def _argument(self, name: str) -> Any:
        """The argument `name` as it was given."""
        return getattr(self, name)

    def __repr__(self) -> str:
        shown = []
        for name, parameter in parameters(type(self)).items():
            value = self._argument(name)
            if parameter.default is parameter.empty:
                shown.append(_show(value))
            elif name == "name" and value == self.default_name():
                continue
            elif not _same(value, parameter.default):
                shown.append(f"{name}={_show(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"


class FunctionArguments(Configurable):
    """An object made of a function, that takes further arguments of the function.

    Attributes:
        arguments: these arguments by name, `**arguments` of its `__init__`.
    """

    arguments: dict[str, Any]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal object, those of the function among them."""
        given = {name: serialize(value) for name, value in self.arguments.items()}
        return {**super().get_config(), **given}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The object that `get_config` described."""
        return cls(**config)

    def __repr__(self) -> str:
        shown = (f", {name}={_show(value)}" for name, value in self.arguments.items())
        return super().__repr__()[:-1] + "".join(shown) + ")"


def _show(value: Any) -> str:
    if isinstance(value, DType):
        return repr(value.name)
    if callable(value) and value in _function_names:
        return repr(_function_names[value])
    words = isinstance(value, (list, tuple)) and len(value) > SHOWN
    if words and all(isinstance(word, str) for word in value):
        first = ", ".join(map(repr, value[:SHOWN_FIRST]))
        opening, closing = ("[", "]") if isinstance(value, list) else ("(", ")")
        return f"{opening}{first}, ... {len(value):,} in all{closing}"
    return repr(value)


def _same(value: Any, default: Any) -> bool:
    """Whether `value` is what the default of its argument stands for."""
    if isinstance(value, Configurable) and isinstance(default, str):
        plain = all(
            _same(getattr(value, name), parameter.default)
            for name, parameter in parameters(type(value)).items()
        )
        return plain and snake_case(type(value).__name__) == default
    if callable(value) and value in _function_names:
        return _function_names[value] == ("linear" if default is None else default)
    if isinstance(value, (np.ndarray, Value)):
        return False
    return bool(value is default or value == default)


@contextmanager
def custom_object_scope(objects: Mapping[str, Any]) -> Iterator[None]:
    """Within the block, configs may name these classes and functions of the user.

    Example:
        >>> import chainrule
        >>> with custom_object_scope({"double": lambda x: 2 * x}):
        ...     chainrule.activations.get("double")(3)
        6
    """
    token = _custom.set({**_custom.get(), **objects})
    try:
        yield
    finally:
        _custom.reset(token)


class Registry:
    """The objects of one kind that can be named by a string or a config.

    Args:
        kind: what messages call them, such as `loss`.
        argument: the keyword by which users pass one.
    """

    def __init__(self, kind: str, argument: str) -> None:
        self.kind = kind
        self.argument = argument
        self.entries: dict[str, Any] = {}

    def add(self, entry: Any, *aliases: str) -> Any:
        """Register a class or a function under its own name and `aliases`."""
        names = [entry.__name__, *aliases]
        if isinstance(entry, type):
            names.append(snake_case(entry.__name__))
        else:
            _function_names[entry] = entry.__name__
        self.entries.update(dict.fromkeys(names, entry))
        return entry

    def get(self, identifier: Any) -> Any:
        """The object that `identifier` names: a string, a config, or the object.

        Raises:
            ArgumentError: for a name that does not exist, with the nearest that does.
        """
        if isinstance(identifier, str):
            found = self._find(identifier)
            return found() if isinstance(found, type) else found
        if isinstance(identifier, (Configurable, FunctionType)):
            return identifier
        if isinstance(identifier, Mapping):
            owner = self._find(str(identifier.get("class_name")))
            made = owner.from_config(identifier.get("config", {}))
            if identifier.get("assets"):
                made.load_assets(identifier["assets"])
            return made
        if isinstance(identifier, type):
            return identifier()
        if callable(identifier):
            return identifier
        raise ArgumentError(
            f"this is no {self.kind}",
            where=self.argument,
            got=repr(identifier),
            expected=f"a name such as {next(iter(self.entries))!r}, a {self.kind}, "
            "or a function",
        )

    def _find(self, name: str) -> Any:
        custom = _custom.get()
        if name in custom:
            return custom[name]
        if name in self.entries:
            return self.entries[name]
        known = {**self.entries, **custom}
        by_lower = {key.lower(): key for key in known}
        near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
        names = sorted({key for key in self.entries if key == key.lower()})
        raise ArgumentError(
            f"there is no {self.kind} of this name",
            where=self.argument,
            got=repr(name),
            expected=", ".join(names),
            fix=f"{self.argument}={by_lower[near[0]]!r}" if near else None,
        )
